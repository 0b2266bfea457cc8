//! What must be true of a pool between any two calls; the tests ask after every step.

use super::Pool;
use crate::line::Lane;
use crate::shelf::{CLASS, Description, LEVELS};
use crate::slot::{Slot, SlotState};

impl Pool {
    /// Panics when a count, a list or a shelf disagrees with the slots. Costs a walk over everything.
    pub fn check(&self) {
        for backend in 0..self.backends.len() as u16 {
            self.check_counts(backend);
            self.check_idle(backend);
            self.check_lanes(backend);
        }
        let waiting: usize = self.backends.iter().map(|at| at.waiting as usize).sum();
        assert_eq!(self.waiters.len(), waiting, "everybody who waits is in a line");
        let live = self.slots.iter().count();
        let (shelves, holders) = self.shelves.census();
        assert_eq!(holders as usize, live * LEVELS, "each slot holds its shelves");
        assert!(shelves <= live * LEVELS, "a shelf without a holder is gone");
        self.check_ages();
    }

    fn of(&self, backend: u16) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |slot| slot.what.backend == backend)
    }

    fn check_counts(&self, backend: u16) {
        let at = &self.backends[usize::from(backend)];
        let count = |state| self.of(backend).filter(|slot| slot.state == Some(state)).count() as u32;
        assert_eq!(at.opening, count(SlotState::Opening));
        assert_eq!(at.idle, count(SlotState::Idle));
        assert_eq!(at.leased, count(SlotState::Leased));
        assert_eq!(at.closing, count(SlotState::Closing));
        assert_eq!(at.open() as usize, self.of(backend).count());
    }

    fn check_idle(&self, backend: u16) {
        let at = &self.backends[usize::from(backend)];
        assert_eq!(at.fresh.len() + at.settled.len(), at.idle, "each idle slot is on one of the two lists");
        let lists = at.fresh.iter(&self.slots.table, LEVELS).chain(at.settled.iter(&self.slots.table, LEVELS));
        let idle: Vec<&Slot> = lists.map(|index| &self.slots[index]).collect();
        assert_eq!(idle.len() as u32, at.idle);
        assert!(idle.is_sorted_by(|a, b| a.idle_since >= b.idle_since), "in order of use, settled ones last");
        for slot in idle {
            assert_eq!((slot.state, slot.what.backend), (Some(SlotState::Idle), backend));
            for (level, shelf) in slot.shelves.iter().enumerate() {
                let mut on = self.shelves.list(*shelf).iter(&self.slots.table, level);
                assert!(on.any(|index| index == slot.id.index), "an idle slot is on all of its shelves");
            }
        }
        for lane in &at.lanes {
            let what = Description { backend, class: lane.class, account: 0, schema: 0, fingerprint: 0 };
            let idle = self.of(backend).filter(|s| s.what.class == lane.class && s.state == Some(SlotState::Idle));
            assert_eq!(self.shelves.find(&what, CLASS).map_or(0, |list| list.len()) as usize, idle.count());
        }
    }

    fn check_lanes(&self, backend: u16) {
        let at = &self.backends[usize::from(backend)];
        assert_eq!(at.waiting, at.lanes.iter().map(|lane| lane.waiting).sum::<u32>());
        assert_eq!(at.live(), at.lanes.iter().map(|lane| lane.live).sum::<u32>());
        assert_eq!(at.opening, at.lanes.iter().map(|lane| lane.opening).sum::<u32>());
        for lane in &at.lanes {
            let Lane { class, waiting, live, opening, lists, order } = lane;
            assert!(*live > 0 || *waiting > 0, "an unused lane is gone");
            assert!(opening <= live);
            assert_eq!(lane.class, at.lane(*class).expect("the lane at hand").class);
            assert_eq!(self.waiters.in_lane(lane).count() as u32, *waiting);
            assert_eq!(order.len(), lists.len(), "each account that waits has a turn");
            for (account, list) in lists {
                let place = at.turns.place(*account).expect("an account that waits");
                assert!(order.contains(&place), "its turn is the same in all lanes");
                let arrivals: Vec<u64> = self.waiters.arrivals(list).collect();
                assert!(!arrivals.is_empty() && arrivals.is_sorted(), "first come, first served");
            }
            let all: Vec<Option<u32>> = (0..*waiting).map(|at| self.waiters.nth(lane, at)).collect();
            assert!(all.iter().all(Option::is_some) && self.waiters.nth(lane, *waiting).is_none());
        }
        for lane in &at.lanes {
            for account in lane.lists.keys() {
                let waiting: u32 = at.lanes.iter().filter_map(|lane| lane.lists.get(account)).map(|l| l.len()).sum();
                assert_eq!(at.turns.waiting(*account), waiting, "everybody who waits has a turn to come");
            }
        }
    }

    fn check_ages(&self) {
        for slot in self.slots.iter() {
            let timed = self.ages.contains(&(slot.ends_at, slot.id.index));
            match slot.state {
                Some(SlotState::Idle) => assert!(timed || slot.ends_at == u64::MAX),
                Some(SlotState::Leased) => {
                    assert!(timed || slot.overdue || slot.ends_at == u64::MAX)
                }
                _ => assert!(!timed, "neither before it is open nor when it is being closed"),
            }
        }
        assert!(self.ages.first().is_none_or(|(ends_at, _)| *ends_at >= self.alarm));
    }
}
