//! What an operator does to a gate and its cluster while clients work: none of it may be noticed.

use std::fmt;
use std::fs;
use std::thread;
use std::time::Duration;

use weir_control::config::Tls;
use weir_control::ctl::{self, cluster};
use weir_control::gate::keys;
use weir_control::grpc::tls::TlsFiles;

use super::books::Books;
use super::stage::Stage;
use crate::error::Fault;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// Another certificate and another limit.
    Reload,
    /// A replica gets no reads for a while.
    Drain,
    /// Another process takes the gate's sockets over.
    Upgrade,
}

pub const ALL: [Deed; 3] = [Deed::Reload, Deed::Drain, Deed::Upgrade];

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deed::Reload => "reload",
            Deed::Drain => "drain",
            Deed::Upgrade => "upgrade",
        })
    }
}

impl Deed {
    pub fn make(self, stage: &mut Stage, books: &Books) -> Result<(), Fault> {
        match self {
            Deed::Reload => reload(stage)?,
            Deed::Drain => drain(stage)?,
            Deed::Upgrade => {
                let said = ctl::upgrade(&stage.gating.grpc, &TlsFiles::default()).map_err(Fault::Program)?;
                let pid = said.split_whitespace().find_map(|word| word.parse().ok());
                stage.gating.pids.push(pid.ok_or_else(|| Fault::Program(format!("who has taken over? {said}")))?);
            }
        }
        books.harm_is_done();
        Ok(())
    }
}

fn reload(stage: &mut Stage) -> Result<(), Fault> {
    let gating = &mut stage.gating;
    let next = gating.folder.join("next");
    let failed = |error| Fault::io("renewing a certificate", error);
    keys::make(&Tls::Folder(next.clone()), None).map_err(|error| Fault::Program(error.to_string()))?;
    for name in ["server-cert.pem", "server-key.pem", "ca.pem"] {
        fs::rename(next.join(name), gating.folder.join("tls").join(name)).map_err(failed)?;
    }
    fs::remove_dir_all(&next).map_err(failed)?;
    gating.reloads += 1;
    gating.write()?;
    let said = ctl::reload(&gating.grpc, &TlsFiles::default()).map_err(Fault::Program)?;
    match said.contains("wait_ms_max") {
        true => Ok(()),
        false => Err(Fault::Program(format!("the reload did not change wait_ms_max: {said}"))),
    }
}

fn drain(stage: &Stage) -> Result<(), Fault> {
    let primary = stage.primary();
    let replica = (0..stage.members.len()).find(|at| Some(*at) != primary);
    let name = &stage.members[replica.unwrap_or(0)].name;
    cluster::drain(&stage.ask(), name).map_err(Fault::Program)?;
    thread::sleep(DRAINED);
    cluster::restore(&stage.ask(), name).map_err(Fault::Program)?;
    Ok(())
}

/// How long a replica stays drained.
const DRAINED: Duration = Duration::from_secs(2);
