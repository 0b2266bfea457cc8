//! The other end: how gates, tablets and `weir ctl` talk to the controllers, whichever of them is alive.
//!
//! ```text
//!   follow   ── WatchTopology ──► Told (guard, last word, cache file) ──► gate, tablet
//!   register ── Register, Renew ─► Lease
//!   attend   ── Attend ──────────► a gate's tag, kills across gates
//! ```
//! Invariant: all records pass one guard ([`Told`]), so nothing that comes later, from whichever controller, goes back to
//! an older epoch.

pub mod told;

pub mod follow;
pub mod register;

pub mod attend;

pub use register::{Lease, register};
pub use told::Told;

use super::limits;
use super::service::LEADER;
use crate::grpc::proto;
use crate::grpc::tls::{ClientTls, connect};
use proto::controller_client::ControllerClient;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

pub type Client = ControllerClient<Channel>;

/// Several controllers, one of which is asked at a time.
pub struct Controllers {
    /// `host:port`, in the order in which they are tried.
    addresses: Vec<String>,
    tls: Option<ClientTls>,
    at: usize,
    /// To whom we are connected: an address of the list, or the leader that one of them named.
    open: Option<(String, Client)>,
    call_limit: Duration,
}

/// What may be done about a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It does no harm twice: another controller may be asked.
    Safe,
    /// It may have been done: only a refusal that names the leader is followed.
    Unsafe,
}

impl Controllers {
    pub fn new(addresses: &[String], tls: Option<ClientTls>) -> Controllers {
        Controllers { addresses: addresses.to_vec(), tls, at: 0, open: None, call_limit: limits::CALL_LIMIT }
    }

    /// How long one call may take.
    pub fn set_call_limit(&mut self, limit: Duration) {
        self.call_limit = limit;
    }

    /// The controller that answered last, or the next that can be reached.
    pub async fn open(&mut self) -> Result<(String, Client), Status> {
        if let Some(open) = &self.open {
            return Ok(open.clone());
        }
        let mut why = Status::unavailable("no controller is named");
        for _ in 0..self.addresses.len() {
            let address = self.addresses[self.at % self.addresses.len()].clone();
            match self.connect(&address).await {
                Ok(client) => return Ok((address, client)),
                Err(status) => {
                    why = status;
                    self.at = self.at.wrapping_add(1);
                }
            }
        }
        Err(why)
    }

    /// The one that is open is of no use: the next call tries another.
    pub fn give_up(&mut self) {
        self.open = None;
        self.at = self.at.wrapping_add(1);
    }

    /// Asks the leader: follows refusals that name it and, where that is safe, tries every controller once.
    pub async fn ask<A: Clone, T, F>(
        &mut self,
        repeat: Repeat,
        question: A,
        call: impl Fn(Client, Request<A>) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut redirects = 0;
        let mut tries = 0;
        loop {
            let (_, client) = self.open().await?;
            let request = Request::new(question.clone());
            let status = match tokio::time::timeout(self.call_limit, call(client, request)).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("the controller does not answer in time"),
            };
            tries += 1;
            match leader(&status) {
                Some(leader) if redirects < limits::REDIRECTS_MAX => {
                    redirects += 1;
                    self.open = None;
                    // A leader that is gone is named for a while: then another may know more.
                    if self.connect(&leader).await.is_err() {
                        self.give_up();
                    }
                }
                _ if is_answer(&status) => return Err(status),
                _ => {
                    self.give_up();
                    let is_follower = status.code() == Code::FailedPrecondition;
                    if tries >= self.addresses.len() || (repeat == Repeat::Unsafe && !is_follower) {
                        return Err(status);
                    }
                }
            }
        }
    }

    async fn connect(&mut self, address: &str) -> Result<Client, Status> {
        let channel = connect(address, self.tls.as_ref(), limits::CONNECT_LIMIT).await;
        let client = ControllerClient::new(channel.map_err(Status::unavailable)?);
        self.open = Some((address.to_string(), client.clone()));
        Ok(client)
    }
}

/// The controller has answered, and another would say the same.
fn is_answer(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::NotFound | Code::AlreadyExists | Code::InvalidArgument | Code::Aborted | Code::PermissionDenied
    )
}

fn leader(status: &Status) -> Option<String> {
    Some(status.metadata().get(LEADER)?.to_str().ok()?.to_string())
}
