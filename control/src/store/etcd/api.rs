//! etcd's interface over several members: whichever answers.
//!
//! Invariant: a call that may have changed something is sent once. What only reads, or does no harm twice, is tried on
//! every member in turn, beginning with the one that answered last.

use super::limits;
use crate::grpc::tls::{ClientTls, connect};
use crate::store::StoreError;
use proto::kv_client::KvClient;
use proto::lease_client::LeaseClient;
use proto::watch_client::WatchClient;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tonic::codegen::tokio_stream;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

/// What build.rs makes of `proto/etcd.proto`.
pub mod proto {
    #![allow(clippy::all)]
    tonic::include_proto!("etcdserverpb");
}

pub struct Api {
    endpoints: Vec<String>,
    tls: Option<ClientTls>,
    line: Mutex<Line>,
}

/// The member that is asked, and the connection to it.
#[derive(Default)]
struct Line {
    at: usize,
    channel: Option<Channel>,
}

impl Api {
    /// `host:port` each.
    pub fn new(endpoints: &[String], tls: Option<ClientTls>) -> Api {
        Api { endpoints: endpoints.to_vec(), tls, line: Mutex::default() }
    }

    pub async fn range(&self, request: proto::RangeRequest) -> Result<proto::RangeResponse, StoreError> {
        let call = |channel, request| async move { KvClient::new(channel).range(Request::new(request)).await };
        self.repeat(request, call).await
    }

    /// Sent once.
    pub async fn txn(&self, request: proto::TxnRequest) -> Result<proto::TxnResponse, StoreError> {
        let channel = self.open().await?;
        match within(KvClient::new(channel).txn(Request::new(request))).await {
            Ok(response) => Ok(response.into_inner()),
            Err(why) => {
                self.hang_up();
                Err(StoreError::Unknown(why))
            }
        }
    }

    /// Tried on every member: the same key with the same value and lease does no harm twice.
    pub async fn txn_again(&self, request: proto::TxnRequest) -> Result<proto::TxnResponse, StoreError> {
        let call = |channel, request| async move { KvClient::new(channel).txn(Request::new(request)).await };
        self.repeat(request, call).await
    }

    /// The lease, and how long it lasts.
    pub async fn grant(&self, seconds: u32) -> Result<(i64, Duration), StoreError> {
        let request = proto::LeaseGrantRequest { ttl: i64::from(seconds), id: 0 };
        let call = |channel, request| async move { LeaseClient::new(channel).lease_grant(Request::new(request)).await };
        let reply = self.repeat(request, call).await?;
        match reply.error.is_empty() {
            true => Ok((reply.id, ttl(reply.ttl))),
            false => Err(StoreError::Failed(reply.error)),
        }
    }

    /// How long it lasts from when this was sent; zero: it is over.
    pub async fn keep_alive(&self, lease: i64) -> Result<Duration, StoreError> {
        let call = |channel, lease| async move {
            let question = tokio_stream::once(proto::LeaseKeepAliveRequest { id: lease });
            let mut answers = LeaseClient::new(channel).lease_keep_alive(question).await?.into_inner();
            let answer = answers.message().await?.ok_or_else(|| Status::unavailable("it ended without an answer"))?;
            Ok(tonic::Response::new(answer))
        };
        Ok(ttl(self.repeat(lease, call).await?.ttl))
    }

    pub async fn revoke(&self, lease: i64) -> Result<(), StoreError> {
        let request = proto::LeaseRevokeRequest { id: lease };
        let call =
            |channel, request| async move { LeaseClient::new(channel).lease_revoke(Request::new(request)).await };
        self.repeat(request, call).await.map(drop)
    }

    /// Everything below the prefix that happens from this revision on, in order.
    pub async fn watch(&self, prefix: &[u8], from: i64) -> Result<Streaming<proto::WatchResponse>, StoreError> {
        let create = proto::WatchCreateRequest {
            key: prefix.to_vec(),
            range_end: after(prefix),
            start_revision: from,
            progress_notify: false,
        };
        let channel = self.open().await?;
        let question =
            proto::WatchRequest { request_union: Some(proto::watch_request::RequestUnion::CreateRequest(create)) };
        // The question's stream stays open, or etcd takes it as the end of the watch.
        let questions = tokio_stream::StreamExt::chain(tokio_stream::once(question), tokio_stream::pending());
        let mut request = Request::new(questions);
        // A member that has lost the others shall end the stream instead of being silent.
        request.metadata_mut().insert("hasleader", tonic::metadata::MetadataValue::from_static("true"));
        match within(WatchClient::new(channel).watch(request)).await {
            Ok(response) => Ok(response.into_inner()),
            Err(why) => {
                self.hang_up();
                Err(StoreError::Failed(why))
            }
        }
    }

    async fn repeat<A: Clone, T, F>(&self, request: A, call: impl Fn(Channel, A) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let mut last = StoreError::Failed("no etcd member is named".to_string());
        for _ in 0..self.endpoints.len() {
            let channel = self.open().await?;
            match within(call(channel, request.clone())).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(why) => {
                    self.hang_up();
                    last = StoreError::Failed(why);
                }
            }
        }
        Err(last)
    }

    /// The open connection, or one to the next member that lets us.
    async fn open(&self) -> Result<Channel, StoreError> {
        let mut why = "no etcd member is named".to_string();
        for _ in 0..self.endpoints.len() {
            let address = {
                let line = self.line();
                if let Some(channel) = &line.channel {
                    return Ok(channel.clone());
                }
                self.endpoints[line.at % self.endpoints.len()].clone()
            };
            match connect(&address, self.tls.as_ref(), limits::CONNECT_LIMIT).await {
                Ok(channel) => {
                    self.line().channel = Some(channel.clone());
                    return Ok(channel);
                }
                Err(error) => {
                    why = error;
                    self.hang_up();
                }
            }
        }
        Err(StoreError::Failed(why))
    }

    /// The member is of no use: the next call tries another.
    pub fn hang_up(&self) {
        let mut line = self.line();
        (line.channel, line.at) = (None, line.at.wrapping_add(1));
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of the range of all keys with this prefix.
pub fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // Every key.
    vec![0]
}

async fn within<T>(work: impl Future<Output = Result<T, Status>>) -> Result<T, String> {
    match tokio::time::timeout(limits::CALL_LIMIT, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(status)) => Err(format!("etcd: {}", status.message())),
        Err(_) => Err(format!("etcd does not answer within {} ms", limits::CALL_LIMIT.as_millis())),
    }
}

fn ttl(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_an_end() {
        assert_eq!(after(b"/weir/a/"), b"/weir/a0");
        assert_eq!(after(&[1, 255]), [2]);
        assert_eq!(after(&[255, 255]), [0]);
    }
}
