//! The control loop: the one owner of topology and cores. What watchers see, cores tell and operators ask goes in;
//! snapshots, pictures and an end come out.
//!
//! Invariant: it never waits for a core, so a core that hangs can't keep the others from the news.

use super::cluster::Cluster;
use super::crew::Crew;
use super::desk::{Ask, Desk};
use super::files::Files;
use super::gather::{Gather, Gathered};
use super::inquiries::Inquiries;
use crate::config::{BackendConfig, Config, address};
use crate::controller::outlook::Reach;
use crate::monitor::discover::Replica;
use crate::monitor::{Sight, Topology};
use crate::status::Picture;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::Instant;
use weir_core::drive::{ControlInbox, Running};
use weir_core::mail::{ControlMail, Level, Mail, Sign};

/// From signals, or from who holds the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Drain,
    Reload,
    Stop,
    StopUnlessDraining,
}

pub struct Inputs {
    pub sights: mpsc::Receiver<Sight>,
    pub asks: mpsc::Receiver<Ask>,
    pub orders: mpsc::UnboundedReceiver<Order>,
}

pub struct Control {
    running: Running,
    topology: Topology,
    desk: Desk,
    crew: Crew,
    cluster: Option<Cluster>,
    inquiries: Inquiries,
    files: Files,
    /// What discovery could not use, so that it is told once.
    passed_over: Vec<String>,
    began: Instant,
    listen: Vec<String>,
    replica_lag_ms_max: u32,
    drain_ms_max: u64,
    gather: Gather,
    /// Since when a primary is sought.
    sought: Option<Instant>,
    life: Life,
}

enum Life {
    Serving,
    /// Cores that still have sessions, until then.
    Draining {
        left: Vec<bool>,
        until: Instant,
    },
    Over,
}

impl Control {
    pub fn new(
        config: &Config,
        running: Running,
        topology: Topology,
        desk: Desk,
        (crew, cluster, inquiries): (Crew, Option<Cluster>, Inquiries),
        files: Files,
        began: Instant,
    ) -> Control {
        desk.set_ready(topology.is_usable());
        Control {
            listen: running.addresses().iter().map(address::show_listen).collect(),
            running,
            topology,
            desk,
            crew,
            cluster,
            inquiries,
            files,
            passed_over: Vec::new(),
            began,
            replica_lag_ms_max: config.settings.replica_lag_ms_max,
            drain_ms_max: config.settings.drain_ms_max,
            gather: Gather::default(),
            sought: None,
            life: Life::Serving,
        }
    }

    /// Returns when the cores have ended.
    pub async fn run(mut self, mut inputs: Inputs) -> std::io::Result<()> {
        // SAFETY: the inbox holds the exchange, and with it the open descriptor, which never changes.
        let inbox = unsafe { AsyncFd::register_with_interest(self.running.inbox(), Interest::READABLE) };
        let inbox = inbox.map_err(std::io::Error::from)?;
        while !matches!(self.life, Life::Over) {
            let deadline = self.poll_timeout();
            tokio::select! {
                ready = inbox.readable() => {
                    // First the mark, then the mail: what comes in between rings again.
                    ready?.clear_ready();
                    self.take_mail(inbox.get_ref());
                }
                Some(sight) = inputs.sights.recv() => {
                    self.handle_sight(sight);
                    while let Ok(sight) = inputs.sights.try_recv() {
                        self.handle_sight(sight);
                    }
                    self.publish();
                }
                () = Cluster::changed(&mut self.cluster) => {
                    self.handle_cluster();
                    self.publish();
                }
                answer = self.inquiries.answered() => {
                    let mails = self.inquiries.handle_answer(answer, &self.topology);
                    self.tell_found(mails);
                }
                () = self.files.changed() => {
                    self.topology.permit(self.files.held());
                    self.publish();
                }
                Some(ask) = inputs.asks.recv() => self.handle_ask(ask),
                // Who could give orders has gone: so do we.
                order = inputs.orders.recv() => self.handle_order(order.unwrap_or(Order::Stop)),
                () = tokio::time::sleep_until(deadline) => self.handle_timeout(Instant::now()),
            }
        }
        drop(inbox);
        self.running.join();
        tracing::info!(event = "gate_ended", "weir has ended");
        Ok(())
    }

    fn poll_timeout(&self) -> Instant {
        let drain = match &self.life {
            Life::Draining { until, .. } => Some(*until),
            Life::Serving | Life::Over => None,
        };
        let idle = Instant::now() + IDLE;
        [self.gather.poll_timeout(), self.inquiries.poll_timeout(), drain]
            .into_iter()
            .flatten()
            .fold(idle, Instant::min)
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(gathered) = self.gather.handle_timeout(now) {
            self.answer(gathered);
        }
        self.inquire(now);
        if let Life::Draining { until, left } = &self.life
            && *until <= now
        {
            let cores = left.iter().filter(|left| **left).count();
            tracing::warn!(event = "drain_timed_out", cores, "sessions were still open on these cores and are cut");
            self.life = Life::Over;
        }
    }

    fn inquire(&mut self, now: Instant) {
        let mails = self.inquiries.advance(now, &self.topology);
        self.tell_found(mails);
    }

    fn tell_found(&self, mails: Vec<(usize, Mail)>) {
        mails.into_iter().for_each(|(core, mail)| self.running.post(core, mail));
    }

    fn take_mail(&mut self, inbox: &ControlInbox) {
        while let Some((core, mail)) = inbox.try_recv() {
            match mail {
                ControlMail::Report { token, report } => {
                    if let Some(gathered) = self.gather.handle_report(token, *report) {
                        self.answer(gathered);
                    }
                }
                ControlMail::Suspect { backend, why, sign } => {
                    let at = usize::from(backend.0);
                    tracing::debug!(event = "backend_suspected", core, backend = at, why);
                    self.crew.nudge(at);
                    if let (Some(cluster), Some(name)) = (&self.cluster, self.topology.name(at)) {
                        let reach = match sign {
                            Sign::Silent => Reach::Silent,
                            Sign::Refuses => Reach::Refuses,
                            Sign::ReadOnly => Reach::ReadOnly,
                        };
                        cluster.handle_suspect(name, reach);
                    }
                }
                ControlMail::SetGlobal { token, user, values } => self.set_global(core, token, &user, &values),
                ControlMail::Lost(lost) => self.inquiries.handle_lost(core, lost, &self.topology),
                ControlMail::Statement(event) => self.files.log(&event),
                ControlMail::Drained => self.handle_drained(core),
                ControlMail::HandedOver { epoch } => {
                    let cores = self.running.cores();
                    if let Some(cluster) = &mut self.cluster {
                        cluster.handle_handed_over(core, cores, epoch);
                    }
                }
                ControlMail::Log { level, event, detail } => match level {
                    Level::Info => tracing::info!(event, core, "{detail}"),
                    Level::Warn => tracing::warn!(event, core, "{detail}"),
                    Level::Error => tracing::error!(event, core, "{detail}"),
                },
            }
        }
    }

    /// For all cores, until the gate restarts.
    fn set_global(&mut self, core: usize, token: u64, user: &[u8], values: &[(Box<str>, String)]) {
        for (name, value) in values {
            let user = String::from_utf8_lossy(user);
            tracing::info!(event = "setting_changed", %user, name = &**name, value, "{user} has set {name} to {value}");
        }
        self.topology.set_variables(values);
        self.publish();
        self.running.post(core, Mail::GlobalSet { token });
    }

    fn handle_sight(&mut self, sight: Sight) {
        match sight {
            Sight::Replicas { outcome, .. } => self.handle_replicas(outcome),
            sight => fold(&mut self.topology, sight, self.began),
        }
    }

    /// Whom the servers say they replicate to becomes a backend; one that is not named any more stays, and is down when it is.
    fn handle_replicas(&mut self, outcome: Result<Vec<Replica>, String>) {
        let replicas = match outcome {
            Ok(replicas) => replicas,
            Err(why) => return self.pass_over(why),
        };
        for Replica { server_uuid, address, .. } in replicas {
            let address = match address {
                Ok(address) if !self.topology.is_known(&address, &server_uuid) => address,
                Ok(_) => continue,
                Err(why) => {
                    self.pass_over(why);
                    continue;
                }
            };
            let config = BackendConfig::at(&address);
            if self.topology.views().len() >= BACKENDS_MAX {
                return self.pass_over(format!("there are {BACKENDS_MAX} backends: no more are added"));
            }
            tracing::info!(event = "backend_discovered", backend = config.name, server_uuid, "found a replica");
            self.topology.add(config.clone(), Some(server_uuid));
            self.crew.watch(&config);
        }
    }

    fn handle_cluster(&mut self) {
        if let Some(cluster) = &mut self.cluster {
            cluster.handle_news(&mut self.topology, &mut self.crew);
        }
    }

    fn pass_over(&mut self, why: String) {
        if !self.passed_over.contains(&why) && self.passed_over.len() < BACKENDS_MAX {
            tracing::warn!(event = "discovery_failed", "{why}");
            self.passed_over.push(why);
        }
    }

    /// Nobody is primary any more: whoever is to be next is looked at as often as may be, for a while.
    fn seek(&mut self) {
        if !self.topology.seeks_primary() {
            self.sought = None;
        } else if self.sought.get_or_insert_with(Instant::now).elapsed() < SEEK {
            self.crew.nudge_all();
        }
    }

    fn publish(&mut self) {
        if let Some(cluster) = &self.cluster {
            cluster.handle_word(self.topology.is_holder_read_only());
        }
        self.seek();
        let Some(snapshot) = self.topology.news() else { return };
        self.running.publish(snapshot);
        self.inquire(Instant::now());
        self.crew.tell_source(self.topology.source());
        self.desk.set_ready(self.is_ready());
    }

    fn is_ready(&self) -> bool {
        matches!(self.life, Life::Serving) && self.topology.is_usable()
    }

    fn handle_ask(&mut self, ask: Ask) {
        let cores = self.running.cores();
        if let Some(token) = self.gather.handle_ask(ask, cores, Instant::now() + REPORT_LIMIT) {
            (0..cores).for_each(|core| self.running.post(core, Mail::Report { token }));
        }
    }

    fn answer(&self, gathered: Gathered) {
        let picture = Arc::new(self.picture(gathered.reports));
        for ask in gathered.asks {
            // Who asked may have left.
            let _ = ask.send(picture.clone());
        }
    }

    fn picture(&self, reports: Vec<weir_core::stats::Report>) -> Picture {
        let views = self.topology.views().into_iter().enumerate();
        Picture {
            uptime_ms: self.began.elapsed().as_millis() as u64,
            ready: self.is_ready(),
            draining: !matches!(self.life, Life::Serving),
            generation: self.topology.generation(),
            listen: self.listen.clone(),
            cores: self.running.cores(),
            backends: views.map(|(at, view)| (view, self.topology.note(at).to_string())).collect(),
            read_write_splitting: self.topology.settings().read_write_splitting,
            replica_lag_ms_max: self.replica_lag_ms_max,
            cluster: self.cluster.as_ref().map(Cluster::picture),
            own: self.files.counters(self.running.inbox().statements_dropped()),
            reports,
        }
    }

    fn handle_order(&mut self, order: Order) {
        match (order, &self.life) {
            (Order::Drain, Life::Serving) => self.drain(),
            (Order::Reload, _) => self.files.reload(),
            (Order::Drain, _) | (Order::StopUnlessDraining, Life::Draining { .. }) => {}
            (Order::Stop | Order::StopUnlessDraining, _) => self.life = Life::Over,
        }
    }

    fn drain(&mut self) {
        tracing::info!(
            event = "drain_started",
            limit_ms = self.drain_ms_max,
            "no new clients; open transactions may end; a second signal ends the gate at once"
        );
        let cores = self.running.cores();
        self.running.stop_accepting();
        (0..cores).for_each(|core| self.running.post(core, Mail::Drain { within_ms: self.drain_ms_max }));
        // The cores end sessions themselves at the limit; a little later we don't wait for them either.
        let until = Instant::now() + Duration::from_millis(self.drain_ms_max) + DRAIN_GRACE;
        self.life = Life::Draining { left: vec![true; cores], until };
        self.desk.set_ready(false);
    }

    fn handle_drained(&mut self, core: usize) {
        let Life::Draining { left, .. } = &mut self.life else { return };
        if let Some(core) = left.get_mut(core) {
            *core = false;
        }
        if left.iter().all(|left| !left) {
            tracing::info!(event = "drain_ended", "all sessions have ended");
            self.life = Life::Over;
        }
    }
}

/// One sight into the topology, and what changed into the log.
pub fn fold(topology: &mut Topology, sight: Sight, began: Instant) {
    let now_ms = began.elapsed().as_millis() as u64;
    let events = match sight {
        Sight::Executed { backend, executed } => {
            topology.handle_executed(now_ms, backend, executed);
            Vec::new()
        }
        Sight::Look { backend, outcome } => topology.handle_look(now_ms, backend, outcome),
        Sight::Stale { backend } => topology.handle_stale(now_ms, backend),
        Sight::Found { backend, address } => {
            topology.handle_found(backend, address);
            Vec::new()
        }
        // The next word of the same comes when somebody can act on it.
        Sight::Replicas { .. } => Vec::new(),
    };
    for event in events {
        let (backend, text) = (event.backend, event.text);
        match event.is_trouble {
            true => tracing::warn!(event = "backend_trouble", backend, "backend {backend} {text}"),
            false => tracing::info!(event = "backend_news", backend, "backend {backend} {text}"),
        }
    }
}

/// As many as a configuration may name.
const BACKENDS_MAX: usize = 256;

/// How long a picture waits for reports; a core that is busier than that is named as silent.
const REPORT_LIMIT: Duration = Duration::from_millis(500);

/// Longer than statements wait for a primary; then the usual looks will do.
const SEEK: Duration = Duration::from_secs(30);

const DRAIN_GRACE: Duration = Duration::from_millis(1_000);

/// Without anything to do: any long time.
const IDLE: Duration = Duration::from_secs(3_600);
