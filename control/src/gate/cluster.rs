//! The cluster as a gate hears of it from the controllers: members become backends, and the record's primary is the only
//! one.
//!
//! Invariant: without controllers the last word holds (S78), and no later one goes back to an older epoch (S75). The
//! gate starts with the word that it kept when there are no controllers.

use super::crew::Crew;
use super::desk::Desk;
use super::roster::{Roster, Step};
use crate::config::{Config, ControllersConfig};
use crate::controller::client::{Controllers, Lease, Told, follow, register};
use crate::controller::leases::{Kind, Presence};
use crate::controller::record::{Phase, Record};
use crate::controller::roll::Registration;
use crate::grpc::tls::ClientTls;
use crate::monitor::Topology;
use crate::monitor::topology::Ordained;
use crate::status::ClusterPicture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub struct Cluster {
    controllers: ControllersConfig,
    tls: Option<ClientTls>,
    told: Told,
    news: watch::Receiver<Option<Arc<Record>>>,
    roster: Roster,
    /// Of the gate itself.
    lease: watch::Sender<Lease>,
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
        let lease = watch::channel(Lease::default()).0;
        Ok(Some(Cluster { controllers, tls, told, news, roster: Roster::default(), lease }))
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
        if record.phase == Phase::Forming {
            // Nobody has decided yet: the servers' own evidence does.
            return;
        }
        topology.ordain(Ordained { epoch: record.epoch.number(), primary: record.primary().map(ToString::to_string) });
    }

    /// For operators: what was told last, and why no more comes.
    pub fn picture(&self) -> ClusterPicture {
        ClusterPicture { record: self.told.record(), why: self.lease.borrow().why.clone() }
    }

    /// Tells the controllers of this gate.
    pub fn announce(&self, clients: String, grpc: String, desk: Desk, tasks: &mut JoinSet<()>) {
        let registration = Registration {
            kind: Kind::Gate,
            name: clients.clone(),
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
        let controllers = Controllers::new(&self.controllers.addresses, self.tls.clone());
        tasks.spawn(register(controllers, receiver, self.told.clone(), self.lease.clone()));
        tasks.spawn(async move {
            loop {
                let is_ready = desk.is_ready();
                sender.send_if_modified(|registration| {
                    std::mem::replace(&mut registration.presence.is_serving, is_ready) != is_ready
                });
                tokio::time::sleep(PRESENCE_PAUSE).await;
            }
        });
    }
}

/// Between two looks at whether the gate serves, for the operators' list.
const PRESENCE_PAUSE: Duration = Duration::from_secs(1);
