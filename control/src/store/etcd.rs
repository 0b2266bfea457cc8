//! The etcd store: one record for several controllers, one of which leads.
//!
//! Invariant: a write is one transaction that compares the leader's key (still ours, of this very term) and the record's
//! revision, so neither a deposed leader nor a late one changes anything. Reads for a new leader go through etcd's
//! quorum.
//!
//! Cost: a renewal and a look at the leader's key for each third of a leadership, a watch stream; a write is one call.
//! The client is our own, generated from the few messages that it uses: what happens when an answer is late decides about
//! forks, and that must be read here, not in a library.

pub mod limits;

pub mod api;

pub mod keys;

pub mod elect;
pub mod listen;

use super::{Leadership, Peer, Revision, Store, StoreError, Stored, Swap};
use crate::grpc::tls::ClientTls;
use api::{Api, after, proto};
use elect::{Candidate, Office, compare_changed, compare_created, first, put, range};
use keys::Keys;
use listen::{Listener, stored};
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

pub struct Etcd {
    api: Arc<Api>,
    keys: Keys,
    heard: watch::Sender<Option<Stored>>,
    leadership: watch::Sender<Leadership>,
    office: watch::Sender<Office>,
    /// They end with it.
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
pub struct EtcdOptions {
    /// `host:port` of etcd's members.
    pub endpoints: Vec<String>,
    pub tls: Option<ClientTls>,
    pub cluster: String,
    /// Of this controller, as others reach it.
    pub address: String,
    /// How long a leadership lasts without renewal.
    pub leader_s: u32,
}

impl Etcd {
    /// Starts its tasks; etcd need not be there yet.
    pub fn start(options: EtcdOptions) -> Etcd {
        let EtcdOptions { endpoints, tls, cluster, address, leader_s } = options;
        let (api, keys) = (Arc::new(Api::new(&endpoints, tls.clone())), Keys::new(&cluster));
        let leadership = watch::channel(Leadership::Cut("etcd has not answered yet".to_string())).0;
        let (heard, office, vacancy) =
            (watch::channel(None).0, watch::channel(Office::default()).0, Arc::new(Notify::new()));
        let mut tasks = JoinSet::new();
        let candidate = Candidate {
            api: api.clone(),
            keys: keys.clone(),
            address,
            leader_s,
            leadership: leadership.clone(),
            office: office.clone(),
            vacancy: vacancy.clone(),
        };
        tasks.spawn(candidate.run());
        // On a connection of its own: when a watch breaks off, no other call loses its member.
        let apart = Arc::new(Api::new(&endpoints, tls));
        let listener = Listener { api: apart, keys: keys.clone(), heard: heard.clone(), vacancy };
        tasks.spawn(listener.run());
        Etcd { api, keys, heard, leadership, office, _tasks: tasks }
    }
}

#[tonic::async_trait]
impl Store for Etcd {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        let request = proto::RangeRequest { key: self.keys.topology(), range_end: Vec::new() };
        Ok(self.api.range(request).await?.kvs.first().map(stored))
    }

    async fn swap(&self, expected: Revision, next: &[u8]) -> Result<Swap, StoreError> {
        let Some(term) = self.office.borrow().term else { return Ok(Swap::Deposed) };
        let (leader, topology) = (self.keys.leader(), self.keys.topology());
        let expected = i64::try_from(expected.0).map_err(|_| StoreError::Failed("no such revision".to_string()))?;
        let request = proto::TxnRequest {
            compare: vec![compare_created(&leader, term), compare_changed(&topology, expected)],
            success: vec![put(topology, next, 0)],
            failure: vec![range(leader)],
        };
        let reply = self.api.txn(request).await?;
        let revision = reply.header.as_ref().map_or(0, |header| header.revision);
        match (reply.succeeded, first(&reply)) {
            (true, _) => Ok(Swap::Done(Revision(u64::try_from(revision).unwrap_or(0)))),
            (false, Some(kv)) if kv.create_revision == term => Ok(Swap::Lost),
            (false, _) => Ok(Swap::Deposed),
        }
    }

    fn heard(&self) -> watch::Receiver<Option<Stored>> {
        self.heard.subscribe()
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }

    async fn peers(&self) -> Result<Vec<Peer>, StoreError> {
        let prefix = self.keys.prefix();
        let all = self.api.range(proto::RangeRequest { key: prefix.to_vec(), range_end: after(prefix) }).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let leader = all.kvs.iter().find(|kv| kv.key == self.keys.leader()).map(|kv| text(&kv.value));
        let peers = all.kvs.iter().filter(|kv| kv.key.starts_with(&self.keys.peers())).map(|kv| text(&kv.value));
        Ok(peers.map(|address| Peer { is_leader: leader.as_ref() == Some(&address), address }).collect())
    }

    async fn resign(&self) {
        let lease = self.office.borrow().lease;
        if let Some(lease) = lease {
            // If etcd does not hear it, the lease ends by itself.
            let _ = self.api.revoke(lease).await;
        }
    }
}
