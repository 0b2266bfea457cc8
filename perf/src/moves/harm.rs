//! What is done to the primary or to the network, and how it is undone.

use std::fmt;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use weir_control::ctl::failover;

use super::books::Books;
use super::deed::{self, Deed};
use super::ground::Terrain;
use super::part::{self, Part};
use super::stage::{Durability, Stage};
use crate::error::Fault;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// An operator moves the role.
    Switchover,
    /// kill -9 of mysqld; it is started again later.
    Kill,
    /// SIGSTOP of mysqld, SIGCONT later.
    Stop,
    /// Its machine is cut off: from the gate, the controller and the other servers; mended later.
    Cut,
    /// kill -9 of mysqld, and of the next primary while it is being promoted.
    KillTwice,
    /// Some hosts are cut off from some others, for a while.
    Part(Part),
    /// No harm at all.
    Deed(Deed),
}

const ALL: [Harm; 5] = [Harm::Switchover, Harm::Kill, Harm::Stop, Harm::Cut, Harm::KillTwice];

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Harm::Switchover => "switchover",
            Harm::Kill => "kill",
            Harm::Stop => "stop",
            Harm::Cut => "cut",
            Harm::KillTwice => "kill-twice",
            Harm::Part(part) => return part.fmt(f),
            Harm::Deed(deed) => return deed.fmt(f),
        })
    }
}

impl Harm {
    /// It may last longer than statements wait for a primary. A receiver that is connecting to a host which answers nothing
    /// stops late, which a failover waits for; one behind a way is at once.
    pub fn keeps_primary_away(self, terrain: Terrain) -> bool {
        match self {
            Harm::Part(part) => part.is_of_primary(),
            Harm::Cut => terrain == Terrain::Namespaces,
            Harm::Switchover | Harm::Kill | Harm::Stop | Harm::KillTwice | Harm::Deed(_) => false,
        }
    }

    pub fn make(self, stage: &mut Stage, books: &Books) -> Result<(), Fault> {
        if let Harm::Deed(deed) = self {
            return deed.make(stage, books);
        }
        let primary = stage.primary().ok_or_else(|| Fault::Program("nobody is primary".to_owned()))?;
        match self {
            Harm::Switchover => {
                let order = failover::Order { to: None, drain: DRAIN, is_dry_run: false };
                let moved = failover::switchover(&stage.ask(), &order, &mut |_| {});
                moved.map(drop).map_err(|why| Fault::Program(format!("the switchover: {why}")))?;
            }
            Harm::Kill => stage.server(primary).kill9(),
            Harm::Deed(_) => {}
            Harm::Stop => stage.server(primary).sigstop(),
            Harm::Cut => stage.cut_off(primary)?,
            Harm::Part(part) => {
                let (from, to) = (stage.party(part.from, primary), stage.party(part.to, primary));
                stage.ground.lose(&from, &to, part.is_one_way)?;
            }
            Harm::KillTwice => {
                stage.server(primary).kill9();
                // About when the next one is chosen.
                thread::sleep(Duration::from_millis(700));
                let heir = failover_heir(stage).filter(|heir| *heir != primary);
                if let Some(heir) = heir {
                    stage.server(heir).kill9();
                    // The third one alone has nobody to acknowledge.
                    thread::sleep(Duration::from_millis(1_000));
                    stage.server(primary).start()?;
                    stage.server(heir).start()?;
                    stage.ensure_whole()?;
                }
            }
        }
        books.harm_is_done();
        stage.harmed = Some(primary);
        Ok(())
    }

    pub fn undo(self, stage: &mut Stage) -> Result<(), Fault> {
        let Some(harmed) = stage.harmed.take() else { return Ok(()) };
        match self {
            Harm::Switchover | Harm::Deed(_) => {}
            Harm::Kill | Harm::KillTwice => {
                for at in 0..stage.members.len() {
                    if !stage.server(at).is_running() {
                        stage.server(at).start()?;
                        stage.join(at)?;
                    }
                }
            }
            Harm::Stop => {
                let server = stage.server(harmed);
                server.sigcont();
                if !server.is_running() {
                    // Its tablet has killed it.
                    server.start()?;
                }
                stage.join(harmed)?;
            }
            Harm::Cut | Harm::Part(_) => stage.mend()?,
        }
        Ok(())
    }
}

/// Whom the record names now.
fn failover_heir(stage: &Stage) -> Option<usize> {
    let topology = weir_control::ctl::cluster::topology(&stage.ask()).ok()?.table();
    let at = topology.find("primary ")? + "primary ".len();
    let name: String = topology[at..].chars().take_while(|c| c.is_alphanumeric()).collect();
    stage.members.iter().position(|member| member.name == name)
}

impl Harm {
    /// Why it can't be done to such servers.
    pub fn unfit(self, durability: Durability, terrain: Terrain) -> Option<&'static str> {
        match (self, durability) {
            (_, Durability::Group) if terrain == Terrain::Namespaces => {
                Some("--hosts namespaces: members of a replication group would hear each other on the loopback")
            }
            (Harm::Part(_), _) if terrain == Terrain::Ways => {
                Some("part: any two can be cut off from each other with --hosts namespaces alone")
            }
            (Harm::Cut, Durability::Group) => {
                Some("cut: members of a group hear each other directly, and not by the ways that are cut")
            }
            (Harm::Deed(_), _) if terrain == Terrain::Namespaces => {
                Some("reload, drain, upgrade: a gate on another host takes no orders from here; with --hosts ways")
            }
            (Harm::KillTwice, Durability::Group) => Some("kill-twice: one of three is no majority of its group"),
            _ => None,
        }
    }
}

impl FromStr for Harm {
    type Err = String;

    fn from_str(text: &str) -> Result<Harm, String> {
        let text = text.trim();
        if text.starts_with(part::PREFIX) {
            return text.parse().map(Harm::Part);
        }
        if let Some(deed) = deed::ALL.into_iter().find(|deed| deed.to_string() == text) {
            return Ok(Harm::Deed(deed));
        }
        let found = ALL.into_iter().find(|harm| harm.to_string() == text);
        found.ok_or_else(|| {
            let known = ALL.map(|harm| harm.to_string()).join(", ");
            let deeds = deed::ALL.map(|deed| deed.to_string()).join(", ");
            format!("there is no harm {text}: {known}, {deeds}, part:A/B, part:A>B")
        })
    }
}

/// Open transactions are short here.
const DRAIN: Duration = Duration::from_secs(5);
