//! Copies of statements for mirrors (`action='MIRROR'`): what is told of one, and what is counted of all of a filter's.
//!
//! ```text
//!   pass_filters ─► may it be copied? ─► Copies::enter ─► Copied (mail to control) ─► run there, its answer thrown away ─► end
//!                      unfit                 full: dropped                                dropped on the way: it ends by itself
//! ```
//! Invariant: a copy that has entered ends once, wherever it is lost, and at most `max_queue_size` of a filter with
//! [`COPIES_BYTES_MAX`] bytes are under way, in the mail and at the target. Counters are shared by all cores and control.

use crate::filters::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use weir_planner::filter::{Action, Mirror};

/// Of one filter.
#[derive(Debug, Default)]
pub struct Copies {
    /// Its filter mirrors still: what is under way for one that does not is thrown away.
    is_wanted: AtomicBool,
    under_way: AtomicU32,
    bytes: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    unfit: AtomicU64,
    us: AtomicU64,
}

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The target has answered it, after so many microseconds.
    Answered { us: u64 },
    /// The target refused it, was too late, or is not there.
    Failed,
    /// It was never sent.
    Dropped,
}

impl Copies {
    pub fn set_wanted(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted, Relaxed);
    }

    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Relaxed)
    }

    /// It matched, and depends on more than its text.
    pub fn note_unfit(&self) {
        self.unfit.fetch_add(1, Relaxed);
    }

    pub fn under_way(&self) -> u32 {
        self.under_way.load(Relaxed)
    }

    /// Name, value and explanation.
    pub fn each(&self) -> [(&'static str, u64, &'static str); 5] {
        let value = |count: &AtomicU64| count.load(Relaxed);
        [
            ("mirrored", value(&self.answered), "Copies that a mirror has answered (MIRROR)."),
            ("mirror_failed", value(&self.failed), "Copies that a mirror refused, took too long for, or was away for."),
            ("mirror_dropped", value(&self.dropped), "Copies that found no room on their way to a mirror."),
            (
                "mirror_unfit",
                value(&self.unfit),
                "Statements that were not copied: no plain read, or in a transaction.",
            ),
            ("mirror_ms", value(&self.us) / 1_000, "Time that mirrors took for the copies that they have answered."),
        ]
    }

    /// One more, if there is room.
    fn enter(&self, bytes: usize, queue_max: u32) -> bool {
        let bytes = bytes as u64;
        let has_room = self.bytes.load(Relaxed).saturating_add(bytes) <= COPIES_BYTES_MAX
            && self.under_way.fetch_update(Relaxed, Relaxed, |n| (n < queue_max).then_some(n + 1)).is_ok();
        match has_room {
            true => drop(self.bytes.fetch_add(bytes, Relaxed)),
            false => drop(self.dropped.fetch_add(1, Relaxed)),
        }
        has_room
    }

    fn leave(&self, bytes: usize, fate: Fate) {
        self.under_way.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(bytes as u64, Relaxed);
        match fate {
            Fate::Answered { us } => {
                self.answered.fetch_add(1, Relaxed);
                self.us.fetch_add(us, Relaxed);
            }
            Fate::Failed => drop(self.failed.fetch_add(1, Relaxed)),
            Fate::Dropped => drop(self.dropped.fetch_add(1, Relaxed)),
        }
    }
}

/// Where a statement means what it means: what its session had chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// Of the login.
    pub charset: u8,
    /// Spaces between a function's name and its parenthesis are passed over.
    pub ignores_space: bool,
    /// Empty: none.
    pub schema: Box<[u8]>,
    /// `SET …` that leads there from a fresh login; empty: nothing does.
    pub variables: Box<[u8]>,
}

/// A statement that is to be run once more, elsewhere.
#[derive(Debug)]
pub struct Copied {
    entry: Arc<Entry>,
    pub home: Home,
    pub text: Box<[u8]>,
    /// Of a prepared one: the payload of its execute, with 0 in the place of its id.
    pub execute: Option<Box<[u8]>>,
    bytes: usize,
    fate: Fate,
}

impl Copied {
    /// None: there is no room for it. `entry` is one that mirrors.
    pub fn new(entry: &Arc<Entry>, home: Home, text: Box<[u8]>, execute: Option<Box<[u8]>>) -> Option<Copied> {
        let Action::Mirror(mirror) = &entry.rule.action else { return None };
        let rest = execute.as_ref().map_or(0, |execute| execute.len()) + home.schema.len() + home.variables.len();
        let bytes = text.len() + rest;
        let has_room = entry.copies.enter(bytes, mirror.queue_max);
        has_room.then(|| Copied { entry: entry.clone(), home, text, execute, bytes, fate: Fate::Dropped })
    }

    pub fn mirror(&self) -> &Mirror {
        match &self.entry.rule.action {
            Action::Mirror(mirror) => mirror,
            _ => unreachable!("only what mirrors makes copies"),
        }
    }

    /// Its filter mirrors still.
    pub fn is_wanted(&self) -> bool {
        self.entry.copies.is_wanted()
    }

    pub fn end(mut self, fate: Fate) {
        self.fate = fate;
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        self.entry.copies.leave(self.bytes, self.fate);
    }
}

/// Bytes of one copy: a longer one is not made.
pub const COPY_BYTES_MAX: usize = 64 << 10;

/// Bytes of all copies of one filter that are under way; cores may pass it by one copy each.
const COPIES_BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::Filters;
    use weir_planner::filter::Filter;

    #[test]
    fn copies_are_bounded_and_each_ends_once() {
        const SQL: &str =
            "CREATE FILTER m () WITH_PATTERN () EXECUTE (action='MIRROR', action_args='target=a; max_queue_size=2')";
        let filters = Filters::following(None, &Filter::read_all(SQL).unwrap()).unwrap();
        let entry = filters.find("m").unwrap();
        let copy = |bytes: usize| Copied::new(entry, Home::default(), vec![b'x'; bytes].into(), None);
        let figures = || entry.copies.each().map(|(_, value, _)| value);
        let (first, second) = (copy(1).unwrap(), copy(1).unwrap());
        assert!(copy(1).is_none() && first.is_wanted() && entry.copies.under_way() == 2);
        first.end(Fate::Answered { us: 3_000 });
        drop(second);
        assert_eq!((figures(), entry.copies.under_way()), ([1, 0, 2, 0, 3], 0));
        let large = copy(COPIES_BYTES_MAX as usize).unwrap();
        assert!(copy(1).is_none());
        large.end(Fate::Failed);
        assert_eq!(figures(), [1, 1, 3, 0, 3]);
        let last = copy(1).unwrap();
        Filters::following(Some(&filters), &[]).unwrap();
        assert!(!last.is_wanted());
    }
}
