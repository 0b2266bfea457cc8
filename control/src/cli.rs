//! The command line: what was typed, and the exit code.
//!
//! Exit codes: 0, ended as asked; 1, could not start or failed on the way; 2, the command line or the configuration is
//! wrong; 3, `ctl` or `top` reached nobody.

mod ctl;
pub mod pages;

use crate::config::controller::{self as controller_config, ControllerFlags};
use crate::config::tablet::{self as tablet_config, TabletFlags};
use crate::config::{self, GateFlags, Source, print};
use crate::demo::{self, DemoOptions};
use crate::gate::upgrade::Legacy;
use crate::top::{self, TopError, TopOptions};
use crate::{controller, gate, log, tablet};
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use ctl::CtlFlags;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// A MySQL proxy: shares connections, splits reads and writes without stale reads.
#[derive(Parser)]
#[command(name = "weir", version, propagate_version = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy. Without a file: weir gate --backend HOST:PORT --backend HOST:PORT
    Gate(Box<GateFlags>),
    /// Run the agent beside one MySQL server: weir tablet --server HOST:PORT
    Tablet(Box<TabletFlags>),
    /// Run a controller: keeps the cluster's topology, tells it to gates and tablets.
    Controller(Box<ControllerFlags>),
    /// Ask a running gate or the controllers.
    Ctl(CtlFlags),
    /// Show a gate's live figures in a terminal: statements, latencies, backends, pins, digests, events.
    Top(TopFlags),
    /// Show it all on this machine: real servers, a gate before them, some traffic.
    Demo(DemoFlags),
    /// Print what a shell needs to complete commands and flags: weir completion bash > weir.bash
    Completion { shell: Shell },
    /// Print a manual page, or write all of them.
    Man {
        /// weir, weir-gate, weir-ctl, weir.toml, …
        #[arg(default_value = "weir", conflicts_with = "dir")]
        page: String,
        /// A folder for all pages.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

#[derive(Args)]
struct TopFlags {
    /// The gate's admin_listen.
    #[arg(long, value_name = "HOST:PORT", default_value_t = format!("127.0.0.1:{}", config::ADMIN_PORT))]
    http: String,
    /// Print one screen as plain text, after one interval, and end: for scripts.
    #[arg(long)]
    once: bool,
    /// Seconds between two looks, from 0.1 to 3600.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,
}

fn interval(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=3_600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or("write seconds from 0.1 to 3600".to_string())
}

#[derive(Args)]
struct DemoFlags {
    /// The server program. [default: found on the path, or fetched once]
    #[arg(long, value_name = "FILE")]
    mysqld: Option<PathBuf>,
    /// Where the gate listens on 127.0.0.1.
    #[arg(long, default_value_t = DemoOptions::default().port)]
    port: u16,
    /// The data's folder, which stays. [default: one that goes]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Keep the data, in the cache.
    #[arg(long)]
    keep: bool,
    #[arg(long, default_value_t = DemoOptions::default().replicas)]
    replicas: usize,
    /// End by itself after so many seconds of traffic.
    #[arg(long)]
    seconds: Option<u64>,
    /// Statements per second at most; 0 for no traffic.
    #[arg(long, value_name = "N", default_value_t = DemoOptions::default().rate_max)]
    rate: u32,
}

/// Does what the arguments of the process say.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Gate(flags) => gate_command(&flags),
        Command::Tablet(flags) => tablet_command(&flags),
        Command::Controller(flags) => controller_command(&flags),
        Command::Ctl(flags) => ctl::run(flags),
        Command::Top(flags) => top_command(&flags),
        Command::Demo(flags) => demo_command(flags),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut command(), "weir", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        Command::Man { page, dir } => match pages::show(&page, dir.as_deref()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(FAILED, &error),
        },
    }
}

/// The whole command line, for what is made from it.
pub fn command() -> clap::Command {
    Cli::command()
}

fn gate_command(flags: &GateFlags) -> ExitCode {
    let asks_only = flags.check_config || flags.print_config;
    let legacy = match Legacy::take().filter(|_| !asks_only).transpose() {
        Ok(legacy) => legacy,
        Err(why) => return fail(FAILED, &why),
    };
    let config = match config::load(flags, &|name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(mistakes) => {
            if let Some(legacy) = &legacy {
                legacy.refuse(&mistakes.to_string());
            }
            return fail(WRONG_USE, &mistakes);
        }
    };
    if flags.print_config {
        print!("{}", print::print(&config));
        return ExitCode::SUCCESS;
    }
    if flags.check_config {
        println!("the configuration is right");
        return ExitCode::SUCCESS;
    }
    log::start(&config.log);
    match gate::run(config, Source { flags: flags.clone() }, legacy) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILED, &error),
    }
}

fn tablet_command(flags: &TabletFlags) -> ExitCode {
    let config = match tablet_config::load(flags, &|name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(mistakes) => return fail(WRONG_USE, &mistakes),
    };
    if flags.print_config {
        print!("{}", tablet_config::print(&config));
        return ExitCode::SUCCESS;
    }
    if flags.check_config {
        println!("the configuration is right");
        return ExitCode::SUCCESS;
    }
    log::start(&config.log);
    let (again, environment) = (flags.clone(), |name: &str| std::env::var(name).ok());
    match tablet::run(config, move || tablet_config::load(&again, &environment)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILED, &error),
    }
}

fn controller_command(flags: &ControllerFlags) -> ExitCode {
    let config = match controller_config::load(flags, &|name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(mistakes) => return fail(WRONG_USE, &mistakes),
    };
    if flags.print_config {
        print!("{}", controller_config::print(&config));
        return ExitCode::SUCCESS;
    }
    if flags.check_config {
        println!("the configuration is right");
        return ExitCode::SUCCESS;
    }
    log::start(&config.log);
    let (again, environment) = (flags.clone(), |name: &str| std::env::var(name).ok());
    match controller::run(config, move || controller_config::load(&again, &environment)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILED, &error),
    }
}

fn top_command(flags: &TopFlags) -> ExitCode {
    let options = TopOptions { http: flags.http.clone(), is_once: flags.once, interval: flags.interval };
    match top::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(TopError::Unreachable(why)) => fail(UNREACHABLE, &why),
        Err(TopError::Terminal(why)) => fail(FAILED, &why),
    }
}

fn demo_command(flags: DemoFlags) -> ExitCode {
    let DemoFlags { mysqld, port, dir, keep, replicas, seconds, rate } = flags;
    let options = DemoOptions { mysqld, port, dir, keep, replicas, seconds, rate_max: rate, gate: None };
    match demo::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILED, &error),
    }
}

fn fail(code: u8, why: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("weir: {why}");
    ExitCode::from(code)
}

const EXIT_CODES: &str = "Exit codes: 0 ended as asked; 1 could not start, or failed; 2 wrong command line or \
                          configuration; 3 'ctl' or 'top' reached nobody.";

const FAILED: u8 = 1;
/// As clap's own.
const WRONG_USE: u8 = 2;
const UNREACHABLE: u8 = 3;
