use super::*;
use crate::client::fake;
use crate::config::BackendConfig;
use crate::ctl;
use std::io::Write;
use std::net::TcpStream;
use weir_core::snapshot::Address;
use weir_net::secret::Secret;

fn backend(port: u16) -> Address {
    Address::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn config(port: u16) -> Config {
    let mut config = Config::local(&[backend(port)], "monitor", fake::PASSWORD);
    config.cores.truncate(1);
    config
}

fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_string(), body.to_string())
}

#[test]
fn a_gate_starts_tells_about_itself_and_drains() {
    let gate = start(config(fake::start())).unwrap();
    let admin = gate.admin_address().unwrap();
    assert_eq!(get(admin, "/healthz"), ("HTTP/1.1 200 OK".to_string(), "ok\n".to_string()));
    assert_eq!(get(admin, "/readyz").0, "HTTP/1.1 200 OK");
    assert_eq!(get(admin, "/nothing").0, "HTTP/1.1 404 Not Found");
    assert_eq!(get(admin, "/digests").1, "[]\n");
    let (status, metrics) = get(admin, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(metrics.contains("role=\"primary\"} 1\n"), "{metrics}");
    assert!(get(admin, "/").1.starts_with("<!doctype html>"));
    assert!(get(admin, "/events").1.contains("\"kind\": \"backend_news\""));
    assert!(metrics.contains("weir_cores_reporting 1\n"), "{metrics}");
    let json: serde_json::Value = serde_json::from_str(&get(admin, "/status").1).unwrap();
    assert_eq!(json["backends"][0]["role"], "primary");

    let grpc = gate.addresses().grpc.unwrap();
    let status = ctl::status(&grpc.to_string()).unwrap();
    assert_eq!((status.ready, status.cores, status.backends.len()), (true, 1, 1));
    let client = gate.address().unwrap();
    TcpStream::connect(client).unwrap();

    gate.drain();
    gate.stop();
    assert!(TcpStream::connect(client).is_err());
    assert!(ctl::status(&grpc.to_string()).unwrap_err().contains("no gate answers at"));
}

#[test]
fn a_gate_that_cannot_start_says_why() {
    // A port that nobody listens on any more.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut nobody = config(dead);
    nobody.monitor.start_ms_max = 50;
    let text = start(nobody).err().unwrap().to_string();
    assert!(text.contains("no backend can be reached") && text.contains("nobody listens there"), "{text}");

    let alive = fake::start();
    let mut denied = config(alive);
    denied.monitor.password = Secret::from(&b"wrong"[..]);
    denied.monitor.start_ms_max = 60_000;
    let text = start(denied).err().unwrap().to_string();
    assert!(text.contains("GRANT REPLICATION CLIENT ON *.* TO 'monitor'@'%'"), "{text}");

    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut taken = config(alive);
    taken.admin_listen = holder.local_addr().ok();
    let text = start(taken.clone()).err().unwrap().to_string();
    assert!(text.contains("admin_listen (HTTP) cannot listen on 127.0.0.1"), "{text}");
    // Nobody asked for it: then it goes without.
    taken.admin_is_optional = true;
    assert_eq!(start(taken).unwrap().admin_address(), None);
}

/// One backend of two is enough to start, and the other is told apart in the status.
#[test]
fn a_gate_starts_with_the_backends_that_are_there() {
    let mut config = config(fake::start());
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    config.backends.push(BackendConfig::at(&backend(dead)));
    let gate = start(config).unwrap();
    let status = ctl::status(&gate.addresses().grpc.unwrap().to_string()).unwrap();
    let healths: Vec<&str> = status.backends.iter().map(|backend| backend.health.as_str()).collect();
    assert_eq!(healths, ["up", "down"]);
    assert!(status.backends[1].note.contains("connection refused"));
}
