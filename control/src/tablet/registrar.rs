//! The registrar: a tablet's end of the controllers: it announces the server, keeps the lease alive, and follows the topology.
//!
//! ```text
//!   Word ── handle_word ──► Registration ──► register ── Lease ──┐
//!                                            follow ─── Record ──┴─► advance ──► Membership
//! ```
//! Invariant: controllers may be gone, started later or be others tomorrow; nothing of it ends the tablet, and each state is
//! left by itself when its reason is gone. What is announced is what the server last showed.

use super::Guide;
use super::membership::{Enrolment, Membership};
use super::word::Word;
use crate::config::address;
use crate::config::tablet::{MembershipConfig, TabletConfig};
use crate::controller::client::{Controllers, Lease, Told, follow, register};
use crate::controller::leases::{Kind, Presence};
use crate::controller::record::Record;
use crate::controller::roll::Registration;
use crate::grpc::tls::ClientTls;
use crate::monitor::Standing;
use crate::monitor::topology::role_name;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weir_core::snapshot::Address;

pub struct Registrar {
    config: MembershipConfig,
    listen: SocketAddr,
    tls: Option<ClientTls>,
    told: Told,
    news: watch::Receiver<Option<Arc<Record>>>,
    lease: watch::Sender<Lease>,
    leases: watch::Receiver<Lease>,
    /// None: there is nothing yet that could be announced.
    announced: Option<watch::Sender<Registration>>,
    membership: Membership,
    /// As of the last `advance`: when a lease ends, nobody else says so.
    enrolment: Enrolment,
    tasks: JoinSet<()>,
}

impl Registrar {
    /// None: no controllers are named. Begins to follow them; `listen`: where this tablet is asked.
    pub fn start(config: &TabletConfig, listen: SocketAddr) -> Result<Option<Registrar>, String> {
        let Some(member) = config.membership.clone() else { return Ok(None) };
        let told = Told::open(member.controllers.cache.as_deref())?;
        let tls = if config.tls.ca.is_some() { ClientTls::load(&config.tls)? } else { None };
        let mut tasks = JoinSet::new();
        let controllers = Controllers::new(&member.controllers.addresses, tls.clone());
        tasks.spawn(follow::follow(controllers, told.clone()));
        let (lease, leases) = watch::channel(Lease { until: None, why: NOT_LOOKED_AT.to_string() });
        Ok(Some(Registrar {
            config: member,
            listen,
            tls,
            news: told.news(),
            told,
            lease,
            leases,
            announced: None,
            membership: Membership::new(&config.name),
            enrolment: Enrolment::NotRegistered,
            tasks,
        }))
    }

    /// What controllers are asked with.
    pub fn tls(&self) -> Option<ClientTls> {
        self.tls.clone()
    }

    /// For the steward: all that is told from now on.
    pub fn guide(&self) -> Guide {
        Guide { record: self.told.news(), lease: self.leases.clone() }
    }

    /// What the server shows now is announced, at once when it is another thing than before.
    pub fn handle_word(&mut self, word: &Word) {
        self.membership.role = word.role;
        if word.standing == Standing::Connecting {
            return;
        }
        let registration = match self.registration(word) {
            Ok(registration) => registration,
            Err(why) => {
                let is_news = self.lease.borrow().why != why;
                // One that is announced already stays where it was.
                if is_news && self.announced.is_none() {
                    tracing::warn!(event = "lease_not_prolonged", name = word.name, "not registered: {why}");
                    self.lease.send_modify(|lease| lease.why = why);
                }
                return;
            }
        };
        if let Some(announced) = &self.announced {
            announced.send_if_modified(|before| {
                let is_news = *before != registration;
                *before = registration;
                is_news
            });
            return;
        }
        self.warn_about_loopback(&registration);
        let (sender, receiver) = watch::channel(registration);
        let controllers = Controllers::new(&self.config.controllers.addresses, self.tls.clone());
        self.tasks.spawn(register(controllers, receiver, self.told.clone(), self.lease.clone()));
        self.announced = Some(sender);
    }

    /// Waits until lease or topology are others, or the lease is over; for ever when there is no registrar.
    pub async fn changed(registrar: &mut Option<Registrar>) {
        let Some(registrar) = registrar else { return std::future::pending().await };
        let until = registrar.membership.lease.as_ref().and_then(|lease| lease.until);
        let until = until.filter(|_| registrar.enrolment == Enrolment::Registered);
        let is_over = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Neither ends before us: we hold the senders.
            _ = registrar.news.changed() => {}
            _ = registrar.leases.changed() => {}
            () = is_over => {}
        }
    }

    /// What holds now.
    pub fn advance(&mut self, now: Instant) -> &Membership {
        self.membership.lease = Some(self.leases.borrow_and_update().clone());
        self.membership.record = self.news.borrow_and_update().clone();
        self.enrolment = self.membership.enrolment(now);
        &self.membership
    }

    /// Err: what is missing, and what to do.
    fn registration(&self, word: &Word) -> Result<Registration, String> {
        if word.address.is_empty() {
            return Err(NO_ADDRESS.to_string());
        }
        let grpc = match &self.config.advertise_grpc {
            Some(advertised) => advertised.clone(),
            None => reachable(self.listen, &word.address).ok_or(NO_GRPC_ADDRESS)?,
        };
        let facts = word.facts.as_deref();
        let presence = Presence {
            role: role_name(word.role).to_string(),
            is_serving: word.is_serving(),
            why: word.why.clone(),
            server_uuid: facts.map(|facts| facts.server_uuid.clone()).unwrap_or_default(),
            version: facts.map(|facts| facts.version.clone()).unwrap_or_default(),
            // The register task knows best what was seen, and only gates are drained.
            ..Presence::default()
        };
        Ok(Registration {
            kind: Kind::Tablet,
            name: word.name.clone(),
            address: word.address.clone(),
            grpc,
            zone: self.config.zone.clone(),
            tags: [].into(),
            weight: Some(self.config.weight),
            presence,
        })
    }

    fn warn_about_loopback(&self, registration: &Registration) {
        let is_elsewhere = self.config.controllers.addresses.iter().any(|address| !is_loopback(address));
        for (what, address) in [("advertise", &registration.address), ("advertise_grpc", &registration.grpc)] {
            if is_elsewhere && is_loopback(address) {
                let text = "only processes of this machine reach that";
                tracing::warn!(event = "loopback_advertised", what, address, "{what}: {address}: {text}; set --{what}");
            }
        }
    }
}

/// Who listens everywhere is reached where its server is.
fn reachable(listen: SocketAddr, server: &str) -> Option<String> {
    if !listen.ip().is_unspecified() {
        return Some(listen.to_string());
    }
    match address::backend(server).ok()? {
        Address::Tcp(server) => Some(SocketAddr::new(server.ip(), listen.port()).to_string()),
        Address::Unix(_) => None,
    }
}

fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

const NOT_LOOKED_AT: &str = "the server has not been looked at yet";
const NO_ADDRESS: &str =
    "nobody knows where gates reach the server: start it with --advertise HOST:PORT, or set report_host";
const NO_GRPC_ADDRESS: &str = "nobody knows where gates reach this agent: start it with --advertise-grpc HOST:PORT";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ControllersConfig;
    use crate::monitor::facts::tests::facts;
    use weir_core::snapshot::Role;

    fn registrar(listen: &str) -> Registrar {
        let server = Address::Tcp("10.0.0.7:3306".parse().unwrap());
        let controllers = ControllersConfig { addresses: vec!["127.0.0.1:1".to_string()], cache: None };
        let membership = Some(MembershipConfig { controllers, advertise_grpc: None, zone: "z".to_string(), weight: 7 });
        let config = TabletConfig { membership, name: "db1".to_string(), ..TabletConfig::local(&server, "u", "p") };
        Registrar::start(&config, listen.parse().unwrap()).unwrap().unwrap()
    }

    fn serving(address: &str) -> Word {
        let facts = crate::monitor::Facts { server_uuid: "u-1".to_string(), ..facts() };
        Word {
            standing: Standing::Serving,
            role: Role::Replica,
            facts: Some(Arc::new(facts)),
            address: address.to_string(),
            ..Word::new("db1", None)
        }
    }

    #[tokio::test]
    async fn what_is_announced_is_what_the_server_shows() {
        let mut registrar = registrar("0.0.0.0:7406");
        registrar.handle_word(&Word::new("db1", None));
        assert_eq!(registrar.advance(Instant::now()).why(), NOT_LOOKED_AT);
        registrar.handle_word(&serving(""));
        assert_eq!(registrar.advance(Instant::now()).why(), NO_ADDRESS);
        registrar.handle_word(&serving("unix:/run/m.sock"));
        assert_eq!(registrar.advance(Instant::now()).why(), NO_GRPC_ADDRESS);
        assert!(registrar.announced.is_none());
        registrar.handle_word(&serving("10.0.0.7:3306"));
        let said = registrar.announced.as_ref().unwrap().borrow().clone();
        let Registration { name, address, grpc, zone, weight, presence, .. } = said;
        assert_eq!((name.as_str(), address.as_str(), grpc.as_str()), ("db1", "10.0.0.7:3306", "10.0.0.7:7406"));
        assert_eq!((zone.as_str(), weight), ("z", Some(7)));
        assert_eq!((presence.role.as_str(), presence.server_uuid.as_str()), ("replica", "u-1"));
        assert!(presence.is_serving);
        // It stops: told at once, from the same place.
        let why = "nobody listens".to_string();
        let down = Word {
            standing: Standing::ServerStopped,
            role: Role::Unknown,
            facts: None,
            why,
            ..serving("10.0.0.7:3306")
        };
        registrar.handle_word(&down);
        let said = registrar.announced.as_ref().unwrap().borrow().clone();
        assert_eq!((said.presence.is_serving, said.presence.why.as_str()), (false, "nobody listens"));
        assert_eq!(registrar.advance(Instant::now()).role, Role::Unknown);
    }

    #[tokio::test]
    async fn the_end_of_a_lease_is_news_once() {
        let mut registrar = registrar("127.0.0.1:7406");
        let soon = Instant::now() + std::time::Duration::from_millis(20);
        registrar.lease.send_replace(Lease { until: Some(soon), why: String::new() });
        assert_eq!(registrar.advance(Instant::now()).enrolment(Instant::now()), Enrolment::Registered);
        let mut registrar = Some(registrar);
        Registrar::changed(&mut registrar).await;
        let now = Instant::now();
        assert!(now >= soon);
        assert_eq!(registrar.as_mut().unwrap().advance(now).enrolment(now), Enrolment::NotRegistered);
        let again = tokio::time::timeout(std::time::Duration::from_millis(50), Registrar::changed(&mut registrar));
        assert!(again.await.is_err(), "it was told already");
    }

    #[test]
    fn where_an_agent_is_reached() {
        let check = |listen: &str, server: &str, expected: Option<&str>| {
            assert_eq!(reachable(listen.parse().unwrap(), server).as_deref(), expected);
        };
        check("10.0.0.7:7406", "unix:/run/m.sock", Some("10.0.0.7:7406"));
        check("0.0.0.0:7406", "10.0.0.8:3306", Some("10.0.0.8:7406"));
        check("[::]:7406", "[::1]:3306", Some("[::1]:7406"));
        check("[::]:7406", "unix:/run/m.sock", None);
        assert!(is_loopback("127.0.0.1:1") && is_loopback("[::1]:1") && is_loopback("localhost:1"));
        assert!(!is_loopback("db1:3306") && !is_loopback("10.0.0.7:1") && !is_loopback("unix:/run/m.sock"));
    }
}
