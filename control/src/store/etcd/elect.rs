//! Elect: this controller's lease in etcd, and with it its candidacy.
//!
//! ```text
//!   grant a lease ─► announce ─► campaign: the leader's key, if nobody has it ─► Ours | Theirs
//!                                   ▲              │ a third of the lease, or the key is gone
//!                                   └── keep alive ◄┘      over ─► Cut, and from the start
//! ```
//! Invariant: a leadership is believed here only until the lease, counted from before it was asked for, is over; etcd
//! gives the key to another only after that. A write names the key's own revision, so that a leader whose clock is wrong
//! writes nothing.

use super::api::{Api, proto};
use super::keys::Keys;
use super::limits;
use crate::store::{Leadership, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

pub struct Candidate {
    pub api: Arc<Api>,
    pub keys: Keys,
    /// Of this controller: `host:port`.
    pub address: String,
    pub leader_s: u32,
    pub leadership: watch::Sender<Leadership>,
    /// The lease and the revision of the leader's key, while it is ours.
    pub office: watch::Sender<Office>,
    /// The leader's key is gone.
    pub vacancy: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Office {
    pub lease: Option<i64>,
    /// `create_revision` of the leader's key.
    pub term: Option<i64>,
}

/// Who has the leader's key.
enum Holder {
    Ours { term: i64 },
    Theirs { address: String },
}

impl Candidate {
    /// Until its task is dropped.
    pub async fn run(self) {
        loop {
            let error = match self.session().await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            self.office.send_replace(Office::default());
            self.leadership.send_replace(Leadership::Cut(error.to_string()));
            tokio::time::sleep(limits::PAUSE).await;
        }
    }

    /// One lease, to its end.
    async fn session(&self) -> Result<std::convert::Infallible, StoreError> {
        let mut asked = Instant::now();
        let (lease, mut lasts) = self.api.grant(self.leader_s).await?;
        self.office.send_replace(Office { lease: Some(lease), term: None });
        self.announce(lease).await?;
        let mut since = None;
        loop {
            let until = asked + lasts;
            match self.campaign(lease).await {
                Ok(Holder::Ours { term }) => {
                    self.office.send_replace(Office { lease: Some(lease), term: Some(term) });
                    let since = *since.get_or_insert_with(Instant::now);
                    self.leadership.send_replace(Leadership::Ours { since, until });
                }
                Ok(Holder::Theirs { address }) => {
                    since = None;
                    self.office.send_replace(Office { lease: Some(lease), term: None });
                    let next = Leadership::Theirs(Some(address));
                    self.leadership.send_if_modified(|now| std::mem::replace(now, next.clone()) != next);
                }
                Err(error) if until <= Instant::now() => return Err(error),
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep_until((asked + lasts / 3).max(Instant::now() + BREATH)) => {}
                () = self.vacancy.notified() => {}
            }
            let now = Instant::now();
            match self.api.keep_alive(lease).await {
                Ok(Duration::ZERO) => return Err(StoreError::Failed("our lease in etcd is over".to_string())),
                Ok(left) => (asked, lasts) = (now, left),
                Err(error) if asked + lasts <= Instant::now() => return Err(error),
                Err(_) => {}
            }
        }
    }

    async fn announce(&self, lease: i64) -> Result<(), StoreError> {
        let put = put(self.keys.peer(&self.address), self.address.as_bytes(), lease);
        self.api.txn_again(proto::TxnRequest { success: vec![put], ..proto::TxnRequest::default() }).await.map(drop)
    }

    /// Takes the leader's key if nobody has it, and says who has it.
    async fn campaign(&self, lease: i64) -> Result<Holder, StoreError> {
        let key = self.keys.leader();
        let vacant = compare_created(&key, 0);
        let request = proto::TxnRequest {
            compare: vec![vacant],
            success: vec![put(key.clone(), self.address.as_bytes(), lease)],
            failure: vec![range(key)],
        };
        let reply = self.api.txn_again(request).await?;
        let revision = reply.header.as_ref().map_or(0, |header| header.revision);
        if reply.succeeded {
            return Ok(Holder::Ours { term: revision });
        }
        match first(&reply) {
            // Won earlier, perhaps by a call that nobody answered.
            Some(kv) if kv.lease == lease => Ok(Holder::Ours { term: kv.create_revision }),
            Some(kv) => Ok(Holder::Theirs { address: String::from_utf8_lossy(&kv.value).into_owned() }),
            None => Err(StoreError::Failed("etcd told of a leader and named none".to_string())),
        }
    }
}

pub fn put(key: Vec<u8>, value: &[u8], lease: i64) -> proto::RequestOp {
    let put = proto::PutRequest { key, value: value.to_vec(), lease };
    proto::RequestOp { request: Some(proto::request_op::Request::RequestPut(put)) }
}

pub fn range(key: Vec<u8>) -> proto::RequestOp {
    let range = proto::RangeRequest { key, range_end: Vec::new() };
    proto::RequestOp { request: Some(proto::request_op::Request::RequestRange(range)) }
}

/// Revision 0: the key does not exist.
pub fn compare_created(key: &[u8], revision: i64) -> proto::Compare {
    proto::Compare {
        result: proto::compare::CompareResult::Equal.into(),
        target: proto::compare::CompareTarget::Create.into(),
        key: key.to_vec(),
        target_union: Some(proto::compare::TargetUnion::CreateRevision(revision)),
    }
}

pub fn compare_changed(key: &[u8], revision: i64) -> proto::Compare {
    proto::Compare {
        result: proto::compare::CompareResult::Equal.into(),
        target: proto::compare::CompareTarget::Mod.into(),
        key: key.to_vec(),
        target_union: Some(proto::compare::TargetUnion::ModRevision(revision)),
    }
}

/// The first key of a reply's first range.
pub fn first(reply: &proto::TxnResponse) -> Option<&proto::KeyValue> {
    reply.responses.iter().find_map(|one| match &one.response {
        Some(proto::response_op::Response::ResponseRange(range)) => range.kvs.first(),
        Some(proto::response_op::Response::ResponsePut(_)) | None => None,
    })
}

/// Between two turns at least, however often the key is gone.
const BREATH: Duration = Duration::from_millis(20);
