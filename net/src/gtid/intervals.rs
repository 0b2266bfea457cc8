//! The intervals of one source.
//!
//! Invariant: never empty; sorted; no two overlap or touch. The first one lies inline, because most sources have one.

/// First and last number, both included.
pub type Interval = (u64, u64);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Intervals {
    first: Interval,
    more: Vec<Interval>,
}

impl Intervals {
    pub const fn of(only: Interval) -> Self {
        Self { first: only, more: Vec::new() }
    }

    /// From intervals in any order, overlaps allowed. `None` when there are none.
    pub fn from_unsorted(mut all: Vec<Interval>) -> Option<Self> {
        all.sort_unstable();
        Self::from_sorted(all.into_iter())
    }

    /// From intervals sorted by their first number; overlaps allowed. `None` when there are none.
    fn from_sorted(mut all: impl Iterator<Item = Interval>) -> Option<Self> {
        let mut made = Self::of(all.next()?);
        for interval in all {
            made.append(interval);
        }
        Some(made)
    }

    pub fn iter(&self) -> impl Iterator<Item = Interval> {
        std::iter::once(self.first).chain(self.more.iter().copied())
    }

    /// The next transaction of a source is the usual one to come, so the end is tried first.
    pub fn add(&mut self, new: Interval) {
        if new.0 >= self.last_mut().0 {
            self.append(new);
        } else {
            self.merge(&Self::of(new));
        }
    }

    /// `new` starts no earlier than the last interval.
    fn append(&mut self, new: Interval) {
        let last = self.last_mut();
        if new.0 <= last.1.saturating_add(1) {
            last.1 = last.1.max(new.1);
        } else {
            self.more.push(new);
        }
    }

    fn last_mut(&mut self) -> &mut Interval {
        self.more.last_mut().unwrap_or(&mut self.first)
    }

    /// One walk over both lists, unless `other` is one interval: what a server tells after a write should not cost a walk over the
    /// holes of a source.
    pub fn merge(&mut self, other: &Self) {
        if self.contains(other) {
            return;
        }
        if other.more.is_empty() && self.touches_only_later(other.first) {
            return self.put(other.first);
        }
        let merged = {
            let mut ours = self.iter().peekable();
            let mut theirs = other.iter().peekable();
            Self::from_sorted(std::iter::from_fn(|| match (ours.peek(), theirs.peek()) {
                (Some(our), Some(their)) if their < our => theirs.next(),
                (Some(_), _) => ours.next(),
                (None, _) => theirs.next(),
            }))
        };
        if let Some(merged) = merged {
            *self = merged;
        }
    }

    /// `new` neither lies before the first interval nor touches it.
    fn touches_only_later(&self, new: Interval) -> bool {
        self.first.1.saturating_add(1) < new.0
    }

    /// Puts in an interval that touches only later ones: joins those that it touches.
    fn put(&mut self, new: Interval) {
        let from = self.more.partition_point(|one| one.1.saturating_add(1) < new.0);
        let to = self.more.partition_point(|one| one.0 <= new.1.saturating_add(1));
        let touched = self.more.get(from..to).unwrap_or_default();
        let first = touched.first().map_or(new.0, |one| one.0.min(new.0));
        let last = touched.last().map_or(new.1, |one| one.1.max(new.1));
        self.more.splice(from..to, [(first, last)]);
    }

    /// What is left without `other`; `None` when nothing is.
    pub fn minus(&self, other: &Self) -> Option<Self> {
        let mut left = Vec::new();
        let mut holes = other.iter().peekable();
        for (first, last) in self.iter() {
            let mut from = first;
            // A hole may reach over several of our intervals, so it is dropped only once it ends before one.
            while let Some(&(hole_first, hole_last)) = holes.peek() {
                if hole_last < from {
                    holes.next();
                    continue;
                }
                if hole_first > last {
                    break;
                }
                if hole_first > from {
                    left.push((from, hole_first.saturating_sub(1)));
                }
                from = hole_last.saturating_add(1);
                if from > last {
                    break;
                }
            }
            if from <= last {
                left.push((from, last));
            }
        }
        Self::from_sorted(left.into_iter())
    }

    pub fn contains(&self, other: &Self) -> bool {
        if other.more.is_empty() {
            return self.holds(other.first);
        }
        let mut ours = self.iter();
        let mut our = ours.next();
        other.iter().all(|their| {
            while let Some(candidate) = our {
                if candidate.1 >= their.1 {
                    return within(their, candidate);
                }
                our = ours.next();
            }
            false
        })
    }

    fn holds(&self, one: Interval) -> bool {
        if one.0 <= self.first.1 {
            return within(one, self.first);
        }
        let at = self.more.partition_point(|ours| ours.1 < one.1);
        self.more.get(at).is_some_and(|ours| within(one, *ours))
    }
}

fn within(inner: Interval, outer: Interval) -> bool {
    outer.0 <= inner.0 && inner.1 <= outer.1
}
