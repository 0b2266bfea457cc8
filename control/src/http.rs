//! A process over HTTP/1: `/metrics`, `/healthz`, `/readyz`, and of a gate a page with what it is made of. Read-only, without
//! authentication: bind it where only operators are.
//!
//! Gate, tablet and controller are each a [`Shown`]; all else is the same for them.

pub mod exposition;
pub mod metrics;
pub mod page;
pub mod process;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
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

    /// One of [`Shown::DOCUMENTS`]. None: the process is ending.
    fn document(&self, _document: Document) -> impl Future<Output = Option<String>> + Send {
        std::future::ready(None)
    }

    /// What it has beside metrics and health.
    const DOCUMENTS: &'static [Document] = &[];
}

/// What a gate tells beside metrics and health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// HTML for people, at `/` and `/ui`.
    Page,
    /// JSON: a [`crate::status::GateStatus`].
    Status,
    /// JSON: a list of objects with the columns of `SHOW WEIR DIGESTS`.
    Digests,
    /// JSON: a list of objects with the columns of `SHOW WEIR EVENTS`, oldest first.
    Events,
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
    let sent = |text: Option<String>, kind| match text {
        Some(text) => with_type(text, kind),
        None => plain(StatusCode::SERVICE_UNAVAILABLE, "the process is ending\n"),
    };
    let path = request.uri().path();
    match path {
        "/healthz" => plain(StatusCode::OK, "ok\n"),
        "/readyz" => match shown.check_ready() {
            Ok(()) => plain(StatusCode::OK, "ready\n"),
            Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
        },
        "/metrics" => sent(shown.metrics().await, exposition::CONTENT_TYPE),
        _ => match S::DOCUMENTS.iter().find(|document| document.paths().contains(&path)) {
            Some(Document::Page) => as_page(sent(shown.document(Document::Page).await, "text/html; charset=utf-8")),
            Some(document) => as_data(sent(shown.document(*document).await, "application/json")),
            None if path == "/" => plain(StatusCode::OK, "/metrics\n/healthz\n/readyz\n"),
            None => plain(StatusCode::NOT_FOUND, known(S::DOCUMENTS)),
        },
    }
}

impl Document {
    fn paths(self) -> &'static [&'static str] {
        match self {
            Document::Page => &["/", "/ui"],
            Document::Status => &["/status"],
            Document::Digests => &["/digests"],
            Document::Events => &["/events"],
        }
    }
}

fn known(documents: &[Document]) -> String {
    let own = documents.iter().flat_map(|document| document.paths());
    let all: Vec<&str> = ["/metrics", "/healthz", "/readyz"].iter().chain(own).copied().collect();
    format!("there are {}\n", all.join(", "))
}

/// Nothing but the page's own script runs in it, it loads nothing but this process's data, and no other page may frame it.
fn as_page(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(page::policy()) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    as_data(response)
}

/// What is true now, of the type that is said and no other.
fn as_data(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
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

#[cfg(test)]
mod tests;
