//! The standing of a server with its agent: whether it can be looked at, and whether it is still the one that it was.
//!
//! ```text
//!   connecting ─► serving ◄──► server_stopped | server_silent | bad_credentials | refused      (a look that fails)
//!                    ▲  └────► server_restarted        for one look: its start is later than the one we knew
//!                    └───────► server_wiped            until it holds again all that it held before
//! ```
//! Invariant: every state is left without anybody's help when its reason is gone. A wiped server is never believed to be
//! a primary: it is writable and replicates from nobody, as a primary would, and has lost what clients wrote.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No look has ended yet.
    Connecting,
    /// The account or its password is wrong, or locked.
    BadCredentials,
    /// Nobody listens there.
    ServerStopped,
    /// It takes connections (or packets) and does not answer in time.
    ServerSilent,
    /// It answers, and refuses for another reason: too many connections, a blocked host, a missing privilege.
    Refused,
    /// This look found a later start than the one before.
    ServerRestarted,
    /// Its executed set no longer holds what it held: another data folder, a reset, a restored backup.
    ServerWiped,
    Serving,
}

impl Standing {
    pub const ALL: [Standing; 8] = [
        Standing::Connecting,
        Standing::BadCredentials,
        Standing::ServerStopped,
        Standing::ServerSilent,
        Standing::Refused,
        Standing::ServerRestarted,
        Standing::ServerWiped,
        Standing::Serving,
    ];

    /// The word on the wire, in logs and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Standing::Connecting => "connecting",
            Standing::BadCredentials => "bad_credentials",
            Standing::ServerStopped => "server_stopped",
            Standing::ServerSilent => "server_silent",
            Standing::Refused => "refused",
            Standing::ServerRestarted => "server_restarted",
            Standing::ServerWiped => "server_wiped",
            Standing::Serving => "serving",
        }
    }

    pub fn of_name(name: &str) -> Option<Standing> {
        Standing::ALL.into_iter().find(|standing| standing.name() == name)
    }

    /// It may be sent traffic, as far as this tells.
    pub fn is_sound(self) -> bool {
        matches!(self, Standing::Serving | Standing::ServerRestarted)
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_name_of_its_own() {
        for standing in Standing::ALL {
            assert_eq!(Standing::of_name(standing.name()), Some(standing));
        }
        assert_eq!(Standing::of_name("well"), None);
        let sound: Vec<Standing> = Standing::ALL.into_iter().filter(|standing| standing.is_sound()).collect();
        assert_eq!(sound, [Standing::ServerRestarted, Standing::Serving]);
    }
}
