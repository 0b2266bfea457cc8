//! One client session that lasts: the `mysql` program with its input and output in our hands.
//!
//! Invariant: an answer is whole lines, as many as asked for. The client ends at the first error, so that no later
//! line can be taken for an answer; whoever holds the session then opens a new one.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::lab::Mysql;
use crate::lab::child::Child;
use crate::lab::client::{self, Login};

pub struct Session {
    stdin: ChildStdin,
    lines: Receiver<Line>,
    /// Killed when the session is dropped.
    _child: Child,
}

/// Why a question got no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Silence {
    /// The server or the gate said no, or the connection is gone.
    Refused(String),
    /// We were told to stop meanwhile.
    Stopped,
}

enum Line {
    Out(String),
    Err(String),
}

impl Session {
    pub fn open(mysql: &Mysql, login: &Login, database: &str) -> Result<Session, Silence> {
        let mut command = client::command(mysql, login);
        command.args(["--batch", "--skip-column-names", "--unbuffered", "--skip-reconnect", database]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = Child::spawn(command).map_err(|error| Silence::Refused(error.to_string()))?;
        let (Some(stdin), Some(stdout), Some(stderr)) = child.pipes() else {
            return Err(Silence::Refused("the client has no pipes".to_owned()));
        };
        let (sender, lines) = mpsc::channel();
        read_lines(stdout, sender.clone(), Line::Out);
        read_lines(stderr, sender, Line::Err);
        Ok(Session { stdin, lines, _child: child })
    }

    /// Sends statements and waits for so many lines.
    pub fn ask(&mut self, text: &str, count: usize, stop: &AtomicBool) -> Result<Vec<String>, Silence> {
        let deadline = Instant::now() + ANSWER_WAIT;
        let mut answer = Vec::with_capacity(count);
        let sent = writeln!(self.stdin, "{text}").and_then(|()| self.stdin.flush());
        let mut complaint = sent.err().map(|error| error.to_string());
        while answer.len() < count {
            match self.lines.recv_timeout(STOP_LOOK) {
                Ok(Line::Out(line)) => answer.push(line),
                Ok(Line::Err(line)) if line.starts_with("ERROR") => complaint = Some(line),
                Ok(Line::Err(_warning)) => {}
                Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => {
                    return Err(Silence::Stopped);
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Silence::Refused("no answer in time".to_owned()));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Silence::Refused(complaint.unwrap_or_else(|| "the client ended".to_owned())));
                }
            }
        }
        Ok(answer)
    }
}

fn read_lines(pipe: impl Read + Send + 'static, sender: Sender<Line>, wrap: fn(String) -> Line) {
    // It ends with the pipe, which ends with the client.
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(wrap(line)).is_err() {
                break;
            }
        }
    });
}

/// How long an answer may take: longer than a gate holds statements while the primary moves.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// How often a waiting session looks whether it shall stop.
const STOP_LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::fetch::Version;
    use std::os::unix::fs::PermissionsExt;

    /// A client that answers each line as the script says.
    fn session(name: &str, script: &str) -> Session {
        let path = std::env::temp_dir().join(format!("weir-session-test-{}-{name}", std::process::id()));
        std::fs::write(&path, format!("#!/bin/sh\nrm \"$0\"\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mysql = Mysql {
            mysqld: path.clone(),
            client: path,
            version: Version::OLDEST,
            flavour: Default::default(),
            root: None,
        };
        Session::open(&mysql, &Login::Root { socket: "/s".into() }, "db").unwrap()
    }

    #[test]
    fn lines_answer_and_warnings_do_not() {
        let mut session = session("lines", "while read line; do echo '[Warning] x' >&2; echo \"got $line\"; done");
        let stop = AtomicBool::new(false);
        for word in ["a", "b"] {
            assert_eq!(session.ask(word, 1, &stop).unwrap(), [format!("got {word}")]);
        }
    }

    #[test]
    fn an_error_ends_the_session_with_its_words() {
        let mut session = session("error", "read line; echo 'ERROR 1064 (42000) at line 1: no' >&2; exit 1");
        let silence = session.ask("x", 1, &AtomicBool::new(false)).unwrap_err();
        assert_eq!(silence, Silence::Refused("ERROR 1064 (42000) at line 1: no".to_owned()));
    }

    #[test]
    fn a_waiting_session_can_be_stopped() {
        let mut session = session("stop", "exec sleep 100");
        assert_eq!(session.ask("x", 1, &AtomicBool::new(true)).unwrap_err(), Silence::Stopped);
    }
}
