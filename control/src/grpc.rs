//! The gate over gRPC: `weir.v1.Gate`. Protobuf types stop here; inside there is [`GateStatus`].
//!
//! Beneath it lies what every gRPC service of ours shares.

pub mod access;
pub mod kill;
pub mod secured;
pub mod server;
pub mod tls;

use crate::gate::control::Reloaded;
use crate::gate::desk::Desk;
use crate::status::{BackendStatus, ClusterStatus, GateStatus, Latency, PinStatus, PoolStatus};
use proto::gate_server::{Gate, GateServer};
use server::Guarded;
use tls::{ClientTls, connect};
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use weir_core::mail::{Kill, KillOutcome};

/// What build.rs makes of `proto/weir.proto`.
pub mod proto {
    #![allow(clippy::all)]
    tonic::include_proto!("weir.v1");
}

struct Service {
    desk: Desk,
}

#[tonic::async_trait]
impl Gate for Service {
    async fn status(&self, _: Request<proto::StatusRequest>) -> Result<Response<proto::StatusReply>, Status> {
        match self.desk.picture().await {
            Some(picture) => Ok(Response::new(picture.status().into())),
            None => Err(Status::unavailable("the gate is ending")),
        }
    }

    async fn kill(&self, request: Request<proto::KillOrder>) -> Result<Response<proto::KillAnswer>, Status> {
        let caller = access::Caller::of(request.extensions());
        let (token, kill) = kill::from_order(request.into_inner());
        let (id, query_only) = (kill.connection_id, kill.query_only);
        let outcome = self.desk.kill(kill).await.ok_or_else(|| Status::unavailable("the gate is ending"))?;
        tracing::info!(target: "weir_audit", event = "audit", action = "kill", %caller, id, query_only, outcome = ?outcome);
        Ok(Response::new(kill::answer(token, outcome)))
    }

    async fn reload(&self, request: Request<proto::ReloadRequest>) -> Result<Response<proto::ReloadReply>, Status> {
        let caller = access::Caller::of(request.extensions());
        tracing::info!(target: "weir_audit", event = "audit", action = "reload", %caller);
        let reloaded = self.desk.reload().await.ok_or_else(|| Status::unavailable("the gate is ending"))?;
        let Reloaded { changed, kept, mistakes } = reloaded;
        Ok(Response::new(proto::ReloadReply { changed, kept, mistakes }))
    }

    async fn upgrade(&self, request: Request<proto::UpgradeRequest>) -> Result<Response<proto::UpgradeReply>, Status> {
        let caller = access::Caller::of(request.extensions());
        tracing::info!(target: "weir_audit", event = "audit", action = "upgrade", %caller);
        let upgraded = self.desk.upgrade().await.ok_or_else(|| Status::unavailable("the gate is ending"))?;
        let pid = upgraded.map_err(Status::failed_precondition)?;
        Ok(Response::new(proto::UpgradeReply { pid }))
    }
}

/// Serves until its task is dropped.
pub async fn serve(server: Guarded, listener: TcpIncoming, desk: Desk) {
    if let Err(error) = server.serve_with_incoming(GateServer::new(Service { desk }), listener).await {
        tracing::error!(event = "grpc_failed", %error);
    }
}

/// Asks a gate at `host:port`.
pub async fn ask(address: &str, tls: Option<&ClientTls>) -> Result<GateStatus, String> {
    let unreachable = |why: &dyn std::fmt::Display| {
        format!("no gate answers at {address} ({why}): name its gRPC address with --addr HOST:PORT")
    };
    let channel = connect(address, tls, ASK_LIMIT).await.map_err(|error| unreachable(&error))?;
    let mut client = proto::gate_client::GateClient::new(channel);
    match tokio::time::timeout(ASK_LIMIT, client.status(proto::StatusRequest {})).await {
        Ok(Ok(reply)) => Ok(reply.into_inner().into()),
        Ok(Err(status)) => Err(unreachable(&status.message())),
        Err(_) => Err(unreachable(&"it does not answer in time")),
    }
}

/// Asks a gate at `host:port` to read its configuration again.
pub async fn reload_at(address: &str, tls: Option<&ClientTls>) -> Result<Reloaded, String> {
    let failed = |why: &dyn std::fmt::Display| format!("the gate at {address} was not reloaded ({why})");
    let channel = connect(address, tls, ASK_LIMIT).await.map_err(|error| failed(&error))?;
    let mut client = proto::gate_client::GateClient::new(channel);
    match tokio::time::timeout(RELOAD_LIMIT, client.reload(proto::ReloadRequest {})).await {
        Ok(Ok(reply)) => {
            let proto::ReloadReply { changed, kept, mistakes } = reply.into_inner();
            Ok(Reloaded { changed, kept, mistakes })
        }
        Ok(Err(status)) => Err(failed(&status.message())),
        Err(_) => Err(failed(&"it does not answer in time: its log says what came of it")),
    }
}

/// Has a gate at `host:port` be followed by another process; says which.
pub async fn upgrade_at(address: &str, tls: Option<&ClientTls>) -> Result<u32, String> {
    let failed = |why: &dyn std::fmt::Display| format!("no process took over from the gate at {address}: {why}");
    let channel = connect(address, tls, ASK_LIMIT).await.map_err(|error| failed(&error))?;
    let mut client = proto::gate_client::GateClient::new(channel);
    match tokio::time::timeout(UPGRADE_LIMIT, client.upgrade(proto::UpgradeRequest {})).await {
        Ok(Ok(reply)) => Ok(reply.into_inner().pid),
        Ok(Err(status)) => Err(failed(&status.message())),
        Err(_) => Err(failed(&"the gate does not answer in time: its log says what came of it")),
    }
}

/// Asks a gate at `host:port` to end a client of its own, for one of ours. Err: it did not say what came of it, and why.
pub async fn kill_at(address: &str, tls: Option<&ClientTls>, kill: Kill) -> Result<KillOutcome, String> {
    let silent = |why: &dyn std::fmt::Display| format!("the gate at {address} does not answer ({why})");
    let channel = connect(address, tls, ASK_LIMIT).await.map_err(|error| silent(&error))?;
    let mut client = proto::gate_client::GateClient::new(channel);
    match client.kill(kill::order(0, kill)).await {
        Ok(answer) => Ok(kill::from_answer(answer.into_inner()).1),
        Err(status) if status.code() == Code::Unimplemented => {
            Err(format!("the gate at {address} is of a version that does not know of it"))
        }
        Err(status) => Err(silent(&status.message())),
    }
}

impl From<GateStatus> for proto::StatusReply {
    fn from(status: GateStatus) -> proto::StatusReply {
        proto::StatusReply {
            version: status.version,
            uptime_ms: status.uptime_ms,
            ready: status.ready,
            draining: status.draining,
            generation: status.generation,
            listen: status.listen,
            cores: status.cores,
            cores_silent: status.cores_silent,
            cluster: status.cluster.map(Into::into),
            tag: status.tag,
            clients_max: status.clients_max,
            backends: status.backends.into_iter().map(Into::into).collect(),
            pools: status.pools.into_iter().map(Into::into).collect(),
            counters: status.counters.into_iter().map(|(name, value)| proto::Counter { name, value }).collect(),
            latencies: status.latencies.into_iter().map(Into::into).collect(),
            pins: status.pins.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<proto::StatusReply> for GateStatus {
    fn from(reply: proto::StatusReply) -> GateStatus {
        GateStatus {
            version: reply.version,
            uptime_ms: reply.uptime_ms,
            ready: reply.ready,
            draining: reply.draining,
            generation: reply.generation,
            listen: reply.listen,
            cores: reply.cores,
            cores_silent: reply.cores_silent,
            cluster: reply.cluster.map(Into::into),
            tag: reply.tag,
            clients_max: reply.clients_max,
            backends: reply.backends.into_iter().map(Into::into).collect(),
            pools: reply.pools.into_iter().map(Into::into).collect(),
            counters: reply.counters.into_iter().map(|counter| (counter.name, counter.value)).collect(),
            latencies: reply.latencies.into_iter().map(Into::into).collect(),
            pins: reply.pins.into_iter().map(Into::into).collect(),
        }
    }
}

/// Both ways between a type of ours and its twin of the same fields.
macro_rules! twins {
    ($ours:ident, $theirs:ident: $($field:ident),*) => {
        impl From<$ours> for proto::$theirs {
            fn from(value: $ours) -> proto::$theirs {
                proto::$theirs { $($field: value.$field),* }
            }
        }
        impl From<proto::$theirs> for $ours {
            fn from(value: proto::$theirs) -> $ours {
                $ours { $($field: value.$field),* }
            }
        }
    };
}

twins!(BackendStatus, Backend: name, address, role, health, lag_ms, weight, version, read_only, gtid_executed, note,
    read_share_permille, zone, wanted);
twins!(ClusterStatus, ClusterWord: name, epoch, phase, primary, why);
twins!(PoolStatus, Pool: core, backend, quota, open, idle, leased, waiting, commands);
twins!(Latency, Latency: name, count, p50_ns, p99_ns, p999_ns, max_ns, sum_ns, bounds_ns, counts);
twins!(PinStatus, Pin: core, connection_id, user, backend, reason, statement, age_ms);

/// Calls at once on one connection.
pub const CALLS_MAX: usize = 8;

const ASK_LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

/// A start takes start_ms_max, an hour at most, and usually a second.
const UPGRADE_LIMIT: std::time::Duration = std::time::Duration::from_secs(120);

/// Names of backends are looked up meanwhile.
const RELOAD_LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_the_wire() {
        let mut status = crate::status::tests::picture().status();
        status.cluster = Some(ClusterStatus { epoch: 7, primary: "b0".to_string(), ..ClusterStatus::default() });
        status.backends[1].wanted = "replica".to_string();
        let reply: proto::StatusReply = status.clone().into();
        let bytes = prost::Message::encode_to_vec(&reply);
        let again: proto::StatusReply = prost::Message::decode(bytes.as_slice()).unwrap();
        assert_eq!(GateStatus::from(again), status);
    }
}
