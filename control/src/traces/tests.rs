use super::proto::trace_service_server::{TraceService, TraceServiceServer};
use super::proto::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse};
use super::spans::tests::told;
use super::*;
use crate::config::Config;
use crate::grpc::tls::ServerTls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::oneshot;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

/// What it answers next; then it takes all that has the token it wants, if it wants one.
struct Collector(Mutex<VecDeque<Result<i64, Code>>>, Option<&'static str>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let token = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        if self.1.is_some_and(|wanted| token != Some(wanted)) {
            return Err(Status::unauthenticated("another token"));
        }
        match self.0.lock().unwrap().pop_front().unwrap_or(Ok(0)) {
            Err(code) => Err(Status::new(code, "as the test wants it")),
            Ok(rejected_spans) => {
                let partial = ExportTracePartialSuccess { rejected_spans, error_message: String::new() };
                Ok(Response::new(ExportTraceServiceResponse { partial_success: Some(partial) }))
            }
        }
    }
}

/// Ends when it is dropped, connections too.
struct Running {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end = None;
        self.thread.take().map(JoinHandle::join);
    }
}

/// One, and where it is.
fn collector(answers: &[Result<i64, Code>], tls: Option<ServerTls>) -> (Running, String) {
    serve(TraceServiceServer::new(Collector(Mutex::new(answers.iter().copied().collect()), None)), tls)
}

fn serve(service: TraceServiceServer<Collector>, tls: Option<ServerTls>) -> (Running, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (end, ended) = oneshot::channel::<()>();
    let body = async move {
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls.config()).unwrap();
        }
        tokio::select! {
            served = server.serve_with_incoming(service, TcpIncoming::from(listener)) => served.unwrap(),
            _ = ended => {}
        }
    };
    let thread = std::thread::spawn(move || runtime.block_on(body));
    (Running { end: Some(end), thread: Some(thread) }, address)
}

fn start(endpoint: String, ca: Option<PathBuf>) -> Traces {
    let config = TracesConfig { endpoint, ca, ..TracesConfig::default() };
    Traces::start(&config, "gate").unwrap().expect("there is a collector")
}

fn offer(traces: &Traces, count: usize) {
    (0..count).for_each(|_| traces.offer(Instant(20_000), told("SELECT 1", |_| {}).span));
}

fn wait_for(traces: &Traces, wanted: [u64; 3]) {
    let began = std::time::Instant::now();
    while traces.counted() != wanted {
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}, not {wanted:?}", traces.counted());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_away_is_tried_again_and_what_refuses_is_not() {
    let answers = [Err(Code::Unavailable), Err(Code::ResourceExhausted), Ok(2)];
    let (_running, address) = collector(&answers, None);
    let traces = start(format!("http://{address}"), None);
    offer(&traces, 3);
    // Again after the first answer; refused for good by the second.
    wait_for(&traces, [0, 0, 3]);
    offer(&traces, 5);
    wait_for(&traces, [3, 0, 5]);
    offer(&traces, 1);
    wait_for(&traces, [4, 0, 5]);
}

#[test]
fn who_ends_sends_what_there_is_and_waits_for_nobody() {
    let (running, address) = collector(&[], None);
    let traces = start(format!("http://{address}"), None);
    let counts = traces.counts.clone();
    offer(&traces, 7);
    drop(traces);
    assert_eq!(counts.exported.load(Ordering::Relaxed), 7);
    drop(running);
    let traces = start(format!("http://{address}"), None);
    let (counts, began) = (traces.counts.clone(), std::time::Instant::now());
    offer(&traces, 7);
    drop(traces);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!((counts.exported.load(Ordering::Relaxed), counts.failed.load(Ordering::Relaxed)), (0, 7));
}

#[test]
fn a_full_queue_drops() {
    // Nobody answers there, and nobody refuses: a listener that accepts nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let traces = start(format!("http://{}", listener.local_addr().unwrap()), None);
    offer(&traces, 3 * QUEUE_MAX);
    let [exported, dropped, failed] = traces.counted();
    let (counts, began) = (traces.counts.clone(), std::time::Instant::now());
    drop(traces);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let [lost, untold] = [&counts.failed, &counts.dropped].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(lost + untold, 3 * QUEUE_MAX as u64, "all that was offered is counted");
    assert!(exported == 0 && failed == 0 && dropped >= 2 * QUEUE_MAX as u64 - 512, "{exported} {dropped} {failed}");
}

#[test]
fn a_collector_behind_tls_shows_a_certificate_of_the_authority() {
    let folder = std::env::temp_dir().join(format!("weir-traces-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_string()]).unwrap().signed_by(&key, &authority).unwrap();
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let (cert, key) = (file("cert.pem", certificate.pem()), file("key.pem", key.serialize_pem()));
    let ca = file("ca.pem", authority.pem());
    let tls = ServerTls::load(&TlsFiles { cert: cert.clone(), key, ca: None }).unwrap();
    let (_running, address) = collector(&[], tls);

    let traces = start(format!("https://{address}"), ca);
    offer(&traces, 2);
    wait_for(&traces, [2, 0, 0]);
    // By another authority it is no collector of ours; and without one it is not spoken to at all.
    let stranger = start(format!("https://{address}"), cert.clone());
    offer(&stranger, 2);
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(stranger.counted()[0], 0);
    let config = TracesConfig { endpoint: format!("https://{address}"), ..TracesConfig::default() };
    assert!(Traces::start(&config, "gate").err().unwrap().contains("tls_ca"));
    std::fs::remove_dir_all(folder).unwrap();
}

/// Credentials that are renewed hold without a restart; and a collector that knows no gzip says so.
#[test]
fn exports_have_headers_and_may_be_compressed() {
    let path = std::env::temp_dir().join(format!("weir-traces-headers-{}", std::process::id()));
    std::fs::write(&path, "Authorization: Bearer old\n").unwrap();
    let plain = || TraceServiceServer::new(Collector(Mutex::default(), Some("Bearer new")));
    let (_running, address) = serve(plain().accept_compressed(CompressionEncoding::Gzip), None);
    let (_other, knows_none) = serve(plain(), None);
    let config = |address: &str, gzip| {
        let (endpoint, headers_file) = (format!("http://{address}"), Some(path.clone()));
        TracesConfig { endpoint, headers_file, gzip, ..TracesConfig::default() }
    };
    let start = |config: TracesConfig| Traces::start(&config, "gate").unwrap().expect("there is a collector");
    let traces = start(config(&address, true));
    offer(&traces, 2);
    wait_for(&traces, [0, 0, 2]);
    std::fs::write(&path, "Authorization: Bearer new\n").unwrap();
    offer(&traces, 3);
    wait_for(&traces, [3, 0, 2]);
    let [compressed, not] = [true, false].map(|gzip| start(config(&knows_none, gzip)));
    offer(&compressed, 2);
    offer(&not, 2);
    wait_for(&compressed, [0, 0, 2]);
    wait_for(&not, [2, 0, 0]);
    std::fs::write(&path, "Bearer new\n").unwrap();
    let why = Traces::start(&config(&address, true), "gate").err().unwrap();
    assert!(why.contains("line 1: there is no ':'") && !why.contains("Bearer"), "{why}");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn cores_are_told_only_where_there_is_a_collector() {
    let mut config = Config::defaults(vec![0]);
    config.traces.sample = 10;
    assert_eq!(wanted(&config), TraceSettings::default());
    config.traces.endpoint = "http://127.0.0.1:4317".to_string();
    assert_eq!(wanted(&config), TraceSettings { is_on: true, sample: 10, per_s_max: 1_000 });
}
