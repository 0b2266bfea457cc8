//! The legacy: what a gate gets from the one before it, and how it says that it serves.
//!
//! Invariant: a socket that the configuration has no use for is closed; none is listened on twice.

use super::line::{Line, Message, Patience};
use super::{RELAYS, VARIABLE, WORD_LIMIT, WORDS_VERSION};
use crate::config::address;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;
use weir_core::drive::{Inherited, ListenAddress};

#[derive(Debug)]
pub struct Legacy {
    line: Line,
    pub clients: Vec<Inherited>,
    /// By the address that was configured.
    admin: Vec<(String, OwnedFd)>,
    grpc: Vec<(String, OwnedFd)>,
    /// How ids of connections of gates before this one begin.
    pub tags: Vec<u8>,
    /// Lines to the processes before the former one.
    kin: Vec<OwnedFd>,
    /// The former one answers questions about its clients.
    relays: bool,
}

/// Who is still there of the processes before this one, while they finish their sessions: their lines, and whether they answer questions.
pub type Following = Vec<(Arc<AsyncFd<Line>>, bool)>;

impl Legacy {
    /// None: no gate has started this process. Err: one has, and what it said is not understood.
    pub fn take() -> Option<Result<Legacy, String>> {
        let version = std::env::var(VARIABLE).ok()?;
        let line = match std::io::stdin().as_fd().try_clone_to_owned() {
            Ok(socket) => Line::new(socket),
            Err(error) => return Some(Err(format!("the former gate cannot be heard ({error})"))),
        };
        Some(match version == WORDS_VERSION {
            true => Legacy::hear(line),
            false => {
                let why =
                    format!("the gate that runs speaks version {version} of the words for an upgrade: restart it");
                refuse(&line, &why);
                Err(why)
            }
        })
    }

    fn hear(line: Line) -> Result<Legacy, String> {
        let broken = |error: &dyn std::fmt::Display| format!("the former gate's line broke ({error})");
        line.set_limit(WORD_LIMIT).map_err(|error| broken(&error))?;
        let (clients, admin, grpc, tags, kin) = <(Vec<_>, Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
        let mut legacy = Legacy { line, clients, admin, grpc, tags, kin, relays: false };
        loop {
            let message = legacy.line.receive(Patience::Waits).map_err(|error| broken(&error))?;
            let Some(Message { text, sockets }) = message else { return Err(broken(&"it has ended")) };
            match text.split_once(' ').unwrap_or((&text, "")) {
                ("listen", at) => {
                    let address = address::listen(at)?;
                    let inherit = |socket| Inherited { address: address.clone(), socket };
                    legacy.clients.extend(sockets.into_iter().map(inherit));
                }
                ("admin", at) => legacy.admin.extend(sockets.into_iter().map(|socket| (at.to_string(), socket))),
                ("grpc", at) => legacy.grpc.extend(sockets.into_iter().map(|socket| (at.to_string(), socket))),
                ("tags", tags) => legacy.tags = tags.split(' ').filter_map(|tag| tag.parse().ok()).collect(),
                ("kin", _) => legacy.kin.extend(sockets),
                (RELAYS, _) => legacy.relays = true,
                ("end", _) => return Ok(legacy),
                // Of a newer version: what comes with it is closed.
                _ => {}
            }
        }
    }

    /// The sockets for this configuration's addresses, if they are the same as the former one's.
    pub fn admin(&mut self, address: Option<SocketAddr>) -> Option<TcpListener> {
        take(&mut self.admin, address)
    }

    pub fn grpc(&mut self, address: Option<SocketAddr>) -> Option<TcpListener> {
        take(&mut self.grpc, address)
    }

    /// This process will not serve: the former gate goes on.
    pub fn refuse(&self, why: &str) {
        refuse(&self.line, why);
    }

    /// This process serves its clients at these addresses: returns when the former gate has stopped to accept and has left its name, or has
    /// ended.
    pub async fn succeed(self, addresses: &[ListenAddress]) -> io::Result<Following> {
        self.line.send(RELAYS, &[])?;
        for address in addresses {
            self.line.send(&format!("holds {}", address::show_listen(address)), &[])?;
        }
        self.line.send("ready", &[])?;
        let line = self.line.polled()?;
        // Whatever it says: it has our word, and cannot be waited for longer.
        let _ = timeout(WORD_LIMIT, word(&line)).await;
        let mut following = vec![(Arc::new(line), self.relays)];
        for socket in self.kin {
            following.push((Arc::new(Line::new(socket).polled()?), true));
        }
        Ok(following)
    }
}

/// None: it has ended.
async fn word(line: &AsyncFd<Line>) -> Option<String> {
    loop {
        let mut ready = line.readable().await.ok()?;
        match ready.get_inner().receive(Patience::None) {
            Ok(message) => return message.map(|message| message.text),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
            Err(_) => return None,
        }
    }
}

fn refuse(line: &Line, why: &str) {
    let mut end = why.len().min(super::line::TEXT_BYTES_MAX / 2);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    // Whom it would tell may have ended.
    let _ = line.send(&format!("failed {}", &why[..end]), &[]);
}

fn take(sockets: &mut Vec<(String, OwnedFd)>, address: Option<SocketAddr>) -> Option<TcpListener> {
    let address = address?.to_string();
    let at = sockets.iter().position(|(of, _)| *of == address)?;
    Some(TcpListener::from(sockets.swap_remove(at).1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::upgrade::heir::Sockets;
    use std::os::fd::AsFd;

    fn inherited(text: &str) -> Inherited {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap().into();
        Inherited { address: address::listen(text).unwrap(), socket }
    }

    #[tokio::test]
    async fn what_is_left_arrives_under_its_configured_address() {
        let (ours, theirs) = Line::pair().unwrap();
        let (older, kin) = Line::pair().unwrap();
        let clients = ["127.0.0.1:0", "unix:/run/w.sock", "127.0.0.1:0"].map(inherited);
        let admin = TcpListener::bind("127.0.0.1:0").unwrap();
        let bound = admin.local_addr().unwrap();
        let admin = Some(("127.0.0.1:0".to_string(), admin.as_fd()));
        super::super::heir::hand_over(
            &ours,
            &Sockets { clients: &clients, admin, grpc: None, tags: &[7, 200], kin: vec![kin.as_fd()] },
        )
        .unwrap();
        let mut legacy = Legacy::hear(Line::new(theirs)).unwrap();
        let addresses: Vec<String> = legacy.clients.iter().map(|one| address::show_listen(&one.address)).collect();
        assert_eq!(addresses, ["127.0.0.1:0", "127.0.0.1:0", "unix:/run/w.sock"]);
        assert_eq!(legacy.tags, [7, 200]);
        let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
        assert!(legacy.admin(Some(([127, 0, 0, 1], 9).into())).is_none() && legacy.grpc(Some(free)).is_none());
        assert_eq!(legacy.admin(Some(free)).unwrap().local_addr().unwrap(), bound);
        assert!(legacy.admin(Some(free)).is_none());

        let following = tokio::spawn(async move { legacy.succeed(&[address::listen("127.0.0.1:0").unwrap()]).await });
        let told = tokio::task::spawn_blocking(move || {
            let words = [(); 3].map(|()| ours.receive(Patience::Waits).unwrap().unwrap().text);
            ours.send("yours", &[]).unwrap();
            words
        });
        assert_eq!(told.await.unwrap(), [RELAYS, "holds 127.0.0.1:0", "ready"]);
        let following = following.await.unwrap().unwrap();
        assert!(following.iter().map(|(_, relays)| *relays).eq([true, true]));
        drop(kin);
        older.send("to the newest", &[]).unwrap();
        assert_eq!(word(&following[1].0).await.as_deref(), Some("to the newest"));
        assert_eq!(word(&following[0].0).await, None, "it has ended");
    }

    #[test]
    fn a_line_that_breaks_is_no_legacy() {
        let (ours, theirs) = Line::pair().unwrap();
        ours.send("of a newer version", &[]).unwrap();
        drop(ours);
        assert!(Legacy::hear(Line::new(theirs)).unwrap_err().contains("it has ended"));
        let (ours, theirs) = Line::pair().unwrap();
        refuse(&Line::new(theirs), &"ü".repeat(40_000));
        let word = ours.receive(Patience::Waits).unwrap().unwrap().text;
        assert!(word.starts_with("failed ü") && word.len() < 20_000, "{}", word.len());
    }
}
