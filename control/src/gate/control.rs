//! The control loop: the one owner of topology and cores. What watchers see, cores tell and operators ask goes in;
//! snapshots, pictures and an end come out.
//!
//! Invariant: it never waits for a core, so a core that hangs can't keep the others from the news.

use super::desk::{Ask, Desk};
use super::gather::{Gather, Gathered};
use crate::config::{Config, address};
use crate::monitor::{Sight, Topology};
use crate::status::Picture;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use weir_core::drive::{ControlInbox, Running};
use weir_core::mail::{ControlMail, Level, Mail};

/// From signals, or from who holds the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Drain,
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
    nudges: Vec<Arc<Notify>>,
    source: watch::Sender<Option<[u8; 16]>>,
    began: Instant,
    listen: Vec<String>,
    read_write_splitting: bool,
    replica_lag_ms_max: u32,
    drain_ms_max: u64,
    gather: Gather,
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
        nudges: Vec<Arc<Notify>>,
        source: watch::Sender<Option<[u8; 16]>>,
        began: Instant,
    ) -> Control {
        desk.set_ready(topology.is_usable());
        Control {
            listen: running.addresses().iter().map(address::show_listen).collect(),
            running,
            topology,
            desk,
            nudges,
            source,
            began,
            read_write_splitting: config.settings.read_write_splitting,
            replica_lag_ms_max: config.settings.replica_lag_ms_max,
            drain_ms_max: config.settings.drain_ms_max,
            gather: Gather::default(),
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
        [self.gather.poll_timeout(), drain].into_iter().flatten().fold(idle, Instant::min)
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(gathered) = self.gather.handle_timeout(now) {
            self.answer(gathered);
        }
        if let Life::Draining { until, left } = &self.life
            && *until <= now
        {
            let cores = left.iter().filter(|left| **left).count();
            tracing::warn!(event = "drain_timed_out", cores, "sessions were still open on these cores and are cut");
            self.life = Life::Over;
        }
    }

    fn take_mail(&mut self, inbox: &ControlInbox) {
        while let Some((core, mail)) = inbox.try_recv() {
            match mail {
                ControlMail::Report { token, report } => {
                    if let Some(gathered) = self.gather.handle_report(token, *report) {
                        self.answer(gathered);
                    }
                }
                ControlMail::Suspect { backend, why } => {
                    tracing::debug!(event = "backend_suspected", core, backend = backend.0, why);
                    if let Some(nudge) = self.nudges.get(usize::from(backend.0)) {
                        nudge.notify_one();
                    }
                }
                ControlMail::Drained => self.handle_drained(core),
                ControlMail::Log { level, event, detail } => match level {
                    Level::Info => tracing::info!(event, core, "{detail}"),
                    Level::Warn => tracing::warn!(event, core, "{detail}"),
                    Level::Error => tracing::error!(event, core, "{detail}"),
                },
            }
        }
    }

    fn handle_sight(&mut self, sight: Sight) {
        fold(&mut self.topology, sight, self.began);
    }

    fn publish(&mut self) {
        let Some(snapshot) = self.topology.news() else { return };
        self.running.publish(snapshot);
        self.source.send_if_modified(|seen| std::mem::replace(seen, self.topology.source()) != self.topology.source());
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
            read_write_splitting: self.read_write_splitting,
            replica_lag_ms_max: self.replica_lag_ms_max,
            reports,
        }
    }

    fn handle_order(&mut self, order: Order) {
        match (order, &self.life) {
            (Order::Drain, Life::Serving) => self.drain(),
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
    match sight {
        Sight::Executed { backend, executed } => topology.handle_executed(now_ms, backend, executed),
        Sight::Look { backend, outcome } => {
            for event in topology.handle_look(now_ms, backend, outcome) {
                let (backend, text) = (event.backend, event.text);
                match event.is_trouble {
                    true => tracing::warn!(event = "backend_trouble", backend, "backend {backend} {text}"),
                    false => tracing::info!(event = "backend_news", backend, "backend {backend} {text}"),
                }
            }
        }
    }
}

/// How long a picture waits for reports; a core that is busier than that is named as silent.
const REPORT_LIMIT: Duration = Duration::from_millis(500);

const DRAIN_GRACE: Duration = Duration::from_millis(1_000);

/// Without anything to do: any long time.
const IDLE: Duration = Duration::from_secs(3_600);
