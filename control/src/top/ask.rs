//! What a gate answers over HTTP: its status, and from time to time its digests and events.

use crate::status::GateStatus;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub status: GateStatus,
    pub slow: Option<Slow>,
}

/// What changes slowly, or costs more to tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slow {
    /// Empty: none were counted, or counting is off.
    pub digests: Vec<Digest>,
    /// Oldest first.
    pub events: Vec<Event>,
}

/// A row of `/digests`, as far as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Digest {
    pub schema_name: String,
    pub digest_text: String,
    pub count: u64,
    pub errors: u64,
    pub replica_percent: u64,
    pub total_time_us: u64,
    pub backend_p50_us: u64,
    pub backend_p99_us: u64,
}

/// A row of `/events`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    pub time: String,
    pub kind: String,
    pub subject: String,
    pub text: String,
}

impl Answer {
    /// Err: why there is none, and what to do, as a sentence.
    pub fn ask(gate: &str, with_slow: bool) -> Result<Answer, String> {
        let status = get(gate, "/status")?;
        let slow = match with_slow {
            true => Some(Slow { digests: get(gate, "/digests")?, events: get(gate, "/events")? }),
            false => None,
        };
        Ok(Answer { status, slow })
    }

    /// What was not asked for now is as it was.
    pub fn keep_slow_of(&mut self, before: &Answer) {
        if self.slow.is_none() {
            self.slow.clone_from(&before.slow);
        }
    }
}

fn get<T: DeserializeOwned>(gate: &str, path: &str) -> Result<T, String> {
    let told = fetch(gate, path)
        .map_err(|error| format!("no gate answers at {gate} ({error}): name its admin_listen with --http HOST:PORT"))?;
    let (head, body) = told.split_once("\r\n\r\n").unwrap_or((&told, ""));
    let line = head.lines().next().unwrap_or_default();
    match line.split_whitespace().nth(1) {
        Some("200") => serde_json::from_str(body).map_err(|error| {
            format!("what {gate} says at {path} is not understood ({error}): is it a gate of this version?")
        }),
        Some("404") => Err(format!("{gate} has no {path}: name a gate's admin_listen with --http HOST:PORT")),
        _ => Err(format!("{gate} answers {line:?}: {}", body.trim())),
    }
}

/// Head and body. HTTP/1.0: the answer ends with the connection.
fn fetch(gate: &str, path: &str) -> std::io::Result<String> {
    let mut tried = Err(std::io::Error::other("it has no address"));
    for address in gate.to_socket_addrs()? {
        tried = TcpStream::connect_timeout(&address, LIMIT);
        if tried.is_ok() {
            break;
        }
    }
    let mut stream = tried?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {gate}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A gate answers within half a second also when a core is silent.
const LIMIT: Duration = Duration::from_secs(3);

/// Of one answer: all digests that a gate keeps are some MiB.
const BYTES_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn answered(reply: &'static str) -> Result<GateStatus, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 512];
            let len = stream.read(&mut asked).unwrap();
            assert!(asked[..len].starts_with(b"GET /status HTTP/1.0\r\n"));
            stream.write_all(reply.as_bytes()).unwrap();
        });
        let answer = get(&address.to_string(), "/status");
        server.join().unwrap();
        answer
    }

    #[test]
    fn answers_are_read_and_errors_say_what_to_do() {
        let status = answered("HTTP/1.0 200 OK\r\n\r\n{\"version\": \"9\", \"new\": 1}").unwrap();
        assert_eq!((status.version.as_str(), status.cores), ("9", 0));
        assert!(answered("HTTP/1.0 404 Not Found\r\n\r\n").unwrap_err().contains("has no /status: name a gate's"));
        assert!(answered("HTTP/1.0 503 No\r\n\r\nthe process is ending\n").unwrap_err().ends_with("process is ending"));
        assert!(answered("HTTP/1.0 200 OK\r\n\r\nhello").unwrap_err().contains("is it a gate of this version?"));
        let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(Answer::ask(&dead.to_string(), true).unwrap_err().contains("--http HOST:PORT"));
    }
}
