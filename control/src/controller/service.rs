//! The controller over gRPC: `weir.v1.Controller`.
//!
//! Invariant: a call that changes something runs on a task of its own, so that a caller who leaves in the middle leaves no
//! half-done change behind.

use super::attendance::Attendance;
use super::epoch::Epoch;
use super::failover::events::Parts;
use super::failover::shell::{Ask, Desk, Entry, Progress};
use super::head::{Head, Refusal, View};
use super::leases::{Holder, Kind, Presence};
use super::record::{Phase, Record};
use super::roll::{self, Registration};
use super::{filters, limits, wire};
use crate::grpc::access::Caller;
use crate::grpc::proto;
use crate::store::StoreError;
use proto::controller_server::{Controller, ControllerServer};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tonic::codegen::tokio_stream::Stream;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status, Streaming};
use weir_planner::filter::Statement;

#[derive(Clone)]
pub struct Service {
    head: Arc<Head>,
    desk: Desk,
    attendance: Attendance,
}

pub fn server(head: Arc<Head>, desk: Desk) -> ControllerServer<Service> {
    let attendance = Attendance::new(head.clone());
    ControllerServer::new(Service { head, desk, attendance })
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Controller for Service {
    type WatchTopologyStream = Pin<Box<dyn Stream<Item = Result<proto::TopologyWord, Status>> + Send>>;

    async fn get_topology(&self, _: Request<proto::GetTopologyRequest>) -> Answer<proto::GetTopologyReply> {
        let record = self.head.record().ok_or_else(|| Status::failed_precondition("there is no topology yet"))?;
        Ok(Response::new(proto::GetTopologyReply { topology: Some(wire::to_proto(&record)) }))
    }

    async fn watch_topology(&self, request: Request<proto::WatchTopologyRequest>) -> Answer<Self::WatchTopologyStream> {
        let seen = Epoch::new(request.into_inner().epoch_seen);
        let (sender, receiver) = mpsc::channel(limits::WORDS_MAX);
        tokio::spawn(send_words(self.head.view(), seen, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn register(&self, request: Request<proto::RegisterRequest>) -> Answer<proto::RegisterReply> {
        let request = request.into_inner();
        let registration = Registration {
            kind: kind(request.kind())?,
            name: request.name,
            address: request.address,
            grpc: request.grpc,
            zone: request.zone,
            tags: request.tags,
            weight: request.weight,
            presence: wire::presence_from_proto(request.presence),
        };
        let (head, former_id) = (self.head.clone(), request.lease_id);
        let (lease_id, record) = alone(async move { roll::register(&head, &registration, former_id).await }).await?;
        let topology = Some(wire::to_proto(&record));
        Ok(Response::new(proto::RegisterReply { lease_id, lease_ms: record.lease_ms, topology }))
    }

    async fn renew(&self, request: Request<proto::RenewRequest>) -> Answer<proto::RenewReply> {
        let request = request.into_inner();
        let (kind, presence) = (kind(request.kind())?, wire::presence_from_proto(request.presence));
        let seen = Epoch::new(presence.epoch_seen);
        let head = self.head.clone();
        let work = async move { roll::renew(&head, kind, &request.name, request.lease_id, presence).await };
        let record = alone(work).await?;
        Ok(Response::new(proto::RenewReply {
            lease_ms: record.lease_ms,
            epoch: record.epoch.number(),
            topology: (record.epoch != seen).then(|| wire::to_proto(&record)),
        }))
    }

    async fn propose_topology(
        &self,
        request: Request<proto::ProposeTopologyRequest>,
    ) -> Answer<proto::ProposeTopologyReply> {
        let by = caller(&request);
        let proto::ProposeTopologyRequest { epoch_expected, topology, former_is_fenced } = request.into_inner();
        let topology = topology.ok_or_else(|| Status::invalid_argument("there is no topology in it"))?;
        let next = wire::from_proto(topology).map_err(Status::invalid_argument)?;
        let head = self.head.clone();
        let work = async move {
            let leases = head.clone();
            head.change(&by, Some(Epoch::new(epoch_expected)), |record| {
                if !former_is_fenced {
                    check_former(&leases, record, &next)?;
                }
                Ok(Some(next))
            })
            .await
        };
        let record = alone(work).await?;
        Ok(Response::new(proto::ProposeTopologyReply { topology: Some(wire::to_proto(&record)) }))
    }

    async fn change_filters(&self, request: Request<proto::ChangeFiltersRequest>) -> Answer<proto::ChangeFiltersReply> {
        let caller = caller(&request);
        let proto::ChangeFiltersRequest { statement, by } = request.into_inner();
        let statement = Statement::read(&statement).map_err(Status::invalid_argument)?;
        let by = if by.is_empty() { caller } else { format!("{by} by {caller}") };
        let head = self.head.clone();
        let work = async move { filters::change(&head, &by, &statement).await };
        let topology = Some(wire::to_proto(&*alone(work).await?));
        Ok(Response::new(proto::ChangeFiltersReply { topology }))
    }

    async fn list_tablets(&self, _: Request<proto::ListTabletsRequest>) -> Answer<proto::ListTabletsReply> {
        let (record, mut tablets) = self.registered(Kind::Tablet)?;
        for (name, member) in &record.members {
            if !tablets.iter().any(|tablet| tablet.name == *name) {
                let (name, address, grpc) = (name.clone(), member.address.clone(), member.tablet.clone());
                tablets.push(proto::Registered { name, address, grpc, ..proto::Registered::default() });
            }
        }
        tablets.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Response::new(proto::ListTabletsReply { epoch: record.epoch.number(), tablets }))
    }

    async fn list_gates(&self, _: Request<proto::ListGatesRequest>) -> Answer<proto::ListGatesReply> {
        let (record, gates) = self.registered(Kind::Gate)?;
        Ok(Response::new(proto::ListGatesReply { epoch: record.epoch.number(), gates }))
    }

    async fn list_controllers(&self, _: Request<proto::ListControllersRequest>) -> Answer<proto::ListControllersReply> {
        let peers = self.head.peers().await.map_err(|error| status(Refusal::Store(error)))?;
        let peer = |peer: crate::store::Peer| proto::ControllerPeer { address: peer.address, leader: peer.is_leader };
        Ok(Response::new(proto::ListControllersReply { controllers: peers.into_iter().map(peer).collect() }))
    }

    type AttendStream = Pin<Box<dyn Stream<Item = Result<proto::GateOrder, Status>> + Send>>;

    async fn attend(&self, request: Request<Streaming<proto::GateWord>>) -> Answer<Self::AttendStream> {
        let since = self.head.check_leader(Instant::now()).map_err(status)?;
        let (sender, receiver) = mpsc::channel(limits::LETTERS_MAX);
        tokio::spawn(self.attendance.clone().attend(since, request.into_inner(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    type SwitchoverStream = Pin<Box<dyn Stream<Item = Result<proto::SwitchoverProgress, Status>> + Send>>;

    async fn switchover(&self, request: Request<proto::SwitchoverRequest>) -> Answer<Self::SwitchoverStream> {
        self.head.check_leader(Instant::now()).map_err(status)?;
        let by = caller(&request);
        let proto::SwitchoverRequest { to, drain_ms, dry_run } = request.into_inner();
        let (answer, answered) = oneshot::channel();
        let (progress, steps) = mpsc::channel(STEPS_MAX);
        let heir = (!to.is_empty()).then_some(to);
        let drain = Duration::from_millis(u64::from(drain_ms));
        let ask = Ask::Switchover { heir, drain, is_dry_run: dry_run, answer, progress };
        self.desk.ask(ask).await;
        let heir = answered.await.map_err(|_| status(Refusal::Starting))?.map_err(Status::invalid_argument)?;
        tracing::info!(event = "switchover_ordered", by, heir, dry_run);
        let first = match dry_run {
            true => {
                proto::SwitchoverProgress { text: format!("'{heir}' could follow now"), done: true, given_up: false }
            }
            false => proto::SwitchoverProgress { text: format!("'{heir}' is to follow"), ..Default::default() },
        };
        let (sender, receiver) = mpsc::channel(STEPS_MAX);
        tokio::spawn(send_steps(first, steps, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn accept_loss(&self, request: Request<proto::AcceptLossRequest>) -> Answer<proto::AcceptLossReply> {
        self.head.check_leader(Instant::now()).map_err(status)?;
        let (answer, answered) = oneshot::channel();
        self.desk.ask(Ask::AcceptLoss { answer }).await;
        answered.await.map_err(|_| status(Refusal::Starting))?.map_err(Status::invalid_argument)?;
        tracing::warn!(event = "loss_accepted", by = caller(&request));
        Ok(Response::new(proto::AcceptLossReply {}))
    }

    async fn list_events(&self, _: Request<proto::ListEventsRequest>) -> Answer<proto::ListEventsReply> {
        self.head.check_leader(Instant::now()).map_err(status)?;
        let event = |entry: Entry| proto::FailoverEvent {
            unix_ms: entry.unix_ms,
            epoch: entry.epoch,
            kind: entry.kind.to_string(),
            text: entry.text,
            parts: entry.parts.map(|Parts { detect_ms, fence_ms, choose_ms, open_ms }| proto::FailoverParts {
                detect_ms,
                fence_ms,
                choose_ms,
                open_ms,
            }),
        };
        Ok(Response::new(proto::ListEventsReply { events: self.desk.entries().into_iter().map(event).collect() }))
    }
}

/// The steps of a switchover, to its end or as far as its caller listens.
async fn send_steps(
    first: proto::SwitchoverProgress,
    mut steps: mpsc::Receiver<Progress>,
    sender: mpsc::Sender<Result<proto::SwitchoverProgress, Status>>,
) {
    let is_last = first.done;
    if sender.send(Ok(first)).await.is_err() || is_last {
        return;
    }
    while let Some(step) = steps.recv().await {
        let (text, done, given_up) = match step {
            Progress::Step(text) => (text, false, false),
            Progress::Done(text) => (text, true, false),
            Progress::GivenUp(text) => (text, true, true),
        };
        if sender.send(Ok(proto::SwitchoverProgress { text, done, given_up })).await.is_err() || done {
            return;
        }
    }
    let lost = "this controller leads no longer: see weir ctl topology for what came of it";
    let _ = sender.send(Err(Status::unavailable(lost))).await;
}

impl Service {
    fn registered(&self, kind: Kind) -> Result<(Arc<Record>, Vec<proto::Registered>), Status> {
        let now = Instant::now();
        let list = |leases: &mut super::leases::Leases| leases.all(now, kind).map(|one| registered(now, one)).collect();
        let list = self.head.with_leases(now, list).map_err(status)?;
        Ok((self.head.record().ok_or_else(|| status(Refusal::Starting))?, list))
    }
}

/// Whoever was primary may write until its lease is over.
fn check_former(head: &Head, record: &Record, next: &Record) -> Result<(), Refusal> {
    let (Phase::Interregnum { former, .. }, Phase::Steady { primary }) = (&record.phase, &next.phase) else {
        return Ok(());
    };
    if former == primary {
        return Ok(());
    }
    let now = Instant::now();
    let left = head.with_leases(now, |leases| leases.left(now, Kind::Tablet, former))?;
    match left.is_zero() {
        true => Ok(()),
        false => Err(Refusal::NotNow(format!(
            "'{former}' may hold its lease for another {} ms, and write: fence it first, or wait",
            left.as_millis() + 1
        ))),
    }
}

async fn send_words(
    mut view: watch::Receiver<View>,
    mut seen: Epoch,
    sender: mpsc::Sender<Result<proto::TopologyWord, Status>>,
) {
    let mut is_first = true;
    loop {
        // First the room, then the word: it is as new as can be when it goes.
        let Ok(room) = sender.reserve().await else { return };
        let View { record, cut } = view.borrow_and_update().clone();
        let epoch = record.as_ref().map_or(Epoch::NONE, |record| record.epoch);
        if let Some(why) = cut {
            return room.send(Err(Status::unavailable(format!("the store cannot be reached: {why}"))));
        }
        if epoch < seen {
            return room.send(Err(Status::unavailable(format!("epoch {epoch} is the newest here: it is behind"))));
        }
        let topology = record.filter(|_| is_first || epoch > seen).map(|record| wire::to_proto(&record));
        (seen, is_first) = (epoch, is_first && topology.is_none());
        room.send(Ok(proto::TopologyWord { epoch: epoch.number(), topology }));
        tokio::select! {
            changed = view.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(limits::BEAT) => {}
            () = sender.closed() => return,
        }
    }
}

/// To its end, also when the caller leaves.
async fn alone<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Status> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome.map_err(status),
        Err(_) => Err(Status::internal("the call was cut short; see the controller's log")),
    }
}

fn kind(kind: proto::ClientKind) -> Result<Kind, Status> {
    match kind {
        proto::ClientKind::Tablet => Ok(Kind::Tablet),
        proto::ClientKind::Gate => Ok(Kind::Gate),
        proto::ClientKind::Unspecified => Err(Status::invalid_argument("say whether it is a tablet or a gate")),
    }
}

fn registered(now: Instant, (name, holder, left): (&str, &Holder, Duration)) -> proto::Registered {
    let age = u32::try_from(now.saturating_duration_since(holder.told).as_millis()).unwrap_or(u32::MAX);
    let primary = holder.presence.primary.as_ref().map(|outlook| outlook.aged(age));
    proto::Registered {
        name: name.to_string(),
        address: holder.address.clone(),
        grpc: holder.grpc.clone(),
        lease_left_ms: u32::try_from(left.as_millis()).unwrap_or(u32::MAX),
        presence: Some(wire::presence_to_proto(&Presence { primary, ..holder.presence.clone() })),
    }
}

fn caller<T>(request: &Request<T>) -> String {
    Caller::of(request.extensions()).to_string()
}

pub fn status(refusal: Refusal) -> Status {
    let text = refusal.to_string();
    match refusal {
        Refusal::NotLeader(leader) => {
            let mut metadata = MetadataMap::new();
            if let Some(leader) = leader.and_then(|leader| leader.parse().ok()) {
                metadata.insert(LEADER, leader);
            }
            Status::with_metadata(Code::FailedPrecondition, text, metadata)
        }
        Refusal::Starting => Status::unavailable(text),
        Refusal::Conflict(_) => Status::aborted(text),
        Refusal::Wrong(_) => Status::invalid_argument(text),
        Refusal::NotNow(_) => Status::already_exists(text),
        Refusal::UnknownLease => Status::not_found(text),
        Refusal::Store(StoreError::Failed(_)) => Status::unavailable(text),
        Refusal::Store(StoreError::Unknown(_)) => Status::unknown(text),
    }
}

/// Steps of a switchover that its caller has not taken yet.
const STEPS_MAX: usize = 64;

/// Metadata of a refusal: the leader's address.
pub const LEADER: &str = "weir-leader";
