//! The desk: where HTTP, gRPC and the admin port ask for a picture or a table of the gate, and other gates for its clients' end. They
//! know nothing else of the control thread.

use super::control::{Reloaded, Upgraded};
use super::kills::Order;
use crate::http::{Shown, metrics};
use crate::status::Picture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{mpsc, oneshot};
use weir_core::mail::{Kill, KillOutcome};
use weir_core::show::{Show, Shown as Table, What};

/// What is asked for, and where the answer goes.
pub enum Ask {
    Picture(oneshot::Sender<Arc<Picture>>),
    Table(Box<Show>, oneshot::Sender<Result<Table, String>>),
    Reload(oneshot::Sender<Reloaded>),
    Upgrade(oneshot::Sender<Upgraded>),
}

#[derive(Clone)]
pub struct Desk {
    asks: mpsc::Sender<Ask>,
    kills: mpsc::Sender<Order>,
    ready: Arc<AtomicBool>,
}

impl Desk {
    pub fn new() -> (Desk, mpsc::Receiver<Ask>, mpsc::Receiver<Order>) {
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let (kills, ordered) = mpsc::channel(ASKS_MAX);
        (Desk { asks, kills, ready: Arc::default() }, asked, ordered)
    }

    /// None: the gate is ending.
    pub async fn picture(&self) -> Option<Arc<Picture>> {
        let (sender, receiver) = oneshot::channel();
        self.asks.send(Ask::Picture(sender)).await.ok()?;
        receiver.await.ok()
    }

    /// `SHOW WEIR …`. Err: why there is no table, as a sentence.
    pub async fn table(&self, show: Show) -> Result<Table, String> {
        let (sender, receiver) = oneshot::channel();
        let is_asked = self.asks.send(Ask::Table(Box::new(show), sender)).await.is_ok();
        let answer = if is_asked { receiver.await.ok() } else { None };
        answer.unwrap_or_else(|| Err("the gate is ending".to_string()))
    }

    /// Reads the configuration again. None: the gate is ending.
    pub async fn reload(&self) -> Option<Reloaded> {
        let (sender, receiver) = oneshot::channel();
        self.asks.send(Ask::Reload(sender)).await.ok()?;
        receiver.await.ok()
    }

    /// Has another process take over. None: the gate is ending.
    pub async fn upgrade(&self) -> Option<Upgraded> {
        let (sender, receiver) = oneshot::channel();
        self.asks.send(Ask::Upgrade(sender)).await.ok()?;
        receiver.await.ok()
    }

    /// Ends a client of this gate for another gate. None: the gate is ending.
    pub async fn kill(&self, kill: Kill) -> Option<KillOutcome> {
        let (sender, receiver) = oneshot::channel();
        self.kills.send((kill, sender)).await.ok()?;
        receiver.await.ok()
    }

    /// Some backend can be used, and the gate is not draining.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }
}

impl Shown for Desk {
    const HAS_STATUS: bool = true;

    fn check_ready(&self) -> Result<(), String> {
        match self.is_ready() {
            true => Ok(()),
            false => Err("no usable backend, or draining".to_string()),
        }
    }

    async fn metrics(&self) -> Option<String> {
        self.picture().await.map(|picture| metrics::render(&picture))
    }

    /// A list of objects, one a digest, with the columns of `SHOW WEIR DIGESTS`.
    async fn digests(&self) -> Option<String> {
        let table = self.table(Show::of(What::Digests)).await.ok()?;
        let object = |row: &Vec<String>| {
            let cell = |(name, text): (&&'static str, &String)| {
                let is_name = matches!(*name, "digest" | "schema_name" | "digest_text");
                let number = text.parse::<u64>().ok().filter(|_| !is_name);
                (name.to_string(), number.map_or_else(|| text.clone().into(), serde_json::Value::from))
            };
            serde_json::Value::Object(table.columns.iter().zip(row).map(cell).collect())
        };
        let all: Vec<_> = table.rows.iter().map(object).collect();
        serde_json::to_string_pretty(&all).ok().map(|text| text + "\n")
    }

    async fn status(&self) -> Option<String> {
        let status = self.picture().await?.status();
        serde_json::to_string_pretty(&status).ok().map(|text| text + "\n")
    }
}

/// Questions that wait; pictures are answered together.
const ASKS_MAX: usize = 64;
