//! The gate under test: a process with a file, and the processes that took over from it.
//!
//! Invariant: all of them are gone when this is dropped.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::ground::{GATE, Ground, options};
use crate::error::Fault;
use crate::meter;
use crate::program::Program;
use weir_control::grpc::tls::TlsFiles;

pub struct Gating {
    pub address: SocketAddr,
    /// `host:port`, for who asks it to reload or to be taken over from.
    pub grpc: String,
    /// The first process, and each that took over.
    pub pids: Vec<u32>,
    pub folder: PathBuf,
    /// How often its file was written anew.
    pub reloads: u64,
    controller: SocketAddr,
    cores: usize,
    exe: PathBuf,
    pub program: Program,
}

impl Gating {
    pub fn start(
        (ground, papers, controller): (&Ground, &TlsFiles, SocketAddr),
        program: &Path,
        cores: usize,
        folder: &Path,
    ) -> Result<Gating, Fault> {
        let (address, grpc) = (ground.address(GATE, 6033)?, ground.address(GATE, 7508)?);
        let folder = folder.join("gate");
        fs::create_dir_all(&folder).map_err(|error| Fault::io("making a folder", error))?;
        let mut command = Command::new(program);
        command.args(["gate", "--config", &folder.join("gate.toml").display().to_string()]);
        command.args(options("--grpc-tls", papers));
        ground.enter(GATE, &mut command);
        write(&folder, &text(address, &grpc.to_string(), controller, cores, 0))?;
        let program_started = Program::start("gate", command, folder.parent().unwrap_or(&folder))?;
        Ok(Gating {
            address,
            grpc: grpc.to_string(),
            pids: vec![program_started.pid()],
            folder,
            reloads: 0,
            controller,
            cores,
            exe: program.to_owned(),
            program: program_started,
        })
    }

    /// Its file, with another limit than the last time.
    pub fn write(&self) -> Result<(), Fault> {
        write(&self.folder, &text(self.address, &self.grpc, self.controller, self.cores, self.reloads))
    }

    /// Of each process that lives, what it has in memory, in KiB.
    pub fn memory(&self) -> Vec<(u32, u64)> {
        let live = self.pids.iter().filter(|pid| self.is_ours(**pid));
        live.filter_map(|pid| Some((*pid, meter::rss_bytes(*pid).ok()? >> 10))).collect()
    }

    /// A number may be another's by now.
    fn is_ours(&self, pid: u32) -> bool {
        let exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
        exe.is_some_and(|exe| fs::canonicalize(&self.exe).is_ok_and(|own| own == exe))
    }
}

impl Drop for Gating {
    fn drop(&mut self) {
        for signal in ["-TERM", "-KILL"] {
            let live: Vec<u32> = self.pids.iter().skip(1).copied().filter(|pid| self.is_ours(*pid)).collect();
            for pid in &live {
                let _ = Command::new("kill").args([signal, &pid.to_string()]).status();
            }
            if !live.is_empty() {
                thread::sleep(END_WAIT);
            }
        }
    }
}

fn text(listen: SocketAddr, grpc: &str, controller: SocketAddr, cores: usize, reloads: u64) -> String {
    let wait_ms_max = WAIT_MS_MAX + reloads % 2;
    format!(
        "[gate]\nlisten = \"{listen}\"\ncontrollers = \"{controller}\"\ncores = {cores}\nadmin_listen = \"off\"\n\
         grpc_listen = \"{grpc}\"\ntls_dir = \"tls\"\n[pool]\nwait_ms_max = {wait_ms_max}\n"
    )
}

fn write(folder: &Path, text: &str) -> Result<(), Fault> {
    fs::write(folder.join("gate.toml"), text).map_err(|error| Fault::io("writing a file", error))
}

/// As it is by default.
const WAIT_MS_MAX: u64 = 10_000;

const END_WAIT: Duration = Duration::from_millis(500);
