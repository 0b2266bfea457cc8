//! `weir ctl`: its flags and what they call.

use super::{FAILED, UNREACHABLE, WRONG_USE, fail};
use crate::config::controller::LISTEN_PORT;
use crate::config::{self, CONTROLLERS_MAX, address};
use crate::controller::limits;
use crate::controller::record::Wanted;
use crate::ctl;
use crate::ctl::cluster::{self, Ask, Edit};
use crate::ctl::failover;
use crate::ctl::tablets;
use crate::grpc::tls::TlsFiles;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Args)]
pub struct CtlFlags {
    #[command(subcommand)]
    command: CtlCommand,
    #[command(flatten)]
    tls: TlsFlags,
    /// As JSON.
    #[arg(long, global = true)]
    json: bool,
}

/// How to prove who we are, and know who answers.
#[derive(Args)]
struct TlsFlags {
    /// Our certificate's file (PEM, with its chain); changes from another machine need one.
    #[arg(long, value_name = "FILE", global = true)]
    tls_cert: Option<PathBuf>,
    /// The file of its private key (PEM).
    #[arg(long, value_name = "FILE", global = true)]
    tls_key: Option<PathBuf>,
    /// The authority that signs the other side's certificate (PEM); switches TLS on.
    #[arg(long, value_name = "FILE", global = true)]
    tls_ca: Option<PathBuf>,
}

#[derive(Args)]
struct Whom {
    /// The controllers' gRPC addresses, separated by commas.
    #[arg(long, value_name = "LIST", default_value_t = format!("127.0.0.1:{LISTEN_PORT}"))]
    controller: String,
}

#[derive(Subcommand)]
enum CtlCommand {
    /// A gate's backends, pools, sessions, latencies and pins.
    Status {
        /// The gate's gRPC address.
        #[arg(long, value_name = "HOST:PORT", default_value_t = format!("127.0.0.1:{}", config::ADMIN_PORT + 1))]
        addr: String,
    },
    /// A gate reads its configuration and its certificates again, as by SIGHUP; says what changed and what waits for a restart.
    Reload {
        /// The gate's gRPC address.
        #[arg(long, value_name = "HOST:PORT", default_value_t = format!("127.0.0.1:{}", config::ADMIN_PORT + 1))]
        addr: String,
    },
    /// Another process, of the program that is now at the gate's path, takes over: no client is refused, and sessions go on where they are.
    Upgrade {
        /// The gate's gRPC address.
        #[arg(long, value_name = "HOST:PORT", default_value_t = format!("127.0.0.1:{}", config::ADMIN_PORT + 1))]
        addr: String,
    },
    /// The cluster's record: epoch, primary, members.
    Topology(Whom),
    /// The tablets: their leases, what they say of their servers, and why one is not registered.
    Tablets {
        #[command(flatten)]
        whom: Whom,
        /// Ask these tablets themselves, HOST:PORT,HOST:PORT: also those that no controller knows.
        #[arg(long, value_name = "LIST", conflicts_with = "controller")]
        tablet: Option<String>,
    },
    /// The gates, as they announce themselves.
    Gates(Whom),
    /// The controllers, and which of them leads.
    Controllers(Whom),
    /// Change what is wanted of a member.
    Set {
        member: String,
        #[command(flatten)]
        whom: Whom,
        /// Gates prefer replicas of their own zone; '' for none.
        #[arg(long)]
        zone: Option<String>,
        /// Share of reads beside the other replicas; 0 for none.
        #[arg(long)]
        weight: Option<u32>,
        /// Whether it may ever become primary.
        #[arg(long, value_enum)]
        wanted: Option<Wanted>,
        /// NAME=VALUE; an empty value takes the tag away. Repeatable.
        #[arg(long, value_name = "NAME=VALUE", value_parser = tag)]
        tag: Vec<(String, String)>,
    },
    /// Move the primary's role to another member, while the primary is well.
    Switchover {
        #[command(flatten)]
        whom: Whom,
        /// The next primary; by default the replica that is nearest.
        #[arg(long, value_name = "MEMBER")]
        to: Option<String>,
        /// How long open transactions may go on: 5s, 500ms.
        #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
        drain_timeout: Duration,
        /// Say whether it could be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Decide about a failover that waits.
    Failover {
        #[command(flatten)]
        whom: Whom,
        /// Choose among the replicas that are here, though others may hold transactions that were acknowledged.
        #[arg(long, required = true)]
        accept_loss: bool,
    },
    /// What happened while primaries moved, with times.
    Events(Whom),
    /// Give a replica no new reads: for maintenance.
    Drain {
        member: String,
        #[command(flatten)]
        whom: Whom,
    },
    /// Give a drained replica reads again.
    Restore {
        member: String,
        #[command(flatten)]
        whom: Whom,
    },
    /// Take a member out that is not the primary; its tablet, if it lives, comes back as a new one.
    Forget {
        member: String,
        #[command(flatten)]
        whom: Whom,
    },
}

impl ValueEnum for Wanted {
    fn value_variants<'a>() -> &'a [Wanted] {
        &[Wanted::Any, Wanted::Replica]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(match self {
            Wanted::Any => "any",
            Wanted::Replica => "replica",
        }))
    }
}

fn tag(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_string(), value.to_string()))
}

fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1_000),
        (None, None) => return Err("write a time like 5s or 500ms".to_string()),
    };
    let ms = number.trim().parse::<u32>().ok().and_then(|number| number.checked_mul(unit));
    ms.map(|ms| Duration::from_millis(u64::from(ms))).ok_or("write a time like 5s or 500ms".to_string())
}

pub fn run(flags: CtlFlags) -> ExitCode {
    let CtlFlags { command, tls, json } = flags;
    let tls = TlsFiles { cert: tls.tls_cert, key: tls.tls_key, ca: tls.tls_ca };
    let shown = match command {
        CtlCommand::Status { addr } => ctl::status_over(&addr, &tls)
            .and_then(|status| if json { ctl::json(&status) } else { Ok(ctl::tables(&status)) }),
        CtlCommand::Upgrade { addr } => return print(ctl::upgrade(&addr, &tls), FAILED),
        CtlCommand::Reload { addr } => return print(ctl::reload(&addr, &tls), FAILED),
        CtlCommand::Set { member, whom, zone, weight, wanted, tag } => {
            let edit = Edit { zone, weight, wanted, tags: tag };
            if edit == Edit::default() {
                return fail(WRONG_USE, &"nothing is to be set: name --zone, --weight, --wanted or --tag");
            }
            return changed(whom, tls, json, |ask| cluster::set(ask, &member, &edit));
        }
        CtlCommand::Forget { member, whom } => return changed(whom, tls, json, |ask| cluster::forget(ask, &member)),
        CtlCommand::Drain { member, whom } => {
            return changed(whom, tls, json, |ask| cluster::drain(ask, &member));
        }
        CtlCommand::Restore { member, whom } => {
            return changed(whom, tls, json, |ask| cluster::restore(ask, &member));
        }
        CtlCommand::Switchover { whom, to, drain_timeout, dry_run } => {
            let order = failover::Order { to, drain: drain_timeout, is_dry_run: dry_run };
            let moved =
                ask(whom, tls).and_then(|ask| failover::switchover(&ask, &order, &mut |line| println!("{line}")));
            return print(moved, FAILED);
        }
        CtlCommand::Failover { whom, accept_loss: _ } => {
            return print(ask(whom, tls).and_then(|ask| failover::accept_loss(&ask)), FAILED);
        }
        CtlCommand::Events(whom) => {
            ask(whom, tls).and_then(|ask| show(failover::events(&ask)?, json, |all| failover::events_table(all)))
        }
        CtlCommand::Topology(whom) => {
            ask(whom, tls).and_then(|ask| show(cluster::topology(&ask)?, json, cluster::TopologyView::table))
        }
        CtlCommand::Tablets { tablet: Some(list), .. } => address::list(&list, limits::MEMBERS_MAX)
            .and_then(|list| show(tablets::asked_directly(&list, &tls)?, json, |all| tablets::table(all))),
        CtlCommand::Tablets { whom, tablet: None } => {
            ask(whom, tls).and_then(|ask| show(tablets::tablets(&ask)?, json, |all| tablets::table(all)))
        }
        CtlCommand::Gates(whom) => {
            ask(whom, tls).and_then(|ask| show(cluster::gates(&ask)?, json, |all| cluster::gates_table(all)))
        }
        CtlCommand::Controllers(whom) => ask(whom, tls)
            .and_then(|ask| show(cluster::controllers(&ask)?, json, |peers| cluster::controllers_table(peers))),
    };
    print(shown, UNREACHABLE)
}

/// A change that is refused is not the same as a controller that can't be reached.
fn changed(
    whom: Whom,
    tls: TlsFiles,
    json: bool,
    work: impl FnOnce(&Ask) -> Result<cluster::TopologyView, String>,
) -> ExitCode {
    let shown = ask(whom, tls).and_then(|ask| show(work(&ask)?, json, cluster::TopologyView::table));
    print(shown, FAILED)
}

fn ask(whom: Whom, tls: TlsFiles) -> Result<Ask, String> {
    Ok(Ask { controllers: address::list(&whom.controller, CONTROLLERS_MAX)?, tls })
}

fn show<T: serde::Serialize>(view: T, json: bool, table: impl FnOnce(&T) -> String) -> Result<String, String> {
    if json { cluster::json(&view) } else { Ok(table(&view)) }
}

fn print(shown: Result<String, String>, code: u8) -> ExitCode {
    match shown {
        Ok(text) => {
            println!("{}", text.trim());
            ExitCode::SUCCESS
        }
        Err(text) => fail(code, &text),
    }
}
