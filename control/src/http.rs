//! A process over HTTP/1: `/metrics`, `/healthz`, `/readyz`, and of a gate `/status`. Read-only, without authentication: bind
//! it where only operators are.
//!
//! Gate, tablet and controller are each a [`Shown`]; all else is the same for them.

pub mod exposition;
pub mod metrics;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// What a process shows.
pub trait Shown: Clone + Send + Sync + 'static {
    /// Err: why it is not ready, as a sentence for operators.
    fn check_ready(&self) -> Result<(), String>;

    /// None: the process is ending.
    fn metrics(&self) -> impl Future<Output = Option<String>> + Send;

    /// JSON. None: the process is ending.
    fn status(&self) -> impl Future<Output = Option<String>> + Send {
        std::future::ready(None)
    }

    /// JSON. None: the process is ending.
    fn digests(&self) -> impl Future<Output = Option<String>> + Send {
        std::future::ready(None)
    }

    /// It has a page for its status, and one for digests.
    const HAS_STATUS: bool = false;
}

/// None: nobody asked for the address, and another process has it.
pub async fn bind(address: SocketAddr, what: &str, is_optional: bool) -> std::io::Result<Option<TcpListener>> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if is_optional && error.kind() == std::io::ErrorKind::AddrInUse => {
            tracing::warn!(
                event = "admin_port_taken",
                "{what}: {address} is taken, perhaps by another one of our kind; going without"
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Serves until its task is dropped.
pub async fn serve(listener: TcpListener, shown: impl Shown) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(seat) = seats.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shown = shown.clone();
                tokio::spawn(async move {
                    talk(stream, shown).await;
                    drop(seat);
                });
            }
            // Out of descriptors, say: the process's own work comes first.
            Err(error) => {
                tracing::warn!(event = "admin_accept_failed", %error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn talk(stream: TcpStream, shown: impl Shown) {
    let service = service_fn(move |request| {
        let shown = shown.clone();
        async move { Ok::<_, Infallible>(answer(&request, &shown).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(event = "admin_connection_failed", %error);
    }
}

async fn answer<S: Shown>(request: &Request<Incoming>, shown: &S) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let page = |text: Option<String>, kind| match text {
        Some(text) => with_type(text, kind),
        None => plain(StatusCode::SERVICE_UNAVAILABLE, "the process is ending\n"),
    };
    match request.uri().path() {
        "/healthz" => plain(StatusCode::OK, "ok\n"),
        "/readyz" => match shown.check_ready() {
            Ok(()) => plain(StatusCode::OK, "ready\n"),
            Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
        },
        "/metrics" => page(shown.metrics().await, exposition::CONTENT_TYPE),
        "/status" if S::HAS_STATUS => page(shown.status().await, "application/json"),
        "/digests" if S::HAS_STATUS => page(shown.digests().await, "application/json"),
        "/" if S::HAS_STATUS => plain(StatusCode::OK, "/metrics\n/healthz\n/readyz\n/status\n/digests\n"),
        "/" => plain(StatusCode::OK, "/metrics\n/healthz\n/readyz\n"),
        _ if S::HAS_STATUS => {
            plain(StatusCode::NOT_FOUND, "there are /metrics, /healthz, /readyz, /status and /digests\n")
        }
        _ => plain(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n"),
    }
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response<Full<Bytes>> {
    let mut response = with_type(text.into(), "text/plain; charset=utf-8");
    *response.status_mut() = status;
    response
}

fn with_type(text: String, kind: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Admin connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;

/// A client that does not say what it wants.
const HEADER_LIMIT: Duration = Duration::from_secs(10);

const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
