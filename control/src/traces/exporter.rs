//! The exporter: batches of spans to the collector, again while it is away.
//!
//! ```text
//!   first of a batch ─► more, until it is full or [`GATHER`] is over ─► Export ─► taken: exported
//!                                                        ▲                 ├──► refused for good: failed
//!                                                        └── backoff ◄─────┴──► away: again, until [`GIVE_UP`]: failed
//! ```
//! Invariant: one batch at a time; it is exported or failed, as a whole but for what the collector says it rejects.
//! Source: OTLP specification, "OTLP/gRPC": which codes may be tried again.

use super::headers::Headers;
use super::proto::trace_service_client::TraceServiceClient;
use super::proto::{ExportTraceServiceRequest, Resource};
use super::{Counts, Told, spans};
use crate::grpc::tls::{ClientTls, quiet_endpoint, root};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Extensions, Request, Status};

pub struct Exporter {
    endpoint: Endpoint,
    address: String,
    queue: Receiver<Told>,
    counts: Arc<Counts>,
    resource: Resource,
    headers: Headers,
    gzip: bool,
    /// It did not take the last batch: told once.
    is_away: bool,
}

/// How the collector is spoken to.
pub struct Way {
    pub tls: Option<ClientTls>,
    pub headers: Headers,
    pub gzip: bool,
}

/// What came of one try.
enum Try {
    /// The collector has it, but for so many spans.
    Taken {
        rejected: u64,
    },
    Again(String),
    Refused(String),
}

impl Exporter {
    pub fn new(
        address: &str,
        way: Way,
        queue: Receiver<Told>,
        counts: Arc<Counts>,
        resource: Resource,
    ) -> Result<Exporter, String> {
        let Way { tls, headers, gzip } = way;
        let endpoint = quiet_endpoint(address, tls.as_ref())?.connect_timeout(CALL_LIMIT).timeout(CALL_LIMIT);
        let address = address.to_string();
        Ok(Exporter { endpoint, address, queue, counts, resource, headers, gzip, is_away: false })
    }

    /// Until nobody can offer any more and the queue is empty.
    pub async fn run(mut self) {
        // Connects with the first call, and again by itself.
        let mut client = TraceServiceClient::new(self.endpoint.connect_lazy());
        if self.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        while let Some(batch) = self.gather().await {
            self.deliver(&mut client, batch).await;
            if self.is_away && self.queue.is_closed() {
                // Who ends waits for no collector: the others would take as long each.
                while self.queue.recv().await.is_some() {
                    add(&self.counts.failed, 1);
                }
            }
        }
    }

    async fn gather(&mut self) -> Option<Vec<Told>> {
        let mut batch = vec![self.queue.recv().await?];
        let until = Instant::now() + GATHER;
        while batch.len() < BATCH_MAX {
            match timeout_at(until, self.queue.recv()).await {
                Ok(Some(told)) => batch.push(told),
                Ok(None) | Err(_) => break,
            }
        }
        Some(batch)
    }

    async fn deliver(&mut self, client: &mut TraceServiceClient<Channel>, batch: Vec<Told>) {
        let statements = batch.len() as u64;
        let request = spans::request(&self.resource, batch);
        let headers = self.headers.now();
        let (give_up_at, mut pause) = (Instant::now() + GIVE_UP, PAUSE_MIN);
        loop {
            let whole = Request::from_parts(headers.clone(), Extensions::new(), request.clone());
            let why = match send(client, whole).await {
                Try::Taken { rejected } => return self.taken(statements, rejected),
                Try::Refused(why) => return self.lose(statements, &why),
                Try::Again(why) => why,
            };
            if self.queue.is_closed() || Instant::now() + pause > give_up_at {
                return self.lose(statements, &why);
            }
            self.tell_away(&why);
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn taken(&mut self, statements: u64, rejected: u64) {
        let rejected = rejected.min(statements);
        self.counts.exported.fetch_add(statements - rejected, Ordering::Relaxed);
        add(&self.counts.failed, rejected);
        if std::mem::take(&mut self.is_away) {
            tracing::info!(event = "traces_taken", collector = self.address, "the collector takes traces again");
        }
    }

    fn lose(&mut self, statements: u64, why: &str) {
        add(&self.counts.failed, statements);
        self.tell_away(why);
    }

    fn tell_away(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_away, true) {
            let address = &self.address;
            tracing::warn!(
                event = "traces_failed",
                collector = address,
                "{address} takes no traces ({why}): they are kept for a while"
            );
        }
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

async fn send(client: &mut TraceServiceClient<Channel>, request: Request<ExportTraceServiceRequest>) -> Try {
    match client.export(request).await {
        Ok(reply) => {
            let partial = reply.into_inner().partial_success.unwrap_or_default();
            Try::Taken { rejected: u64::try_from(partial.rejected_spans).unwrap_or(0) }
        }
        Err(status) if may_try_again(&status) => Try::Again(words(&status)),
        Err(status) => Try::Refused(words(&status)),
    }
}

/// What the transport itself says has a source, and no code that a collector gave.
fn may_try_again(status: &Status) -> bool {
    let is_passing = matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    );
    is_passing || status.source().is_some()
}

fn words(status: &Status) -> String {
    match status.source() {
        Some(source) => root(source),
        None => format!("{:?}: {}", status.code(), status.message()),
    }
}

/// Statements of a batch: with three spans each of some 700 bytes, a quarter of the 4 MiB that a collector takes.
const BATCH_MAX: usize = 512;

/// How long a batch waits for more.
const GATHER: Duration = Duration::from_millis(500);

/// For a connection, and for an answer.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Between two tries: each pause is twice the one before.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How long one batch is tried.
const GIVE_UP: Duration = Duration::from_secs(60);
