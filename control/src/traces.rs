//! Traces for a collector: what the cores tell about statements, as OpenTelemetry spans by OTLP over gRPC, from a thread of its own.
//!
//! ```text
//!   cores ── Span (mail) ──► control thread: Traces::offer ──► bounded queue ──► thread: spans ─► batch ─► collector
//!   only so many wait                                   full: dropped, counted        away: the batch waits, the queue fills
//! ```
//! Invariant: no statement waits for a collector, and memory is bounded: one batch and the queue. What is lost is counted. No literal and
//! no parameter is in a span (`spans.rs`).
//!
//! A thread of its own, not a task beside the monitor: digests and TLS of a thousand spans a second are milliseconds in which a failover
//! would be noticed later.

mod exporter;
pub mod headers;
mod spans;

use crate::config::{Config, TracesConfig};
use crate::grpc::tls::{ClientTls, TlsFiles};
use exporter::{Exporter, Way};
use headers::Headers;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::SystemTime;
use tokio::sync::mpsc::{self, Sender};
use weir_core::time::Instant;
use weir_core::trace::{Span, TraceSettings};

/// What build.rs makes of `proto/otlp.proto`.
pub mod proto {
    #![allow(clippy::all)]
    tonic::include_proto!("opentelemetry.proto.collector.trace.v1");
}

pub struct Traces {
    queue: Option<Sender<Told>>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

/// A span, and what the cores' clock was at a moment of the world's.
struct Told {
    span: Box<Span>,
    clock: Instant,
    at: SystemTime,
}

#[derive(Default)]
struct Counts {
    exported: AtomicU64,
    /// No room in the queue.
    dropped: AtomicU64,
    /// The collector did not take them.
    failed: AtomicU64,
}

impl Traces {
    /// None: there is no collector. An error says what is wrong with its certificates or headers.
    pub fn start(config: &TracesConfig, gate: &str) -> Result<Option<Traces>, String> {
        let Some(address) = config.address() else { return Ok(None) };
        if config.is_secure() && config.ca.is_none() {
            return Err(format!("{} needs the authority's file (tls_ca in [traces])", config.endpoint));
        }
        let ca = config.ca.clone();
        let tls = ClientTls::load(&TlsFiles { ca, ..TlsFiles::default() })?;
        let (queue, orders) = mpsc::channel(QUEUE_MAX);
        let counts = Arc::<Counts>::default();
        let headers = Headers::open(config.headers_file.as_deref())?;
        let way = Way { tls, headers, gzip: config.gzip };
        let exporter = Exporter::new(address, way, orders, counts.clone(), spans::resource(gate))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("the traces' thread cannot start: {error}"))?;
        let body = move || runtime.block_on(exporter.run());
        let thread = std::thread::Builder::new().name("weir-traces".to_string()).spawn(body);
        let thread = thread.map_err(|error| format!("the traces' thread cannot start: {error}"))?;
        Ok(Some(Traces { queue: Some(queue), counts, thread: Some(thread) }))
    }

    /// Never waits. `clock`: what the cores' clock says now.
    pub fn offer(&self, clock: Instant, span: Box<Span>) {
        let told = Told { span, clock, at: SystemTime::now() };
        if self.queue.as_ref().is_none_or(|queue| queue.try_send(told).is_err()) {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Statements whose spans the collector has, found no room, and were not taken.
    pub fn counted(&self) -> [u64; 3] {
        let Counts { exported, dropped, failed } = &*self.counts;
        [exported, dropped, failed].map(|count| count.load(Ordering::Relaxed))
    }
}

impl Drop for Traces {
    /// What is in the queue is sent, if the collector takes it at once.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the cores are to trace; nothing without a collector.
pub fn wanted(config: &Config) -> TraceSettings {
    let TracesConfig { sample, per_s_max, .. } = config.traces;
    match config.traces.address() {
        Some(_) => TraceSettings { is_on: true, sample, per_s_max },
        None => TraceSettings::default(),
    }
}

/// Statements on their way to the thread, up to 5 KiB each.
const QUEUE_MAX: usize = 4_096;

#[cfg(test)]
mod tests;
