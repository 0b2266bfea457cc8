//! The gate over HTTP/1: `/metrics`, `/healthz`, `/readyz`, `/status`. Read-only, without authentication: bind it where
//! only operators are.

pub mod metrics;

use crate::gate::desk::Desk;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Serves until its task is dropped.
pub async fn serve(listener: TcpListener, desk: Desk) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(seat) = seats.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = desk.clone();
                tokio::spawn(async move {
                    talk(stream, desk).await;
                    drop(seat);
                });
            }
            // Out of descriptors, say: the gate's clients come first.
            Err(error) => {
                tracing::warn!(event = "admin_accept_failed", %error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn talk(stream: TcpStream, desk: Desk) {
    let service = service_fn(move |request| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(answer(&request, &desk).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(event = "admin_connection_failed", %error);
    }
}

async fn answer(request: &Request<Incoming>, desk: &Desk) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" => plain(StatusCode::OK, "ok\n"),
        "/readyz" => match desk.is_ready() {
            true => plain(StatusCode::OK, "ready\n"),
            false => plain(StatusCode::SERVICE_UNAVAILABLE, "not ready: no usable backend, or draining\n"),
        },
        "/metrics" => match desk.picture().await {
            Some(picture) => with_type(metrics::render(&picture), "text/plain; version=0.0.4; charset=utf-8"),
            None => ending(),
        },
        "/status" => match desk.picture().await.map(|picture| serde_json::to_string_pretty(&picture.status())) {
            Some(Ok(text)) => with_type(text + "\n", "application/json"),
            Some(Err(_)) | None => ending(),
        },
        "/" => plain(StatusCode::OK, "/metrics\n/healthz\n/readyz\n/status\n"),
        _ => plain(StatusCode::NOT_FOUND, "there are /metrics, /healthz, /readyz and /status\n"),
    }
}

fn ending() -> Response<Full<Bytes>> {
    plain(StatusCode::SERVICE_UNAVAILABLE, "the gate is ending\n")
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = with_type(text.to_string(), "text/plain; charset=utf-8");
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
