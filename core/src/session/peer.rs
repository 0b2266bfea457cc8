//! Where a client comes from and where it came in: its peer, and the listener that accepted it.
//!
//! Invariant: the listener is the one whose socket was accepted from, whatever a PROXY header says of the peer later.

use crate::tally::Origin;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Tcp(std::net::SocketAddr),
    Unix,
}

impl Peer {
    pub fn origin(&self) -> Origin {
        Origin::of(match self {
            Peer::Tcp(address) => Some(address.ip()),
            Peer::Unix => None,
        })
    }

    /// As a server that looks up no names tells it.
    pub fn host(&self) -> String {
        match self {
            Peer::Tcp(address) => address.ip().to_canonical().to_string(),
            Peer::Unix => "localhost".to_owned(),
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(f),
            Peer::Unix => f.write_str("unix"),
        }
    }
}

/// An address that is listened on, by its place among all of the gate's; it never changes while the gate runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenerId(pub u16);
