//! What a gate says of itself on its admin port: metrics in Prometheus' text form.
//!
//! Invariant: a sample that is not understood is passed over; whoever needs one asks for it by name.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::error::Fault;
use crate::limits::REPLY_WAIT;

/// `weir_clients_open{core="0"} 12`
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    pub name: String,
    /// Without the quotes.
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

/// All metrics of now.
pub fn metrics(admin: SocketAddr) -> Result<Vec<Metric>, Fault> {
    let text = get(admin, "/metrics").map_err(|error| Fault::io("reading metrics", error))?;
    Ok(text.lines().filter_map(Metric::read).collect())
}

/// Clients that each core serves now, by the core's number.
pub fn clients_per_core(metrics: &[Metric]) -> Vec<(u32, u64)> {
    let of_core = |metric: &Metric| {
        let is_ours = metric.name.ends_with("clients_open");
        let (_, core) = metric.labels.iter().find(|(name, _)| name == "core")?;
        Some((core.parse().ok()?, metric.value as u64)).filter(|_| is_ours)
    };
    let mut cores: Vec<(u32, u64)> = metrics.iter().filter_map(of_core).collect();
    cores.sort_unstable();
    cores
}

impl Metric {
    fn read(line: &str) -> Option<Self> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let (head, value) = match line.split_once('}') {
            Some((head, value)) => (head, value),
            None => line.split_once(' ')?,
        };
        let (name, labels) = head.split_once('{').unwrap_or((head, ""));
        let labels = labels.split(',').filter_map(|label| {
            let (name, value) = label.split_once('=')?;
            Some((name.trim().to_owned(), value.trim_matches('"').to_owned()))
        });
        Some(Self {
            name: name.to_owned(),
            labels: labels.collect(),
            value: value.split_whitespace().next()?.parse().ok()?,
        })
    }
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(REPLY_WAIT))?;
    // In one write, so that a server which reads once has all of it.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    match head.split_whitespace().nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(std::io::Error::other(head.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let metrics: Vec<_> = [
            "# HELP weir_clients_open Client connections open now (gauge).",
            "weir_clients_open{core=\"1\"} 5",
            "weir_clients_open{core=\"0\"} 7",
            "weir_commands{core=\"0\",kind=\"x\"} 9 1700000000",
            "weir_up 1",
            "nonsense",
        ]
        .into_iter()
        .filter_map(Metric::read)
        .collect();
        assert_eq!(metrics.len(), 4);
        assert_eq!(clients_per_core(&metrics), [(0, 7), (1, 5)]);
        assert_eq!((metrics[3].name.as_str(), metrics[3].value), ("weir_up", 1.0));
        assert_eq!(metrics[2].labels.len(), 2);
    }

    #[test]
    fn pages_come_over_http() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for reply in ["HTTP/1.1 200 OK\r\n\r\nweir_up 1\n", "HTTP/1.1 404 Not Found\r\n\r\n"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = [0; 512];
                let len = stream.read(&mut asked).unwrap();
                assert!(asked[..len].starts_with(b"GET /metrics HTTP/1.0\r\n"));
                stream.write_all(reply.as_bytes()).unwrap();
            }
        });
        assert_eq!(metrics(address).unwrap().len(), 1);
        assert!(metrics(address).unwrap_err().to_string().contains("404"));
        server.join().unwrap();
    }
}
