//! A connection's trail: which transactions its thread is known to have committed, and what its server had when the last
//! command went out that may commit one (S72).
//!
//! ```text
//!   executed (at least) when it was sent ∪ told      a transaction of this thread beyond that is the command's own …
//!   doubt                                            … unless an earlier one may have committed without telling
//! ```
//! Invariant: a thread commits one transaction after the other, so a set of the server's that has the last one told has all
//! before it. Doubt ends when such a set has one that was told after the doubt began.

use std::sync::Arc;
use weir_net::gtid::GtidSet;

#[derive(Debug, Default)]
pub struct Trail {
    /// What OKs told that `before` did not have.
    told: GtidSet,
    doubt: Doubt,
    before: Option<Before>,
}

#[derive(Debug)]
struct Before {
    uuid: [u8; 16],
    executed: Arc<GtidSet>,
}

#[derive(Debug, Default)]
enum Doubt {
    #[default]
    None,
    /// Something may have been committed, and nothing was told since.
    Open,
    /// This was told after it.
    Until(GtidSet),
}

/// What is known when the connection is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Of the server that it was connected to.
    pub uuid: [u8; 16],
    /// Transactions that are not the lost command's.
    pub others: GtidSet,
    /// All earlier ones of this thread are among them.
    pub is_complete: bool,
}

impl Trail {
    /// A command goes out that may commit. None: nobody knows which server that is.
    pub fn send(&mut self, uuid: Option<[u8; 16]>, executed: &Arc<GtidSet>) {
        if !self.told.is_empty() && executed.contains(&self.told) {
            self.told = GtidSet::new();
        }
        if matches!(&self.doubt, Doubt::Until(told) if executed.contains(told)) {
            self.doubt = Doubt::None;
        }
        self.before = uuid.map(|uuid| Before { uuid, executed: executed.clone() });
    }

    /// An OK said that these were committed.
    pub fn tell(&mut self, committed: &GtidSet) {
        if let Doubt::Open = self.doubt {
            self.doubt = Doubt::Until(committed.clone());
        }
        self.told.merge(committed);
        if self.told.iter().count() > INTERVALS_MAX {
            // The server's set is not told for long: of the old ones only the last is kept.
            self.told = committed.clone();
            self.doubt = Doubt::Until(committed.clone());
        }
    }

    /// A command has ended that may have committed something, and would not have told.
    pub fn doubt(&mut self) {
        self.doubt = Doubt::Open;
    }

    pub fn known(&self) -> Option<Known> {
        let Before { uuid, executed } = self.before.as_ref()?;
        let mut others = (**executed).clone();
        others.merge(&self.told);
        Some(Known { uuid: *uuid, others, is_complete: matches!(self.doubt, Doubt::None) })
    }
}

/// Torn intervals that are kept: a few milliseconds' worth, while the server's set is told as it should be.
const INTERVALS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: [u8; 16] = [0; 16];

    fn set(numbers: &str) -> Arc<GtidSet> {
        Arc::new(GtidSet::parse(format!("00000000-0000-0000-0000-000000000000:{numbers}").as_bytes()).unwrap())
    }

    fn known(trail: &Trail) -> (String, bool) {
        let known = trail.known().unwrap();
        (known.others.to_string()[37..].to_string(), known.is_complete)
    }

    #[test]
    fn what_was_told_is_not_the_next_command() {
        let mut trail = Trail::default();
        assert_eq!(trail.known(), None);
        trail.send(Some(UUID), &set("1-5"));
        trail.tell(&set("7"));
        trail.send(Some(UUID), &set("1-5"));
        assert_eq!(known(&trail), ("1-5:7".to_string(), true));
        trail.send(Some(UUID), &set("1-8"));
        assert_eq!(known(&trail), ("1-8".to_string(), true));
        trail.send(None, &set("1-9"));
        assert_eq!(trail.known(), None);
    }

    #[test]
    fn doubt_ends_with_what_was_told_after_it() {
        let mut trail = Trail::default();
        trail.tell(&set("6"));
        trail.doubt();
        // It has what was told before, which says nothing of what came after that.
        trail.send(Some(UUID), &set("1-6"));
        assert_eq!(known(&trail), ("1-6".to_string(), false));
        trail.tell(&set("9"));
        trail.send(Some(UUID), &set("1-8"));
        assert_eq!(known(&trail), ("1-9".to_string(), false));
        trail.send(Some(UUID), &set("1-9"));
        assert_eq!(known(&trail), ("1-9".to_string(), true));
    }

    #[test]
    fn a_server_that_is_not_told_of_is_doubted_in_time() {
        let mut trail = Trail::default();
        for number in 1..=200 {
            trail.tell(&set(&(2 * number).to_string()));
        }
        trail.send(Some(UUID), &set("1"));
        assert!(!trail.known().unwrap().is_complete && trail.told.iter().count() <= INTERVALS_MAX);
        trail.send(Some(UUID), &set("1-400"));
        assert_eq!(known(&trail), ("1-400".to_string(), true));
    }
}
