//! The control loop: the one owner of topology and cores. What watchers see, cores tell and operators ask goes in;
//! snapshots, pictures and an end come out.
//!
//! Invariant: it never waits for a core, so a core that hangs can't keep the others from the news.

use super::certificates::Certificates;
use super::cluster::Cluster;
use super::crew::Crew;
use super::desk::{Ask, Desk};
use super::events::Events;
use super::files::Files;
use super::filters::Keeper;
use super::gather::Gather;
use super::inquiries::Inquiries;
use super::kills::{Kills, Order as KillOrder};
use crate::config::{BackendConfig, Config, Source, address};
use crate::controller::outlook::Reach;
use crate::monitor::discover::Replica;
use crate::monitor::{Sight, Topology};
use crate::notify;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::Instant;
use weir_core::drive::{ControlInbox, Running};
use weir_core::mail::{ControlMail, Level, Mail, Sign};

mod reload;
mod showing;
mod succession;

pub use reload::Reloaded;
pub use showing::By;
use showing::{Pictured, Wanted};
pub use succession::{Succession, Upgraded};

/// From signals, or from who holds the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Drain,
    Reload,
    Upgrade,
    Stop,
    StopUnlessDraining,
}

pub struct Inputs {
    pub sights: mpsc::Receiver<Sight>,
    pub asks: mpsc::Receiver<Ask>,
    /// Of other gates.
    pub kills: mpsc::Receiver<KillOrder>,
    pub orders: mpsc::UnboundedReceiver<Order>,
}

pub struct Control {
    running: Running,
    topology: Topology,
    desk: Desk,
    crew: Crew,
    cluster: Option<Cluster>,
    inquiries: Inquiries,
    kills: Kills,
    files: Files,
    filters: Keeper,
    certificates: Certificates,
    succession: Succession,
    /// What discovery could not use, so that it is told once.
    passed_over: Vec<String>,
    began: Instant,
    listen: Vec<String>,
    /// As it was read; what was set since is the topology's.
    config: Config,
    /// None: it was not typed, and cannot be read again.
    source: Option<Source>,
    events: Events,
    gather: Gather<Pictured, Wanted>,
    /// Since when a primary is sought.
    sought: Option<Instant>,
    life: Life,
}

enum Life {
    Serving,
    /// Another process has the sockets. Until then sessions go on; for ever without a limit.
    Leaving {
        until: Option<Instant>,
        look_at: Instant,
    },
    /// Cores that still have sessions, until then.
    Draining {
        left: Vec<bool>,
        until: Instant,
    },
    Over,
}

impl Control {
    pub fn new(
        (config, source): (&Config, Option<Source>),
        running: Running,
        topology: Topology,
        desk: Desk,
        (crew, cluster, inquiries, kills): (Crew, Option<Cluster>, Inquiries, Kills),
        (files, filters, certificates, succession, events): (Files, Keeper, Certificates, Succession, Events),
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
            kills,
            files,
            filters,
            certificates,
            succession,
            passed_over: Vec::new(),
            began,
            config: config.clone(),
            source,
            events,
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
                    self.tell(mails);
                }
                heard = self.kills.heard() => {
                    let (mails, news) = self.kills.handle_news(Instant::now(), heard, self.running.cores());
                    self.tell(mails);
                    news.into_iter().for_each(|news| self.handle_kin(news));
                }
                Some(order) = inputs.kills.recv() => {
                    let mails = self.kills.handle_peer(Instant::now(), order, self.running.cores());
                    self.tell(mails);
                }
                () = self.files.changed() => {
                    self.topology.permit(self.files.held());
                    self.publish();
                }
                news = self.filters.news() => self.handle_filters(news),
                () = self.certificates.due() => self.renew_certificates(),
                heard = self.succession.heard(), if matches!(self.life, Life::Serving) => self.handle_heir(heard),
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
            Life::Leaving { until, look_at } => Some(until.map_or(*look_at, |until| until.min(*look_at))),
            Life::Serving | Life::Over => None,
        };
        let idle = Instant::now() + IDLE;
        [self.gather.poll_timeout(), self.inquiries.poll_timeout(), self.kills.poll_timeout(), drain]
            .into_iter()
            .flatten()
            .fold(idle, Instant::min)
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(gathered) = self.gather.handle_timeout(now) {
            self.answer(gathered);
        }
        self.inquire(now);
        let mails = self.kills.handle_timeout(now);
        self.tell(mails);
        self.look_who_is_left(now);
        if let Life::Draining { until, left } = &self.life
            && *until <= now
        {
            let cores = left.iter().filter(|left| **left).count();
            self.events.note("drain_timed_out", "gate", format!("sessions of {cores} cores are cut"));
            tracing::warn!(event = "drain_timed_out", cores, "sessions were still open on these cores and are cut");
            self.life = Life::Over;
        }
    }

    fn inquire(&mut self, now: Instant) {
        let mails = self.inquiries.advance(now, &self.topology);
        self.tell(mails);
    }

    fn tell(&self, mails: Vec<(usize, Mail)>) {
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
                ControlMail::SetGlobal { token, user, values } => {
                    self.set_global(&String::from_utf8_lossy(&user), &values);
                    self.running.post(core, Mail::GlobalSet { token });
                }
                ControlMail::Filter { token, user, statement } => {
                    self.change_filters(&statement, &String::from_utf8_lossy(&user), By::Core(core, token));
                }
                ControlMail::Show { token, show } => self.handle_show(show, By::Core(core, token)),
                ControlMail::Lost(lost) => self.inquiries.handle_lost(core, lost, &self.topology),
                ControlMail::Kill { token, kill } => {
                    let mails = self.kills.handle_kill(Instant::now(), core, token, kill);
                    self.tell(mails);
                }
                ControlMail::Killed { token, outcome } => self.kills.handle_killed(Instant::now(), token, outcome),
                ControlMail::Statement(event) => self.files.log(&event),
                ControlMail::Span(span) => self.files.trace(inbox.now(), span),
                ControlMail::Copied(copied) => self.files.mirror(copied),
                ControlMail::Audit(event) => self.files.audit(&event),
                ControlMail::Drained => self.handle_drained(core),
                ControlMail::HandedOver { epoch } => {
                    let cores = self.running.cores();
                    if let Some(cluster) = &mut self.cluster {
                        cluster.handle_handed_over(core, cores, epoch);
                    }
                }
                ControlMail::Log { level, event, detail } => self.handle_log(core, level, event, &detail),
            }
        }
    }

    fn handle_log(&mut self, core: usize, level: Level, event: &'static str, detail: &str) {
        match level {
            Level::Info => return tracing::info!(event, core, "{detail}"),
            Level::Warn => tracing::warn!(event, core, "{detail}"),
            Level::Error => tracing::error!(event, core, "{detail}"),
        }
        self.events.note(event, &format!("core {core}"), detail);
    }

    /// For all cores, until the gate restarts.
    fn set_global(&mut self, user: &str, values: &[(Box<str>, String)]) {
        for (name, value) in values {
            self.events.note("setting_changed", name, format!("{user} has set it to {value}"));
            tracing::info!(event = "setting_changed", %user, name = &**name, value, "{user} has set {name} to {value}");
        }
        self.topology.set_variables(values);
        self.publish();
    }

    fn handle_sight(&mut self, sight: Sight) {
        match sight {
            Sight::Replicas { outcome, .. } => self.handle_replicas(outcome),
            sight => fold(&mut self.topology, &mut self.events, sight, self.began),
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
            self.events.note(
                "backend_discovered",
                &config.name,
                format!("server {server_uuid} is a backend from now on"),
            );
            tracing::info!(event = "backend_discovered", backend = config.name, server_uuid, "found a replica");
            self.topology.add(config.clone(), Some(server_uuid));
            self.crew.watch(&config);
        }
    }

    fn handle_cluster(&mut self) {
        if let Some(cluster) = &mut self.cluster {
            cluster.handle_news(&mut self.topology, &mut self.crew);
        }
        if let Some(record) = self.cluster.as_ref().and_then(Cluster::record)
            && self.filters.hear(&record)
        {
            self.topology.filter(self.filters.held());
        }
        self.note_epoch();
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
        let open = self.topology.open_primary().and_then(|open| self.topology.name(usize::from(open.backend.0)));
        self.events.handle_primary(Instant::now(), open);
        let Some(snapshot) = self.topology.news() else { return };
        self.running.publish(snapshot);
        self.inquire(Instant::now());
        self.crew.tell_source(self.topology.source());
        self.desk.set_ready(self.is_ready());
    }

    fn is_draining(&self) -> bool {
        !matches!(self.life, Life::Serving)
    }

    fn is_ready(&self) -> bool {
        !self.is_draining() && self.topology.is_usable()
    }

    fn handle_order(&mut self, order: Order) {
        match (order, &self.life) {
            (Order::Drain, Life::Serving | Life::Leaving { .. }) => self.drain(),
            (Order::Upgrade, _) => self.start_upgrade(None),
            (Order::Reload, _) => drop(self.reload()),
            (Order::Drain, _) | (Order::StopUnlessDraining, Life::Draining { .. }) => {}
            (Order::Stop | Order::StopUnlessDraining, _) => {
                self.disinherit();
                self.kills.say_over();
                self.life = Life::Over;
            }
        }
    }

    fn drain(&mut self) {
        self.disinherit();
        if matches!(self.life, Life::Serving) {
            notify::stopping();
            self.kills.say_over();
        }
        let drain_ms_max = self.config.settings.drain_ms_max;
        self.events.note(
            "drain_started",
            "gate",
            format!("no new clients; transactions may go on for {drain_ms_max} ms"),
        );
        tracing::info!(
            event = "drain_started",
            limit_ms = drain_ms_max,
            "no new clients; open transactions may end; a second signal ends the gate at once"
        );
        let cores = self.running.cores();
        self.running.stop_accepting();
        (0..cores).for_each(|core| self.running.post(core, Mail::Drain { within_ms: drain_ms_max }));
        // The cores end sessions themselves at the limit; a little later we don't wait for them either.
        let until = Instant::now() + Duration::from_millis(drain_ms_max) + DRAIN_GRACE;
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

/// One sight into the topology, and what changed into the log and the events.
pub fn fold(topology: &mut Topology, log: &mut Events, sight: Sight, began: Instant) {
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
        log.note(if event.is_trouble { "backend_trouble" } else { "backend_news" }, &backend, text.clone());
        match event.is_trouble {
            true => tracing::warn!(event = "backend_trouble", backend, "backend {backend} {text}"),
            false => tracing::info!(event = "backend_news", backend, "backend {backend} {text}"),
        }
    }
}

/// As many as a configuration may name.
const BACKENDS_MAX: usize = 256;

/// Longer than statements wait for a primary; then the usual looks will do.
const SEEK: Duration = Duration::from_secs(30);

const DRAIN_GRACE: Duration = Duration::from_millis(1_000);

/// Without anything to do: any long time.
const IDLE: Duration = Duration::from_secs(3_600);
