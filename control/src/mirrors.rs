//! Mirrors: servers that run copies of the gate's reads (`action='MIRROR'`), whose answers nobody sees.
//!
//! ```text
//!   cores ── Copied (mail) ──► control thread: Mirrors::offer ──► thread: by target ─► lane: its queue ─► connections_max workers
//!   only so many of a filter are under way                                                                    └─ answer drained, counted
//! ```
//! Invariant: no statement of a client waits for a mirror, or hears of one. A copy ends when it was answered, when its time is over, or
//! when it is dropped, and its filter counts which (`weir_core::mirror`). Connections are the mirror's own: none is taken from a pool, and
//! each allows nothing but reads (`SET SESSION TRANSACTION READ ONLY`).
//!
//! A thread of its own, as for traces: a mirror's answers are as large as the clients', and a failover must not wait behind them.

mod drain;
mod lane;

use crate::client::Options;
use crate::config::MirrorConfig;
use lane::Lane;
use std::collections::BTreeMap;
use std::thread::JoinHandle;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use weir_core::mirror::{Copied, Fate};

#[derive(Default)]
pub struct Mirrors {
    held: Vec<MirrorConfig>,
    /// None: no mirror was ever named.
    orders: Option<UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// Mirrors of a configuration, ready to be connected to.
pub type Opened = Vec<(MirrorConfig, Options)>;

enum Order {
    /// As many wait here as filters let be under way.
    Run(Box<Copied>),
    /// These are all that there are.
    Adopt(Opened),
}

impl Mirrors {
    /// None: they are the ones that are held. Err: what is wrong with a file of theirs, or the thread cannot start.
    pub fn prepare(&mut self, wanted: &[MirrorConfig]) -> Result<Option<Opened>, String> {
        if wanted == self.held {
            return Ok(None);
        }
        self.start()?;
        let open = |mirror: &MirrorConfig| Ok((mirror.clone(), mirror.options()?));
        wanted.iter().map(open).collect::<Result<Opened, String>>().map(Some)
    }

    /// What is under way at a mirror that is not among them any more, or is another, is dropped.
    pub fn adopt(&mut self, mirrors: Opened) {
        self.held = mirrors.iter().map(|(mirror, _)| mirror.clone()).collect();
        if let Some(orders) = &self.orders {
            // The thread ends behind this value only.
            let _ = orders.send(Order::Adopt(mirrors));
        }
    }

    fn start(&mut self) -> Result<(), String> {
        if self.orders.is_some() {
            return Ok(());
        }
        let cannot = |error: std::io::Error| format!("the mirrors' thread cannot start: {error}");
        let (orders, inbox) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let body = move || runtime.block_on(dispatch(inbox));
        let thread = std::thread::Builder::new().name("weir-mirrors".to_string()).spawn(body).map_err(cannot)?;
        (self.orders, self.thread) = (Some(orders), Some(thread));
        Ok(())
    }

    /// Never waits.
    pub fn offer(&self, copied: Box<Copied>) {
        match &self.orders {
            // One that comes back ends by itself.
            Some(orders) => drop(orders.send(Order::Run(copied))),
            None => copied.end(Fate::Failed),
        }
    }
}

impl Drop for Mirrors {
    /// What is under way is dropped.
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn dispatch(mut orders: UnboundedReceiver<Order>) {
    let mut lanes = BTreeMap::<String, Lane>::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Run(copied) => match lanes.get(&*copied.mirror().target) {
                Some(lane) => lane.offer(copied),
                None => copied.end(Fate::Failed),
            },
            Order::Adopt(mirrors) => {
                lanes.retain(|_, lane| mirrors.iter().any(|(mirror, _)| *mirror == lane.config));
                for (mirror, options) in mirrors {
                    lanes.entry(mirror.name.clone()).or_insert_with(|| Lane::open(mirror, options));
                }
            }
        }
    }
}
