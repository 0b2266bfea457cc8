//! The desk: where HTTP and gRPC ask for a picture of the gate. They know nothing else of the control thread.

use crate::http::{Shown, metrics};
use crate::status::Picture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{mpsc, oneshot};

pub type Ask = oneshot::Sender<Arc<Picture>>;

#[derive(Clone)]
pub struct Desk {
    asks: mpsc::Sender<Ask>,
    ready: Arc<AtomicBool>,
}

impl Desk {
    pub fn new() -> (Desk, mpsc::Receiver<Ask>) {
        let (asks, receiver) = mpsc::channel(ASKS_MAX);
        (Desk { asks, ready: Arc::default() }, receiver)
    }

    /// None: the gate is ending.
    pub async fn picture(&self) -> Option<Arc<Picture>> {
        let (sender, receiver) = oneshot::channel();
        self.asks.send(sender).await.ok()?;
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

    async fn status(&self) -> Option<String> {
        let status = self.picture().await?.status();
        serde_json::to_string_pretty(&status).ok().map(|text| text + "\n")
    }
}

/// Questions that wait; they are answered together.
const ASKS_MAX: usize = 64;
