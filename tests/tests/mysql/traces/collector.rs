//! The collector: an OTLP server inside the test that keeps what it is told, and may be away for a while.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use weir_control::traces::proto::any_value::Value;
use weir_control::traces::proto::trace_service_server::{TraceService, TraceServiceServer};
use weir_control::traces::proto::{ExportTraceServiceRequest, ExportTraceServiceResponse, KeyValue, Span, SpanKind};

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

pub struct Collector {
    address: SocketAddr,
    kept: Kept,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// One statement's: its server span and those below it.
#[derive(Debug)]
pub struct Traced {
    pub own: Span,
    pub wait: Option<Span>,
    pub backend: Option<Span>,
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    pub fn start() -> Collector {
        Collector::start_at(([127, 0, 0, 1], 0).into())
    }

    pub fn start_at(address: SocketAddr) -> Collector {
        let kept = Kept::default();
        let (end, ended) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let service = TraceServiceServer::new(kept.clone());
        let body = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind(address).await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let serves = Server::builder().serve_with_incoming(service, TcpIncoming::from(listener));
                tokio::select! {
                    served = serves => served.unwrap(),
                    _ = ended => {}
                }
            });
        };
        let thread = std::thread::spawn(body);
        Collector { address: told.recv().unwrap(), kept, end: Some(end), thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        self.kept.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All statements so far, in the order in which they ended.
    pub fn traced(&self) -> Vec<Traced> {
        let requests = self.requests();
        let spans = requests.iter().flat_map(|request| &request.resource_spans);
        let spans = spans.flat_map(|spans| &spans.scope_spans).flat_map(|spans| &spans.spans);
        let (own, below): (Vec<&Span>, Vec<&Span>) = spans.partition(|span| span.kind() == SpanKind::Server);
        let mut children = BTreeMap::<Vec<u8>, Vec<Span>>::new();
        below.into_iter().for_each(|span| children.entry(span.parent_span_id.clone()).or_default().push(span.clone()));
        let traced = own.into_iter().map(|own| {
            let mut below = children.remove(&own.span_id).unwrap_or_default();
            let mut take = |kind| below.iter().position(|span| span.kind() == kind).map(|at| below.remove(at));
            let traced = Traced { own: own.clone(), wait: take(SpanKind::Internal), backend: take(SpanKind::Client) };
            assert!(below.is_empty(), "more spans than one statement has: {below:?}");
            traced
        });
        let traced = traced.collect();
        assert!(children.is_empty(), "spans without their statement's: {children:?}");
        traced
    }

    /// Waits until there is one, and says which.
    pub fn find(&self, what: &str, is_it: impl Fn(&Traced) -> bool) -> Traced {
        let began = Instant::now();
        loop {
            if let Some(found) = self.traced().into_iter().find(&is_it) {
                return found;
            }
            assert!(began.elapsed() < LIMIT, "{what} does not come: {:#?}", self.traced());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Traced {
    /// Of the statement's own span, as text; empty if it has none of this key.
    pub fn says(&self, key: &str) -> String {
        found(&self.own.attributes, key)
    }

    pub fn backend_says(&self, key: &str) -> String {
        self.backend.as_ref().map(|span| found(&span.attributes, key)).unwrap_or_default()
    }

    pub fn took_ns(span: &Span) -> u64 {
        span.end_time_unix_nano.checked_sub(span.start_time_unix_nano).expect("time goes on")
    }

    /// They lie in it, one behind the other, and in one trace.
    pub fn check(&self) {
        let own = &self.own;
        assert!(own.trace_id.len() == 16 && own.span_id.len() == 8, "{own:?}");
        let mut at = own.start_time_unix_nano;
        for below in [&self.wait, &self.backend].into_iter().flatten() {
            assert_eq!((&below.trace_id, &below.parent_span_id), (&own.trace_id, &own.span_id));
            assert!(below.span_id != own.span_id && below.span_id.len() == 8, "{self:?}");
            assert!(below.start_time_unix_nano >= at && below.end_time_unix_nano <= own.end_time_unix_nano, "{self:?}");
            Traced::took_ns(below);
            at = below.end_time_unix_nano;
        }
        Traced::took_ns(own);
    }
}

fn found(attributes: &[KeyValue], key: &str) -> String {
    let value = attributes.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone()?.value);
    match value {
        None => String::new(),
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
    }
}

/// Batches wait for half a second; a busy machine takes longer.
pub const LIMIT: Duration = Duration::from_secs(30);
