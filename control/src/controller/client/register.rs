//! Register: keeps a tablet or a gate announced and its lease alive, with whichever controller leads.
//!
//! Invariant: a lease counts from before the request for it was sent; what the holder believes to hold is always over
//! before the controller believes it is. Nobody but the leader gives leases, and every answer passes the guard.

use super::{Client, Controllers, Repeat, Told};
use crate::controller::leases::{Kind, Presence};
use crate::controller::limits;
use crate::controller::roll::Registration;
use crate::controller::wire;
use crate::grpc::proto;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Code, Request, Status};

/// What its holder may count on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// None: there has been none yet.
    pub until: Option<Instant>,
    /// Why it is not prolonged; empty when it is.
    pub why: String,
}

impl Lease {
    pub fn is_held(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

/// Until its task is dropped. A change of `registration` is told at once. What the controllers answer about the topology
/// goes to `told`, what they say about the lease to `lease`.
pub async fn register(
    mut controllers: Controllers,
    mut registration: watch::Receiver<Registration>,
    told: Told,
    lease: watch::Sender<Lease>,
) {
    let (mut held, mut pause) = (None, limits::PAUSE_MIN);
    let mut pause_max = limits::FIRST_LEASE_PAUSE_MAX;
    loop {
        let now = registration.borrow_and_update().clone();
        let began = Instant::now();
        let outcome = once(&mut controllers, &now, &told, &mut held).await;
        let rest = match outcome {
            Ok(lasts) => {
                let is_news = lease.borrow().until.is_none() || !lease.borrow().why.is_empty();
                if is_news {
                    let (name, epoch) = (&now.name, told.epoch().number());
                    tracing::info!(event = "lease_held", name, epoch, "registered with the controllers");
                }
                lease.send_replace(Lease { until: Some(began + lasts), why: String::new() });
                // A third of them may be late before anything is lost. A call takes no longer than that either.
                controllers.set_call_limit((lasts / 3).min(limits::CALL_LIMIT));
                pause = limits::PAUSE_MIN;
                pause_max = (lasts / 10).clamp(limits::PAUSE_MIN, limits::PAUSE_MAX);
                jitter(lasts / 3)
            }
            Err(why) => {
                lease.send_modify(|lease| {
                    if lease.why != why {
                        tracing::warn!(event = "lease_not_prolonged", name = now.name, "not registered: {why}");
                        lease.why = why;
                    }
                });
                pause = (pause * 2).min(pause_max);
                jitter(pause)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            changed = registration.changed() => if changed.is_err() { return },
        }
    }
}

/// What the controllers know us by.
struct Held {
    id: u64,
    name: String,
    address: String,
    grpc: String,
}

/// Registers or renews; says how long the lease lasts.
async fn once(
    controllers: &mut Controllers,
    registration: &Registration,
    told: &Told,
    held: &mut Option<Held>,
) -> Result<Duration, String> {
    // Another name is another lease.
    held.take_if(|held| held.name != registration.name);
    let is_same = |held: &&mut Held| held.address == registration.address && held.grpc == registration.grpc;
    if let Some(held) = held.as_mut().filter(is_same) {
        let question = renewal(registration, held.id, told);
        let call = |mut client: Client, request: Request<_>| async move { client.renew(request).await };
        match controllers.ask(Repeat::Safe, question, call).await {
            Ok(proto::RenewReply { lease_ms, topology, .. }) => return admit(told, topology, lease_ms),
            // A new leader does not know us.
            Err(status) if status.code() == Code::NotFound => {}
            Err(status) => return Err(said(&status)),
        }
    }
    let question = proto::RegisterRequest {
        kind: kind(registration.kind).into(),
        name: registration.name.clone(),
        address: registration.address.clone(),
        grpc: registration.grpc.clone(),
        zone: registration.zone.clone(),
        tags: registration.tags.clone(),
        weight: registration.weight,
        lease_id: held.as_ref().map_or(0, |held| held.id),
        presence: Some(presence(&registration.presence, told)),
    };
    let call = |mut client: Client, request: Request<_>| async move { client.register(request).await };
    let reply: proto::RegisterReply =
        controllers.ask(Repeat::Safe, question, call).await.map_err(|status| said(&status))?;
    let lasts = admit(told, reply.topology, reply.lease_ms)?;
    let (name, address, grpc) = (registration.name.clone(), registration.address.clone(), registration.grpc.clone());
    *held = Some(Held { id: reply.lease_id, name, address, grpc });
    Ok(lasts)
}

fn renewal(registration: &Registration, lease_id: u64, told: &Told) -> proto::RenewRequest {
    proto::RenewRequest {
        kind: kind(registration.kind).into(),
        name: registration.name.clone(),
        lease_id,
        presence: Some(presence(&registration.presence, told)),
    }
}

/// A controller that tells of an older epoch than we know leads by an old copy: its lease is worth nothing.
fn admit(told: &Told, topology: Option<proto::Topology>, lease_ms: u32) -> Result<Duration, String> {
    if let Some(topology) = topology {
        let record = wire::from_proto(topology).map_err(|why| format!("the controller's topology is wrong: {why}"))?;
        if !told.admit(record) {
            return Err(PAST.to_string());
        }
    }
    Ok(Duration::from_millis(u64::from(lease_ms)))
}

fn kind(kind: Kind) -> proto::ClientKind {
    match kind {
        Kind::Tablet => proto::ClientKind::Tablet,
        Kind::Gate => proto::ClientKind::Gate,
    }
}

fn presence(presence: &Presence, told: &Told) -> proto::Presence {
    wire::presence_to_proto(&Presence { epoch_seen: told.epoch().number(), ..presence.clone() })
}

fn said(status: &Status) -> String {
    status.message().to_string()
}

/// A tenth more or less, so that those who were started together don't ask together.
fn jitter(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) % 201;
    pause * (900 + random as u32) / 1_000
}

const PAST: &str = "the controller tells of another past: it leads by an old or an empty store; give it the newest copy, or, \
                    if the cluster is to begin anew, restart tablets and gates without the topology that they kept";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_tenth() {
        let pauses: Vec<Duration> = (0..100).map(|_| jitter(Duration::from_millis(1_000))).collect();
        assert!(pauses.iter().all(|pause| (900..=1_100).contains(&pause.as_millis())), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
