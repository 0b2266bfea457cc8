//! Access: who may call what. One table says for every method of every service whether it reads or changes.
//!
//! Invariant: without a client certificate that the transport has verified, nothing that changes anything is possible, except
//! on the loopback. A method that is not in the table counts as one that changes; a test keeps the table complete.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Extensions, Request, Response};
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tower_layer::Layer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Read,
    Change,
}

/// Path and class of each method.
pub const METHODS: &[(&str, Class)] = &[
    ("/weir.v1.Gate/Status", Class::Read),
    ("/weir.v1.Gate/Kill", Class::Change),
    ("/weir.v1.Gate/Reload", Class::Change),
    ("/weir.v1.Gate/Upgrade", Class::Change),
    ("/weir.v1.Tablet/Watch", Class::Read),
    ("/weir.v1.Tablet/FindTransactions", Class::Read),
    ("/weir.v1.Tablet/Execute", Class::Change),
    ("/weir.v1.Tablet/Kill", Class::Change),
    ("/weir.v1.Tablet/ReloadPermissions", Class::Change),
    ("/weir.v1.Controller/GetTopology", Class::Read),
    ("/weir.v1.Controller/WatchTopology", Class::Read),
    ("/weir.v1.Controller/Register", Class::Change),
    ("/weir.v1.Controller/Renew", Class::Change),
    ("/weir.v1.Controller/ProposeTopology", Class::Change),
    ("/weir.v1.Controller/ChangeFilters", Class::Change),
    ("/weir.v1.Controller/ListTablets", Class::Read),
    ("/weir.v1.Controller/ListGates", Class::Read),
    ("/weir.v1.Controller/ListControllers", Class::Read),
    ("/weir.v1.Controller/Attend", Class::Change),
    ("/weir.v1.Controller/Switchover", Class::Change),
    ("/weir.v1.Controller/AcceptLoss", Class::Change),
    ("/weir.v1.Controller/ListEvents", Class::Read),
];

/// Whether a call from this machine proves by itself that its caller may change things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loopback {
    Trusted,
    Untrusted,
}

/// Who calls, as the transport knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    pub address: Option<SocketAddr>,
    /// The verified client certificate, by the SHA-256 of its bytes.
    pub certificate: Option<String>,
}

impl Caller {
    pub fn of(extensions: &Extensions) -> Caller {
        if let Some(tls) = extensions.get::<TlsConnectInfo<TcpConnectInfo>>() {
            let certificates = tls.peer_certs();
            let certificate = certificates.as_ref().and_then(|chain| chain.first()).map(|first| fingerprint(first));
            return Caller { address: tls.get_ref().remote_addr(), certificate };
        }
        let address = extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        Caller { address, certificate: None }
    }

    /// Without a client certificate nothing that changes anything is possible except on the loopback.
    pub fn may_change(&self) -> bool {
        self.may(Class::Change, Loopback::Trusted)
    }

    fn may(&self, class: Class, loopback: Loopback) -> bool {
        let is_local = self.address.is_some_and(|address| address.ip().to_canonical().is_loopback());
        class == Class::Read || self.certificate.is_some() || (loopback == Loopback::Trusted && is_local)
    }
}

/// For audit lines.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address.map_or("unknown".to_string(), |address| address.to_string());
        match &self.certificate {
            Some(certificate) => write!(f, "{certificate} at {address}"),
            None => f.write_str(&address),
        }
    }
}

pub fn class(path: &str) -> Class {
    METHODS.iter().find(|(known, _)| *known == path).map_or(Class::Change, |(_, class)| *class)
}

/// Stands in front of every service of a server.
#[derive(Clone, Copy, Debug)]
pub struct AccessLayer {
    pub loopback: Loopback,
}

#[derive(Clone, Debug)]
pub struct Access<S> {
    inner: S,
    loopback: Loopback,
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Access<S> {
        Access { inner, loopback: self.loopback }
    }
}

impl<S, B> Service<Request<B>> for Access<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let caller = Caller::of(request.extensions());
        let path = request.uri().path();
        if caller.may(class(path), self.loopback) {
            request.extensions_mut().insert(caller);
            return Box::pin(self.inner.call(request));
        }
        tracing::warn!(target: "weir_audit", event = "audit", action = path, caller = %caller, outcome = "refused");
        let refusal = Status::permission_denied("this needs a client certificate, or a call from the loopback");
        Box::pin(std::future::ready(Ok(refusal.into_http())))
    }
}

fn fingerprint(certificate: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    let hex: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

#[cfg(test)]
mod tests;
