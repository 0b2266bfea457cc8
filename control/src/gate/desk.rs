//! The desk: where HTTP, gRPC and the admin port ask for a picture or a table of the gate, and other gates for its clients' end. They
//! know nothing else of the control thread.

use super::control::{Reloaded, Upgraded};
use super::kills::Order;
use crate::http::{Document, Shown, metrics, page};
use crate::status::Picture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{mpsc, oneshot};
use weir_core::filters::Filters;
use weir_core::mail::{Kill, KillOutcome};
use weir_core::show::{Show, Shown as Table, What};
use weir_core::snapshot::Settings;
use weir_planner::filter::Statement;

/// What is asked for, and where the answer goes.
pub enum Ask {
    Picture(oneshot::Sender<Arc<Picture>>),
    Table(Box<Show>, oneshot::Sender<Result<Table, String>>),
    Set(Set, oneshot::Sender<()>),
    Filters(oneshot::Sender<Option<Filters>>),
    /// By this user.
    ChangeFilters(String, Box<Statement>, oneshot::Sender<Result<(), String>>),
    Settings(oneshot::Sender<Settings>),
    Reload(oneshot::Sender<Reloaded>),
    Upgrade(oneshot::Sender<Upgraded>),
}

/// `SET GLOBAL` of the gate's variables, checked.
#[derive(Debug)]
pub struct Set {
    /// Who does, for the events.
    pub user: String,
    /// Name and value.
    pub values: Vec<(Box<str>, String)>,
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

    /// Those that hold. Err: the gate is ending.
    pub async fn filters(&self) -> Result<Option<Filters>, String> {
        let (sender, receiver) = oneshot::channel();
        let is_asked = self.asks.send(Ask::Filters(sender)).await.is_ok();
        let answer = if is_asked { receiver.await.ok() } else { None };
        answer.ok_or_else(|| "the gate is ending".to_string())
    }

    /// Err: why it was not done. The cores have the filters before anything that is asked for after this.
    pub async fn change_filters(&self, user: &str, statement: Statement) -> Result<(), String> {
        let (sender, receiver) = oneshot::channel();
        let ask = Ask::ChangeFilters(user.to_string(), Box::new(statement), sender);
        let is_asked = self.asks.send(ask).await.is_ok();
        let answer = if is_asked { receiver.await.ok() } else { None };
        answer.unwrap_or_else(|| Err("the gate is ending".to_string()))
    }

    /// As they are now. None: the gate is ending.
    pub async fn settings(&self) -> Option<Settings> {
        let (sender, receiver) = oneshot::channel();
        self.asks.send(Ask::Settings(sender)).await.ok()?;
        receiver.await.ok()
    }

    /// False: the gate is ending. The cores have the settings before anything that is asked for after this.
    pub async fn set(&self, set: Set) -> bool {
        let (sender, receiver) = oneshot::channel();
        self.asks.send(Ask::Set(set, sender)).await.is_ok() && receiver.await.is_ok()
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

    /// Ends a client of this gate for another gate, or for the admin port. None: the gate is ending.
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
    const DOCUMENTS: &'static [Document] = &[Document::Page, Document::Status, Document::Digests, Document::Events];

    fn check_ready(&self) -> Result<(), String> {
        match self.is_ready() {
            true => Ok(()),
            false => Err("no usable backend, or draining".to_string()),
        }
    }

    async fn metrics(&self) -> Option<String> {
        self.picture().await.map(|picture| metrics::render(&picture))
    }

    async fn document(&self, document: Document) -> Option<String> {
        match document {
            Document::Page => Some(page::render(&self.picture().await?.status())),
            Document::Status => json(&self.picture().await?.status()),
            Document::Digests => json(&objects(self.table(Show::of(What::Digests)).await.ok()?)),
            Document::Events => json(&objects(self.table(Show::of(What::Events)).await.ok()?)),
        }
    }
}

fn json(value: &impl serde::Serialize) -> Option<String> {
    serde_json::to_string_pretty(value).ok().map(|text| text + "\n")
}

/// A table's rows, each an object by the columns' names; what is a number in a column of numbers is one.
fn objects(table: Table) -> Vec<serde_json::Value> {
    let cell = |(name, text): (&&'static str, &String)| {
        let number = text.parse::<u64>().ok().filter(|_| !TEXTS.contains(name));
        (name.to_string(), number.map_or_else(|| text.clone().into(), serde_json::Value::from))
    };
    let object = |row: &Vec<String>| serde_json::Value::Object(table.columns.iter().zip(row).map(cell).collect());
    table.rows.iter().map(object).collect()
}

/// Columns whose cells are texts, also where one looks like a number.
const TEXTS: [&str; 6] = ["digest", "schema_name", "digest_text", "kind", "subject", "text"];

/// Questions that wait; pictures are answered together.
const ASKS_MAX: usize = 64;
