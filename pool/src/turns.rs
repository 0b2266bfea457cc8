//! Turns: in which order the accounts that wait at one backend are served, so that a thousand waiters of one do not stand before the
//! only one of another.
//!
//! ```text
//!   account   next at        served: the account whose turn is first; its next turn is STRIDE / weight later
//!     7         300          joined after a pause: not before what is being served now
//!     9         200  ◄─ now
//! ```
//! Stride scheduling, which shares like a deficit round robin where each request costs the same, and needs no rounds: with equal weights accounts
//! take turns one by one. What waits is counted, not how long it will use its connection: nobody knows that before.
//!
//! Invariant: an account is here while it waits, and until a turn that it has used up is over: who comes with one request at a time
//! gets no more than its share either. The order of one account's own requests is that of their arrival.

use rustc_hash::FxHashMap;

#[derive(Debug, Default)]
pub(crate) struct Turns {
    accounts: FxHashMap<u32, Account>,
    now: u64,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    next: u64,
    /// The arrival of the first that waits without a break: who came first goes first where turns are equal.
    since: u64,
    stride: u64,
    waiting: u32,
}

/// Where an account stands. Smaller is served earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    next: u64,
    since: u64,
    pub account: u32,
}

impl Turns {
    /// One more waits: the account's place, which is what it was if others of it wait.
    pub fn join(&mut self, account: u32, weight: u32, arrival: u64) -> Place {
        let now = self.now;
        let stride = STRIDE / u64::from(weight.max(1));
        let entry = self.accounts.entry(account).or_insert(Account { next: now, since: arrival, stride, waiting: 0 });
        if entry.waiting == 0 {
            (entry.next, entry.since) = (entry.next.max(now), arrival);
        }
        entry.waiting += 1;
        entry.stride = stride;
        entry.place(account)
    }

    /// One waits no longer, served or not. The account's place before, and after if it still waits.
    pub fn leave(&mut self, account: u32, is_served: bool) -> (Place, Option<Place>) {
        let entry = self.accounts.get_mut(&account).expect("who leaves has joined");
        let before = entry.place(account);
        entry.waiting -= 1;
        if is_served {
            self.now = self.now.max(entry.next);
            entry.next = entry.next.max(self.now) + entry.stride;
        }
        let after = (entry.waiting > 0).then(|| entry.place(account));
        let now = self.now;
        if after.is_none() && self.accounts.len() > KEPT {
            self.accounts.retain(|_, account| account.waiting > 0 || account.next > now);
        }
        (before, after)
    }

    /// The place of an account that waits.
    pub fn place(&self, account: u32) -> Option<Place> {
        self.accounts.get(&account).filter(|entry| entry.waiting > 0).map(|entry| entry.place(account))
    }

    pub fn waiting(&self, account: u32) -> u32 {
        self.accounts.get(&account).map_or(0, |entry| entry.waiting)
    }
}

impl Account {
    fn place(&self, account: u32) -> Place {
        Place { next: self.next, since: self.since, account }
    }
}

/// Between two turns of an account with weight 1.
const STRIDE: u64 = 1 << 20;

/// Accounts beyond which those whose turn is over are forgotten.
const KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves whoever is first, so often, and says whom.
    fn serve(turns: &mut Turns, accounts: &[u32], times: usize) -> Vec<u32> {
        let one = |turns: &mut Turns| {
            let first = accounts.iter().filter_map(|account| turns.place(*account)).min().expect("somebody waits");
            turns.leave(first.account, true);
            first.account
        };
        (0..times).map(|_| one(turns)).collect()
    }

    #[test]
    fn accounts_take_turns_by_weight() {
        let mut turns = Turns::default();
        for arrival in 0..100 {
            turns.join(1, 100, arrival);
        }
        for arrival in 100..103 {
            turns.join(2, 100, arrival);
        }
        assert_eq!(serve(&mut turns, &[1, 2], 8), [1, 2, 1, 2, 1, 2, 1, 1]);
        for arrival in 200..300 {
            turns.join(3, 300, arrival);
        }
        let served = serve(&mut turns, &[1, 2, 3], 80);
        let of_heavy = served.iter().filter(|account| **account == 3).count();
        assert!((59..=61).contains(&of_heavy), "three of four: {of_heavy} of 80");
    }

    #[test]
    fn a_pause_saves_no_turns_and_loses_none() {
        let mut turns = Turns::default();
        for arrival in 0..50 {
            turns.join(1, 100, arrival);
        }
        serve(&mut turns, &[1], 40);
        // It was not there: its turn comes now, and not forty times.
        for arrival in 50..60 {
            turns.join(2, 100, arrival);
        }
        let served = serve(&mut turns, &[1, 2], 10);
        assert_eq!(served.iter().filter(|account| **account == 2).count(), 5, "{served:?}");
        // One request at a time, again and again, is a share like another's.
        let mut turns = Turns::default();
        for arrival in 0..100 {
            turns.join(1, 100, arrival);
        }
        let mut of_two = 0;
        for arrival in 100..150 {
            if turns.waiting(2) == 0 {
                turns.join(2, 50, arrival);
            }
            of_two += serve(&mut turns, &[1, 2], 1).iter().filter(|account| **account == 2).count();
        }
        assert!((15..=18).contains(&of_two), "a third of 50: {of_two}");
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let mut turns = Turns::default();
        for account in 0..10_000 {
            turns.join(account, 100, u64::from(account));
            turns.leave(account, false);
            assert!(turns.accounts.len() <= KEPT + 1);
        }
    }
}
