//! What one account uses of the gate right now, on all cores: clients, statements that run, and the line of those that wait to.
//!
//! ```text
//!   begin ── fewer than running_max, nobody waits ──► runs ── end ──► next: the first in line runs in its place
//!     └────── join ──► the line, first come, first served, whichever core ──────────────┘
//! ```
//! Shared counters rather than shares by mail: a share would leave statements waiting on one core while another may run more, and what
//! it would save is two atomic instructions a statement. So the bound of error is 0: no more than `running_max` are begun. Who may not
//! wait, since it holds what others wait for, is counted beyond it (`force`).
//!
//! Invariant: while somebody is in line, at least `running_max` run, or whoever ended the last one is about to call `next`.

use crate::mail::CoreId;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub struct Usage {
    connections: AtomicU32,
    /// How many statements may run; 0: any number.
    running_max: AtomicU32,
    running: AtomicU32,
    /// As many as are in line: whoever ends a statement looks here without the lock.
    waiting: AtomicU32,
    line: Mutex<VecDeque<InLine>>,
}

/// A session that waits for its turn, by the key that its core knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InLine {
    pub core: CoreId,
    pub index: u32,
    pub generation: u32,
    /// Of this wait: a later one of the same session has another.
    pub number: u64,
}

/// How an attempt to stand in line went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    Runs,
    Waits,
    Full,
}

impl Usage {
    /// One client more, if fewer than `max` are here (0: any number).
    pub fn connect(&self, max: u32) -> bool {
        self.connections.fetch_update(SeqCst, SeqCst, |n| (max == 0 || n < max).then_some(n + 1)).is_ok()
    }

    pub fn disconnect(&self) {
        self.connections.fetch_sub(1, SeqCst);
    }

    pub fn connections(&self) -> u32 {
        self.connections.load(SeqCst)
    }

    pub fn running(&self) -> u32 {
        self.running.load(SeqCst)
    }

    pub fn waiting(&self) -> u32 {
        self.waiting.load(SeqCst)
    }

    /// Where it was lower, ask `next`.
    pub fn set_running_max(&self, max: u32) {
        self.running_max.store(max, SeqCst);
    }

    /// One statement more, if it may run and nobody waits.
    pub fn begin(&self) -> bool {
        self.waiting() == 0 && self.run_one()
    }

    /// One more, however many run.
    pub fn force(&self) {
        self.running.fetch_add(1, SeqCst);
    }

    /// Where `begin` said no. `Waits` ends with `next`, wherever that is called, or with `leave`.
    pub fn join(&self, who: InLine, waiting_max: u32) -> Joined {
        let mut line = self.line();
        if line.is_empty() && self.run_one() {
            return Joined::Runs;
        }
        if line.len() >= waiting_max as usize {
            return Joined::Full;
        }
        line.push_back(who);
        self.waiting.store(line.len() as u32, SeqCst);
        // Who ended the last one that ran may have looked before there was a line.
        if line.len() == 1 && self.run_one() {
            line.clear();
            self.waiting.store(0, SeqCst);
            return Joined::Runs;
        }
        Joined::Waits
    }

    /// It waits no longer. False: it is no more in line, and its turn is on the way.
    pub fn leave(&self, who: InLine) -> bool {
        let mut line = self.line();
        let at = line.iter().position(|other| *other == who);
        at.is_some_and(|at| {
            line.remove(at);
            self.waiting.store(line.len() as u32, SeqCst);
            true
        })
    }

    /// A statement has ended. Ask `next` until it has nobody.
    pub fn end(&self) {
        let before = self.running.fetch_sub(1, SeqCst);
        assert!(before > 0, "what ends has begun");
    }

    /// The first in line runs from here on: it is to be told.
    pub fn next(&self) -> Option<InLine> {
        if self.waiting() == 0 {
            return None;
        }
        let mut line = self.line();
        if line.is_empty() || !self.run_one() {
            return None;
        }
        let first = line.pop_front();
        self.waiting.store(line.len() as u32, SeqCst);
        first
    }

    fn run_one(&self) -> bool {
        let max = self.running_max.load(SeqCst);
        self.running.fetch_update(SeqCst, SeqCst, |n| (max == 0 || n < max).then_some(n + 1)).is_ok()
    }

    fn line(&self) -> MutexGuard<'_, VecDeque<InLine>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc;

    fn who(index: u32) -> InLine {
        InLine { core: CoreId(0), index, generation: 0, number: 0 }
    }

    fn usage(running_max: u32) -> Usage {
        let usage = Usage::default();
        usage.set_running_max(running_max);
        usage
    }

    #[test]
    fn the_line_is_in_order_and_nobody_overtakes_it() {
        let usage = usage(2);
        assert!(usage.begin() && usage.begin() && !usage.begin());
        assert_eq!(usage.join(who(1), 2), Joined::Waits);
        assert_eq!(usage.join(who(2), 2), Joined::Waits);
        assert_eq!(usage.join(who(3), 2), Joined::Full);
        assert_eq!(usage.next(), None);
        usage.end();
        assert!(!usage.begin(), "the first in line is before it");
        assert_eq!(usage.next(), Some(who(1)));
        assert!(usage.leave(who(2)) && !usage.leave(who(1)));
        assert_eq!((usage.running(), usage.waiting()), (2, 0));
        // Beyond the limit: what ends then is nobody's turn.
        usage.force();
        usage.join(who(4), 2);
        usage.end();
        assert_eq!(usage.next(), None);
        usage.end();
        assert_eq!(usage.next(), Some(who(4)));
    }

    #[test]
    fn clients_are_counted() {
        let usage = Usage::default();
        assert!(usage.connect(2) && usage.connect(2) && !usage.connect(2) && usage.connect(0));
        usage.disconnect();
        usage.disconnect();
        assert!(usage.connect(2));
    }

    /// Cores at once: no more run than may, and nobody stays in line.
    #[test]
    fn threads_share_turns_and_none_is_lost() {
        const MAX: u32 = 3;
        const ROUNDS: u32 = 20_000;
        let usage = usage(MAX);
        let most = AtomicU64::new(0);
        let inside = AtomicU64::new(0);
        let (mailboxes, inboxes): (Vec<_>, Vec<_>) = (0..8).map(|_| mpsc::channel::<InLine>()).unzip();
        std::thread::scope(|scope| {
            for (thread, inbox) in inboxes.into_iter().enumerate() {
                let mailboxes = mailboxes.clone();
                let (usage, most, inside) = (&usage, &most, &inside);
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        if !usage.begin() && usage.join(who(thread as u32), 100) == Joined::Waits {
                            inbox.recv().expect("a turn is on the way");
                        }
                        most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                        inside.fetch_sub(1, SeqCst);
                        usage.end();
                        while let Some(next) = usage.next() {
                            mailboxes[next.index as usize].send(next).expect("it waits");
                        }
                    }
                });
            }
        });
        assert!((1..=u64::from(MAX)).contains(&most.into_inner()));
        assert_eq!((usage.running(), usage.waiting()), (0, 0));
    }
}
