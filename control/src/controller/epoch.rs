//! The epoch: the number of a record, and the guard that never goes back.
//!
//! Invariant: what a [`Guard`] has admitted only grows. An older epoch is refused, and so is a different record of the same
//! epoch: two of them mean that somebody wrote without compare-and-swap, and neither can be believed.

use super::record::Record;
use std::fmt;
use std::sync::Arc;

/// Of a record. Each change has the next one; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    pub const NONE: Epoch = Epoch(0);

    pub fn new(number: u64) -> Epoch {
        Epoch(number)
    }

    pub fn number(self) -> u64 {
        self.0
    }

    /// None: there is none after the last, which nobody lives to see.
    pub fn next(self) -> Option<Epoch> {
        self.0.checked_add(1).map(Epoch)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The newest record that its owner has seen.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    seen: Option<Arc<Record>>,
}

/// What became of a record that was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Newer than all before.
    News(Arc<Record>),
    /// The one that is known.
    Known,
    Refused(Refused),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    Older {
        seen: Epoch,
        offered: Epoch,
    },
    /// Another record of the same epoch.
    Fork {
        epoch: Epoch,
    },
    /// Of another cluster.
    Stranger {
        ours: String,
        offered: String,
    },
}

impl Guard {
    pub fn epoch(&self) -> Epoch {
        self.seen.as_ref().map_or(Epoch::NONE, |record| record.epoch)
    }

    pub fn record(&self) -> Option<&Arc<Record>> {
        self.seen.as_ref()
    }

    pub fn admit(&mut self, offered: Record) -> Admission {
        if let Some(seen) = &self.seen {
            if seen.cluster != offered.cluster {
                let (ours, offered) = (seen.cluster.clone(), offered.cluster);
                return Admission::Refused(Refused::Stranger { ours, offered });
            }
            if offered.epoch < seen.epoch {
                return Admission::Refused(Refused::Older { seen: seen.epoch, offered: offered.epoch });
            }
            if offered.epoch == seen.epoch {
                return match **seen == offered {
                    true => Admission::Known,
                    false => Admission::Refused(Refused::Fork { epoch: seen.epoch }),
                };
            }
        }
        let record = Arc::new(offered);
        self.seen = Some(record.clone());
        Admission::News(record)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Older { seen, offered } => {
                write!(f, "epoch {offered} is older than {seen}, which was seen before: it comes from a stale copy")
            }
            Refused::Fork { epoch } => {
                write!(f, "there are two records of epoch {epoch}: somebody wrote past the controllers")
            }
            Refused::Stranger { ours, offered } => {
                write!(f, "the record is of the cluster '{offered}', this is '{ours}'")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u64, reason: &str) -> Record {
        Record { epoch: Epoch::new(epoch), reason: reason.to_string(), ..Record::forming("c", 5_000) }
    }

    #[test]
    fn a_guard_only_grows() {
        let mut guard = Guard::default();
        assert_eq!(guard.epoch(), Epoch::NONE);
        assert!(matches!(guard.admit(record(3, "a")), Admission::News(_)));
        assert_eq!(guard.admit(record(3, "a")), Admission::Known);
        assert_eq!(guard.admit(record(3, "b")), Admission::Refused(Refused::Fork { epoch: Epoch::new(3) }));
        let older = Refused::Older { seen: Epoch::new(3), offered: Epoch::new(2) };
        assert_eq!(guard.admit(record(2, "a")), Admission::Refused(older));
        assert!(matches!(guard.admit(record(9, "c")), Admission::News(_)));
        let stranger = Record { cluster: "other".to_string(), ..record(10, "d") };
        assert!(matches!(guard.admit(stranger), Admission::Refused(Refused::Stranger { .. })));
        assert_eq!((guard.epoch(), guard.record().unwrap().reason.as_str()), (Epoch::new(9), "c"));
    }

    #[test]
    fn nothing_follows_the_last_epoch() {
        assert_eq!(Epoch::NONE.next(), Some(Epoch::new(1)));
        assert_eq!(Epoch::new(u64::MAX).next(), None);
    }
}
