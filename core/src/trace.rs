//! Traces as the cores know them: which statements belong to one, and what is told about each. Values; the collector is control's.
//!
//! ```text
//!   command complete ─► context: attribute, comment, none ─► wanted? ─► a draft (`querylog.rs`) ─► end ─► Span, by mail
//! ```
//! Invariant: while traces are off nothing is looked for and nothing is copied. A statement whose parent says "not sampled" has no span, and
//! a core makes at most so many spans a second as [`TraceSettings::per_s_max`] says, whoever asks for them.

use crate::querylog::Draft;
use crate::snapshot::Address;
use crate::time::Instant;

mod allowance;
pub mod context;
pub mod state;

pub use allowance::Allowance;
pub use context::{Context, Parent};

/// What an operator wants traced; [`Default`] is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceSettings {
    /// Somebody is told. What clients have sampled is traced then.
    pub is_on: bool,
    /// One of so many statements that come without a context, by a draw; 0: none.
    pub sample: u32,
    /// Of each core.
    pub per_s_max: u32,
}

/// Whose span it is. Ids are never all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    pub trace: [u8; 16],
    pub span: [u8; 8],
    /// None: the trace begins here.
    pub parent: Option<[u8; 8]>,
}

impl Ids {
    pub fn draw(parent: Option<Parent>, mut random: impl FnMut() -> u64) -> Ids {
        // One of 2^64 draws would be all zero.
        let mut bytes = || random().max(1).to_be_bytes();
        let span = bytes();
        match parent {
            Some(parent) => Ids { trace: parent.trace, span, parent: Some(parent.span) },
            None => {
                let mut trace = [0; 16];
                trace[..8].copy_from_slice(&bytes());
                trace[8..].copy_from_slice(&bytes());
                Ids { trace, span, parent: None }
            }
        }
    }
}

/// One traced statement that has ended.
#[derive(Clone, Debug)]
pub struct Span {
    pub ids: Ids,
    /// Its text as the client sent it: whoever shows it leaves the literals out.
    pub draft: Box<Draft>,
    pub core: u16,
    /// As the client knows it.
    pub connection_id: u32,
    pub schema: String,
    /// It is one statement, and understood.
    pub is_plain: bool,
    /// The backend that answered; None: the gate did.
    pub backend: Option<Server>,
    /// `primary`, `replica`, `gate`.
    pub route: &'static str,
    /// Why it went there, as `EXPLAIN ROUTE` says.
    pub reason: &'static str,
    pub times: Times,
    pub rows: u64,
    /// The error's number, if it ended in one; 2013 when the reply has no end.
    pub error: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub name: String,
    pub address: Address,
}

/// ```text
///   began ──gate── ▒▒▒wait▒▒▒ ──gate── sent ──────backend────── ended
///                 from began on
/// ```
/// The same split as digests and histograms have: `wait` is from the command to the lease, when that was not at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub began: Instant,
    /// From when on it was waited for a connection, and for how long; 0: one was there at once.
    pub wait_from: Instant,
    pub wait_ns: u64,
    /// To a backend, for the last time; None: to none.
    pub sent: Option<Instant>,
    pub ended: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_on_or_begins() {
        let mut next = 0;
        let mut random = || {
            next += 1;
            next - 1
        };
        let parent = Parent { trace: [7; 16], span: [9; 8] };
        let own = Ids::draw(Some(parent), &mut random);
        assert_eq!((own.trace, own.parent, own.span), ([7; 16], Some([9; 8]), 1u64.to_be_bytes()));
        let own = Ids::draw(None, &mut random);
        assert_eq!((own.parent, own.span), (None, 1u64.to_be_bytes()));
        assert_eq!(own.trace, [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
    }
}
