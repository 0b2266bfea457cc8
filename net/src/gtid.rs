//! A GTID set: which transactions of which sources, as intervals of their numbers.
//!
//! Invariant: the sources are sorted and each has at least one interval; the intervals of a source are sorted, don't
//! overlap and don't touch; every number lies in `1..=GNO_MAX`. So two equal sets have equal bytes, and one set is
//! covered by another when each of its intervals lies in one interval of the other.
//!
//! ```text
//! sources  [ (uuid a, no tag) ] -> first (1, 90)  more []              the usual case: nothing on the heap
//!          [ (uuid a, "tag")  ] -> first (1, 5)   more [(7, 7)]        but this list
//!          [ (uuid b, no tag) ] -> first (4, 4)   more []
//! ```
//! Cost: [`GtidSet::contains`] compares one uuid and two pairs of integers in the usual case, and allocates never.
//! MariaDB's `domain-server-sequence` is a source of its own kind in the same set (`gtid/maria.rs`).
//! Rule: MySQL "GTID Format and Storage", "GTID Sets".

use std::cmp::Ordering;
use std::fmt;

use crate::error::Malformed;
use crate::gtid::intervals::Intervals;

mod intervals;
mod maria;
mod parse;

/// The largest number of a transaction: the server's own limit, 2^63 - 2.
pub const GNO_MAX: u64 = i64::MAX as u64 - 1;

/// The origin of transactions: a server's uuid, and the tag that 8.3 and later allow behind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid {
    pub uuid: [u8; 16],
    /// Lower case, 1 to 32 letters, digits and underscores.
    pub tag: Option<Box<str>>,
}

impl Sid {
    pub fn of(uuid: [u8; 16]) -> Self {
        Self { uuid, tag: None }
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct GtidSet {
    sources: Vec<(Sid, Intervals)>,
}

impl GtidSet {
    pub const fn new() -> Self {
        Self { sources: Vec::new() }
    }

    /// Reads the text that MySQL writes: in `@@gtid_executed`, in a tracker, in a message.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        parse::parse(text)
    }

    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Adds the transactions `first..=last` of a source. Numbers outside `1..=GNO_MAX` don't exist and are left out.
    pub fn add(&mut self, sid: Sid, first: u64, last: u64) {
        let (first, last) = (first.max(1), last.min(GNO_MAX));
        if first > last {
            return;
        }
        match self.sources.binary_search_by(|(known, _)| known.cmp(&sid)) {
            Ok(at) => {
                if let Some((_, intervals)) = self.sources.get_mut(at) {
                    intervals.add((first, last));
                }
            }
            Err(at) => self.sources.insert(at, (sid, Intervals::of((first, last)))),
        }
    }

    /// Adds everything that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        for (sid, theirs) in &other.sources {
            match self.sources.binary_search_by(|(known, _)| known.cmp(sid)) {
                Ok(at) => {
                    if let Some((_, ours)) = self.sources.get_mut(at) {
                        ours.merge(theirs);
                    }
                }
                Err(at) => self.sources.insert(at, (sid.clone(), theirs.clone())),
            }
        }
    }

    /// Takes away everything that `other` holds.
    pub fn subtract(&mut self, other: &Self) {
        self.sources.retain_mut(|(sid, ours)| match other.intervals(sid) {
            Some(theirs) => match ours.minus(theirs) {
                Some(left) => {
                    *ours = left;
                    true
                }
                None => false,
            },
            None => true,
        });
    }

    /// What servers other than this one have written, under whatever tag.
    pub fn without_server(mut self, uuid: [u8; 16]) -> Self {
        self.sources.retain(|(sid, _)| !sid.is_of(uuid));
        self
    }

    /// True when every transaction of `other` is in this set.
    pub fn contains(&self, other: &Self) -> bool {
        let mut ours = self.sources.iter();
        other.sources.iter().all(|(sid, theirs)| {
            // Both lists are sorted, so the walk over ours never turns back.
            loop {
                let Some((known, intervals)) = ours.next() else {
                    return false;
                };
                match known.cmp(sid) {
                    Ordering::Less => {}
                    Ordering::Equal => return intervals.contains(theirs),
                    Ordering::Greater => return false,
                }
            }
        })
    }

    /// True when one transaction is in this set.
    pub fn holds(&self, sid: &Sid, number: u64) -> bool {
        self.intervals(sid).is_some_and(|intervals| intervals.contains(&Intervals::of((number, number))))
    }

    /// How many transactions the set holds: what "most received" compares. Stops at `u64::MAX`.
    pub fn count(&self) -> u64 {
        let lengths = self.iter().map(|(_, first, last)| last.saturating_sub(first).saturating_add(1));
        lengths.fold(0, u64::saturating_add)
    }

    /// The intervals in order: source, first number, last number.
    pub fn iter(&self) -> impl Iterator<Item = (&Sid, u64, u64)> {
        self.sources.iter().flat_map(|(sid, intervals)| intervals.iter().map(move |(first, last)| (sid, first, last)))
    }

    fn intervals(&self, sid: &Sid) -> Option<&Intervals> {
        let at = self.sources.binary_search_by(|(known, _)| known.cmp(sid)).ok()?;
        self.sources.get(at).map(|(_, intervals)| intervals)
    }
}

/// As the server writes it, without its line breaks: `uuid:1-5:7:tag:1-3,uuid:1`, or `0-1-57,0-2-60`.
impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before: Option<[u8; 16]> = None;
        for (sid, intervals) in &self.sources {
            if let Some((domain, server)) = sid.domain() {
                f.write_str(if before.is_some() { "," } else { "" })?;
                let last = intervals.iter().last().map_or(0, |(_, last)| last);
                write!(f, "{domain}-{server}-{last}")?;
                before = Some(sid.uuid);
                continue;
            }
            if before != Some(sid.uuid) {
                f.write_str(if before.is_some() { "," } else { "" })?;
                write_uuid(f, &sid.uuid)?;
                before = Some(sid.uuid);
            }
            if let Some(tag) = &sid.tag {
                write!(f, ":{tag}")?;
            }
            for (first, last) in intervals.iter() {
                write!(f, ":{first}")?;
                if last > first {
                    write!(f, "-{last}")?;
                }
            }
        }
        Ok(())
    }
}

fn write_uuid(f: &mut fmt::Formatter<'_>, uuid: &[u8; 16]) -> fmt::Result {
    for (at, byte) in uuid.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            f.write_str("-")?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
