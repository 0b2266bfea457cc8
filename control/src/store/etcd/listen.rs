//! Listen: what others write to etcd, as it happens.
//!
//! Invariant: nothing is missed: a stream begins at the revision after a full reading, and what breaks begins again.

use super::api::{Api, after, proto};
use super::keys::Keys;
use super::limits;
use crate::store::{Revision, StoreError, Stored};
use std::sync::Arc;
use tokio::sync::{Notify, watch};

pub struct Listener {
    pub api: Arc<Api>,
    pub keys: Keys,
    pub heard: watch::Sender<Option<Stored>>,
    pub vacancy: Arc<Notify>,
}

impl Listener {
    /// Until its task is dropped.
    pub async fn run(self) {
        loop {
            if let Err(error) = self.listen().await {
                tracing::debug!(event = "etcd_watch_ended", %error);
                self.api.hang_up();
                tokio::time::sleep(limits::PAUSE).await;
            }
        }
    }

    /// Ends well when it was quiet for long: then all is read anew.
    async fn listen(&self) -> Result<(), StoreError> {
        let prefix = self.keys.prefix();
        let all = self.api.range(proto::RangeRequest { key: prefix.to_vec(), range_end: after(prefix) }).await?;
        let leader = self.keys.leader();
        for kv in &all.kvs {
            self.take(kv);
        }
        if !all.kvs.iter().any(|kv| kv.key == leader) {
            self.vacancy.notify_one();
        }
        let from = all.header.map_or(0, |header| header.revision) + 1;
        let mut words = self.api.watch(prefix, from).await?;
        loop {
            let word = match tokio::time::timeout(limits::WATCH_QUIET, words.message()).await {
                Ok(Ok(Some(word))) => word,
                Ok(Ok(None)) => return Err(StoreError::Failed("etcd ended the watch".to_string())),
                Ok(Err(status)) => return Err(StoreError::Failed(status.message().to_string())),
                Err(_) => return Ok(()),
            };
            if word.canceled {
                return Err(StoreError::Failed(word.cancel_reason));
            }
            for event in &word.events {
                let Some(kv) = &event.kv else { continue };
                match event.r#type() {
                    proto::event::EventType::Put => self.take(kv),
                    proto::event::EventType::Delete if kv.key == leader => self.vacancy.notify_one(),
                    proto::event::EventType::Delete => {}
                }
            }
        }
    }

    fn take(&self, kv: &proto::KeyValue) {
        if kv.key == self.keys.topology() {
            self.heard.send_replace(Some(stored(kv)));
        }
    }
}

pub fn stored(kv: &proto::KeyValue) -> Stored {
    Stored { revision: Revision(u64::try_from(kv.mod_revision).unwrap_or(0)), bytes: kv.value.clone() }
}
