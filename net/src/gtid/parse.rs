//! The text of a GTID set, read as the server reads it.
//!
//! ```text
//! set:       [source] ("," [source])*          white space may stand between any two words
//! source:    uuid (":" (tag | interval))*      a tag holds for the intervals behind it, up to the next tag
//! or         domain "-" server "-" number         MariaDB's
//! interval:  number ["-" number]               one that ends before it starts is empty
//! ```
//! Cost: sorted once, so a text of n intervals in the worst order takes n log n steps.
//! Rule: MySQL "GTID Sets". The server's own reading was tried where the page is silent: repeated commas, a uuid
//! without intervals, a tag without intervals, braces around and no dashes in a uuid are all accepted.

use crate::error::Malformed;
use crate::gtid::intervals::{Interval, Intervals};
use crate::gtid::{GNO_MAX, GtidSet, Sid};
use crate::limits::{GTID_INTERVALS_MAX, GTID_TAG_BYTES_MAX};

type Group = (Sid, Vec<Interval>);

pub fn parse(text: &[u8]) -> Result<GtidSet, Malformed> {
    let mut scanner = Scanner { left: text };
    let mut groups: Vec<Group> = Vec::new();
    let mut intervals_left = GTID_INTERVALS_MAX;
    loop {
        match scanner.peek() {
            None => return Ok(from_groups(groups)),
            Some(b',') => scanner.skip(),
            Some(_) => {
                source(&mut scanner, &mut groups, &mut intervals_left)?;
                if !matches!(scanner.peek(), None | Some(b',')) {
                    return Err(Malformed("GTID sources without a comma between them"));
                }
            }
        }
    }
}

fn source(scanner: &mut Scanner, groups: &mut Vec<Group>, intervals_left: &mut usize) -> Result<(), Malformed> {
    let start = scanner.left;
    let uuid = match scanner.uuid() {
        Ok(uuid) => uuid,
        Err(what) => {
            scanner.left = start;
            *intervals_left = intervals_left.checked_sub(1).ok_or(Malformed("GTID set with too many intervals"))?;
            return maria(scanner, groups).ok_or(what);
        }
    };
    let mut group = (Sid::of(uuid), Vec::new());
    while scanner.take_if(b':') {
        *intervals_left = intervals_left.checked_sub(1).ok_or(Malformed("GTID set with too many intervals"))?;
        if scanner.peek().is_some_and(is_tag_start) {
            let next = (Sid { uuid, tag: Some(scanner.tag()?) }, Vec::new());
            groups.push(std::mem::replace(&mut group, next));
        } else if let Some(interval) = scanner.interval()? {
            group.1.push(interval);
        }
    }
    groups.push(group);
    Ok(())
}

/// `domain-server-sequence`, as MariaDB writes it. None: it is none.
fn maria(scanner: &mut Scanner, groups: &mut Vec<Group>) -> Option<()> {
    let (domain, server) = (scanner.number().ok()?, scanner.dash()?.number().ok()?);
    let last = scanner.dash()?.number().ok()?;
    let sid = Sid::of_domain(u32::try_from(domain).ok()?, u32::try_from(server).ok()?);
    let interval = (last > 0).then_some((1, last));
    groups.push((sid, interval.into_iter().collect()));
    Some(())
}

/// A text may name a source more than once, and in any order.
fn from_groups(mut groups: Vec<Group>) -> GtidSet {
    groups.sort_by(|a, b| a.0.cmp(&b.0));
    groups.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1.append(&mut later.1);
        }
        same
    });
    let filled = groups.into_iter().filter_map(|(sid, all)| Some((sid, Intervals::from_unsorted(all)?)));
    GtidSet { sources: filled.collect() }
}

struct Scanner<'a> {
    left: &'a [u8],
}

impl Scanner<'_> {
    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        self.left = self.left.trim_ascii_start();
        self.left.first().copied()
    }

    fn skip(&mut self) {
        self.left = self.left.get(1..).unwrap_or_default();
    }

    fn take_if(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.skip();
        }
        found
    }

    /// 32 hexadecimal digits, with dashes in the five usual groups or without, in braces or not.
    fn uuid(&mut self) -> Result<[u8; 16], Malformed> {
        const BAD: Malformed = Malformed("GTID source that is not a uuid");
        let braced = self.take_if(b'{');
        let dashed = self.left.get(8) == Some(&b'-');
        let mut uuid = [0; 16];
        for (at, byte) in uuid.iter_mut().enumerate() {
            if dashed && matches!(at, 4 | 6 | 8 | 10) {
                self.left = self.left.strip_prefix(b"-").ok_or(BAD)?;
            }
            let (&[high, low], left) = self.left.split_first_chunk().ok_or(BAD)?;
            *byte = (hex(high).ok_or(BAD)? << 4) | hex(low).ok_or(BAD)?;
            self.left = left;
        }
        if braced {
            self.left = self.left.strip_prefix(b"}").ok_or(BAD)?;
        }
        Ok(uuid)
    }

    fn dash(&mut self) -> Option<&mut Self> {
        self.left = self.left.strip_prefix(b"-")?;
        Some(self)
    }

    fn tag(&mut self) -> Result<Box<str>, Malformed> {
        let len = self.left.iter().take_while(|&&byte| is_tag_start(byte) || byte.is_ascii_digit()).count();
        if len > GTID_TAG_BYTES_MAX {
            return Err(Malformed("GTID tag that is too long"));
        }
        let (tag, left) = self.left.split_at_checked(len).unwrap_or_default();
        self.left = left;
        Ok(tag.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect::<String>().into())
    }

    fn interval(&mut self) -> Result<Option<Interval>, Malformed> {
        let first = self.number()?;
        let last = if self.take_if(b'-') { self.number()? } else { first };
        if first == 0 {
            return Err(Malformed("GTID number 0"));
        }
        Ok((first <= last).then_some((first, last)))
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        self.peek();
        let len = self.left.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, left) = self.left.split_at_checked(len).unwrap_or_default();
        let text = std::str::from_utf8(digits).unwrap_or_default();
        let number = text.parse::<u64>().map_err(|_| Malformed("GTID interval without its number"))?;
        if number > GNO_MAX {
            return Err(Malformed("GTID number out of range"));
        }
        self.left = left;
        Ok(number)
    }
}

fn is_tag_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
