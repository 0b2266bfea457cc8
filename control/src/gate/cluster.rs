//! The cluster as a gate hears of it from the controllers: members become backends, and the record's primary is the only
//! one.
//!
//! Invariant: without controllers the last word holds (S78), and no later one goes back to an older epoch (S75). The
//! gate starts with the word that it kept when there are no controllers.

use super::crew::Crew;
use super::desk::Desk;
use super::roster::{Roster, Step};
use super::witness::Witness;
use crate::config::{Config, ControllersConfig};
use crate::controller::client::{Controllers, Lease, Told, follow, register};
use crate::controller::leases::{Kind, Presence};
use crate::controller::outlook::{Outlook, Reach};
use crate::controller::record::{Phase, Record};
use crate::controller::roll::Registration;
use crate::grpc::tls::ClientTls;
use crate::monitor::Topology;
use crate::monitor::topology::Ordained;
use crate::status::ClusterPicture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weir_core::board::Board;
use weir_net::gtid::GtidSet;

pub struct Cluster {
    controllers: ControllersConfig,
    tls: Option<ClientTls>,
    told: Told,
    news: watch::Receiver<Option<Arc<Record>>>,
    roster: Roster,
    /// What the controllers know of the gate; None: clients are not served yet.
    registration: Option<watch::Sender<Registration>>,
    /// Of the gate itself.
    lease: watch::Sender<Lease>,
    /// The epoch of the last handover for which nothing is open on the primary, and who is told of it.
    drained: watch::Sender<u64>,
    /// By core: the same.
    drained_by: Vec<u64>,
    /// What we see of the primary by ourselves; None: clients are not served yet.
    witness: Option<Witness>,
}

impl Cluster {
    /// None: the gate has no controllers. Begins to follow them.
    pub fn start(config: &Config, tls: Option<ClientTls>, tasks: &mut JoinSet<()>) -> Result<Option<Cluster>, String> {
        let Some(controllers) = config.controllers.clone() else { return Ok(None) };
        let told = Told::open(controllers.cache.as_deref())?;
        tasks.spawn(follow::follow(Controllers::new(&controllers.addresses, tls.clone()), told.clone()));
        let mut news = told.news();
        // A word that was kept is one to be handled.
        news.mark_changed();
        Ok(Some(Cluster {
            controllers,
            tls,
            told,
            news,
            roster: Roster::default(),
            registration: None,
            lease: watch::channel(Lease::default()).0,
            drained: watch::channel(0).0,
            drained_by: Vec::new(),
            witness: None,
        }))
    }

    /// Waits for the next word; for ever when there is none.
    pub async fn changed(cluster: &mut Option<Cluster>) {
        if let Some(cluster) = cluster
            && cluster.news.changed().await.is_ok()
        {
            return;
        }
        // Without controllers; their channel ends only with us, who hold its sender.
        std::future::pending().await
    }

    /// Makes backends of the members, and the record's primary the only one.
    pub fn handle_news(&mut self, topology: &mut Topology, crew: &mut Crew) {
        let Some(record) = self.news.borrow_and_update().clone() else { return };
        for step in self.roster.advance(&record, topology.len()) {
            match step {
                Step::Add { config, uuid } => {
                    tracing::info!(event = "backend_joined", backend = config.name, "a member of the cluster");
                    crew.watch(&config);
                    topology.add(config, uuid);
                }
                Step::Remove { at } => topology.remove(at),
                Step::Terms { at, config } => topology.set_terms(at, &config),
                Step::Pass { why } => tracing::warn!(event = "backend_passed_over", "{why}"),
            }
        }
        if let Some(witness) = &self.witness {
            witness.handle_primary(record.primary());
        }
        if record.phase == Phase::Forming {
            // Nobody has decided yet: the servers' own evidence does.
            return;
        }
        topology.ordain(Ordained {
            epoch: record.epoch.number(),
            primary: record.primary().map(ToString::to_string),
            is_ending: matches!(record.phase, Phase::Handover { .. }),
            is_planned: record.heir().is_some(),
            promoted: Arc::new(GtidSet::parse(record.promoted_gtid_executed.as_bytes()).unwrap_or_default()),
        });
    }

    /// One core has nothing open on the primary any more. When that holds for all, the controllers hear of it.
    pub fn handle_handed_over(&mut self, core: usize, cores: usize, epoch: u64) {
        self.drained_by.resize(cores, 0);
        if let Some(drained) = self.drained_by.get_mut(core) {
            *drained = epoch;
        }
        let all = self.drained_by.iter().copied().min().unwrap_or(0);
        self.drained.send_if_modified(|drained| std::mem::replace(drained, all) != all);
    }

    /// A core was refused by this backend, or could not open a connection.
    pub fn handle_suspect(&self, backend: &str, reach: Reach) {
        if let Some(witness) = &self.witness {
            witness.handle_suspect(Instant::now(), backend, reach);
        }
    }

    /// What the primary's own tablet says of it here, where the controllers may not hear it.
    pub fn handle_word(&self, is_read_only: bool) {
        if let Some(witness) = &self.witness {
            witness.handle_word(is_read_only);
        }
    }

    /// The last word.
    pub fn record(&self) -> Option<Arc<Record>> {
        self.told.record()
    }

    /// A word that came as an answer.
    pub fn admit(&self, record: Record) {
        self.told.admit(record);
    }

    /// For operators: what was told last, and why no more comes.
    pub fn picture(&self) -> ClusterPicture {
        ClusterPicture { record: self.told.record(), why: self.lease.borrow().why.clone() }
    }

    /// The next process has our name. A switchover waits for what is open here as well, so that we are there under another one.
    pub fn leave_name(&self, tag: u8) {
        if let Some(registration) = &self.registration {
            registration.send_modify(|registration| {
                registration.name = format!("{}{LEAVING}{tag})", registration.name);
                registration.grpc = String::new();
            });
        }
    }

    /// After [`Cluster::leave_name`], when the next process is gone. `grpc`: its address for others.
    pub fn take_name_again(&self, grpc: Option<SocketAddr>) {
        if let Some(registration) = &self.registration {
            registration.send_modify(|registration| {
                if let Some((name, _)) = registration.name.rsplit_once(LEAVING) {
                    registration.name = name.to_string();
                }
                registration.grpc = grpc.map(|grpc| grpc.to_string()).unwrap_or_default();
            });
        }
    }

    /// Tells the controllers of this gate.
    pub fn announce(&mut self, clients: String, grpc: String, desk: Desk, board: Arc<Board>, tasks: &mut JoinSet<()>) {
        let witness = Witness::new(board);
        witness.handle_primary(self.told.record().as_ref().and_then(|record| record.primary()));
        self.witness = Some(witness.clone());
        let registration = Registration {
            kind: Kind::Gate,
            name: name_of(&clients, &host_name()),
            address: clients,
            grpc,
            zone: String::new(),
            tags: [].into(),
            weight: None,
            presence: Presence {
                role: "gate".to_string(),
                is_serving: true,
                version: env!("CARGO_PKG_VERSION").to_string(),
                ..Presence::default()
            },
        };
        let (sender, receiver) = watch::channel(registration);
        self.registration = Some(sender.clone());
        let controllers = Controllers::new(&self.controllers.addresses, self.tls.clone());
        tasks.spawn(register(controllers, receiver, self.told.clone(), self.lease.clone()));
        let (mut drained, mut changes) = (self.drained.subscribe(), witness.changes());
        tasks.spawn(async move {
            loop {
                changes.mark_unchanged();
                let (is_ready, epoch) = (desk.is_ready(), *drained.borrow_and_update());
                let outlook = witness.outlook(Instant::now());
                sender.send_if_modified(|registration| {
                    let presence = &mut registration.presence;
                    let reach = |outlook: &Option<Outlook>| {
                        outlook.as_ref().map(|outlook| (outlook.primary.clone(), outlook.reach))
                    };
                    let is_news = presence.is_serving != is_ready
                        || presence.drained != epoch
                        || reach(&presence.primary) != reach(&outlook);
                    // Ages grow, and go with the next renewal.
                    (presence.is_serving, presence.drained, presence.primary) = (is_ready, epoch, outlook);
                    is_news
                });
                tokio::select! {
                    () = tokio::time::sleep(PRESENCE_PAUSE) => {}
                    changed = drained.changed() => if changed.is_err() { return },
                    changed = changes.changed() => if changed.is_err() { return },
                }
            }
        });
    }
}

/// Behind the name of a gate that another process follows, before its tag.
const LEAVING: &str = " (leaving, ";

/// Between two looks at whether the gate serves, and whether the primary answers.
const PRESENCE_PAUSE: Duration = Duration::from_millis(200);

/// What the controllers know a gate by. An address that other machines have as well (any, the loopback, a socket's path) does not tell
/// one gate from another: they would take each other's lease.
fn name_of(clients: &str, host: &str) -> String {
    let is_own = |address: SocketAddr| !address.ip().is_unspecified() && !address.ip().is_loopback();
    if host.is_empty() || clients.parse().is_ok_and(is_own) { clients.to_string() } else { format!("{host}/{clients}") }
}

/// Empty when the system does not tell.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_of_two_machines_have_two_names() {
        for (clients, name) in [
            ("10.0.0.1:3306", "10.0.0.1:3306"),
            ("0.0.0.0:3306", "db1/0.0.0.0:3306"),
            ("[::]:3306", "db1/[::]:3306"),
            ("127.0.0.1:3306", "db1/127.0.0.1:3306"),
            ("/run/weir.sock", "db1//run/weir.sock"),
        ] {
            assert_eq!(name_of(clients, "db1"), name);
        }
        assert_eq!(name_of("0.0.0.0:3306", ""), "0.0.0.0:3306");
    }
}
