//! Leases: who is there, and until when one counts on it.
//!
//! A lease is a promise to its holder: until it ends, nobody else is given what the holder has. So its holder counts from
//! before it asked, and this book from after it answered, with some grace: the book never thinks it over too early.
//!
//! Invariant: leases live in the leader's memory and are not stored. A new leader knows none of those that the leader
//! before has given; so for one whole lease from the start of its leadership it takes every one as held.
//! Time is an argument.

use super::limits;
use super::outlook::Outlook;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Tablet,
    Gate,
}

/// What a tablet or a gate says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    pub role: String,
    pub is_serving: bool,
    pub why: String,
    pub epoch_seen: u64,
    pub server_uuid: String,
    pub version: String,
    /// Of a gate: the highest epoch of a handover for which nothing is open on the primary.
    pub drained: u64,
    /// Of a gate: what it sees of the primary by itself.
    pub primary: Option<Outlook>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub address: String,
    pub grpc: String,
    pub presence: Presence,
    /// When that was told.
    pub told: Instant,
    id: u64,
    until: Instant,
}

#[derive(Debug)]
pub struct Leases {
    since: Instant,
    lease: Duration,
    holders: BTreeMap<(Kind, String), Holder>,
    last_id: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseError {
    /// Register again.
    Unknown,
    /// Another one of this name is alive.
    NameTaken {
        address: String,
    },
    Full,
}

/// A lease that was just given, and what its name had before.
#[derive(Debug)]
pub struct Given {
    pub id: u64,
    before: Option<Holder>,
}

impl Leases {
    /// The book of a leadership that began at `since`. `seed`: ids of an earlier one mean nothing here.
    pub fn new(since: Instant, lease_ms: u32, seed: u64) -> Leases {
        let lease = Duration::from_millis(u64::from(lease_ms));
        Leases { since, lease, holders: BTreeMap::new(), last_id: seed }
    }

    pub fn since(&self) -> Instant {
        self.since
    }

    /// Gives a lease. A name that lives is given again only to who is at the same place (it was restarted), or shows the
    /// lease that holds (`former_id`: it has moved). A server's uuid proves nothing: two tablets beside copies of one server
    /// would take the name from each other for ever.
    pub fn register(
        &mut self,
        now: Instant,
        (kind, name): (Kind, &str),
        (address, grpc): (&str, &str),
        presence: Presence,
        former_id: u64,
    ) -> Result<Given, LeaseError> {
        self.forget(now);
        let key = (kind, name.to_string());
        if let Some(holder) = self.holders.get(&key) {
            // A gate's gRPC port may be another at each start.
            let is_same = holder.address == address && (kind == Kind::Gate || holder.grpc == grpc);
            if !is_same && holder.id != former_id && now < holder.until {
                return Err(LeaseError::NameTaken { address: holder.address.clone() });
            }
        } else if self.count(kind) >= most(kind) {
            return Err(LeaseError::Full);
        }
        self.last_id = self.last_id.wrapping_add(1).max(1);
        let until = now + self.with_grace();
        let (address, grpc, id) = (address.to_string(), grpc.to_string(), self.last_id);
        let holder = Holder { address, grpc, presence, told: now, id, until };
        let before = self.holders.insert(key, holder);
        Ok(Given { id: self.last_id, before })
    }

    /// Takes a lease back of which nobody was told. What the name had before holds on: whoever has that counts on it.
    pub fn take_back(&mut self, kind: Kind, name: &str, given: Given) {
        let key = (kind, name.to_string());
        if self.holders.get(&key).is_some_and(|holder| holder.id == given.id) {
            match given.before {
                Some(before) => self.holders.insert(key, before),
                None => self.holders.remove(&key),
            };
        }
    }

    /// This leadership has given it a lease, not too long ago.
    pub fn knows(&self, kind: Kind, name: &str) -> bool {
        self.holders.contains_key(&(kind, name.to_string()))
    }

    /// Prolongs a lease, also one that has just ended: nothing was given away meanwhile, or its id would be another.
    pub fn renew(
        &mut self,
        now: Instant,
        kind: Kind,
        name: &str,
        id: u64,
        presence: Presence,
    ) -> Result<(), LeaseError> {
        let until = now + self.with_grace();
        match self.holders.get_mut(&(kind, name.to_string())) {
            Some(holder) if holder.id == id => {
                (holder.until, holder.presence, holder.told) = (until, presence, now);
                Ok(())
            }
            Some(_) | None => Err(LeaseError::Unknown),
        }
    }

    /// How long it must still be taken as held.
    pub fn left(&self, now: Instant, kind: Kind, name: &str) -> Duration {
        // Of leases that an earlier leader has given we know only that none began after our leadership.
        let before_us = self.since + self.with_grace();
        let holder = self.holders.get(&(kind, name.to_string()));
        let until = holder.map_or(before_us, |holder| holder.until.max(before_us));
        until.saturating_duration_since(now)
    }

    /// Those that we have given and that have not ended.
    pub fn held(&self, now: Instant, kind: Kind) -> impl Iterator<Item = (&str, &Holder, Duration)> {
        self.all(now, kind).filter(|(_, _, left)| !left.is_zero())
    }

    /// Also those that have ended not long ago, with nothing left.
    pub fn all(&self, now: Instant, kind: Kind) -> impl Iterator<Item = (&str, &Holder, Duration)> {
        let of_kind = self.holders.iter().filter(move |((of, _), _)| *of == kind);
        of_kind.map(move |((_, name), holder)| (name.as_str(), holder, holder.until.saturating_duration_since(now)))
    }

    fn count(&self, kind: Kind) -> usize {
        self.holders.keys().filter(|(of, _)| *of == kind).count()
    }

    fn forget(&mut self, now: Instant) {
        self.holders.retain(|_, holder| now < holder.until + limits::LISTED_AFTER);
    }

    fn with_grace(&self) -> Duration {
        self.lease + self.lease * limits::LEASE_GRACE_PERMILLE / 1_000
    }
}

fn most(kind: Kind) -> usize {
    match kind {
        Kind::Tablet => limits::MEMBERS_MAX,
        Kind::Gate => limits::GATES_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn presence(uuid: &str) -> Presence {
        Presence { server_uuid: uuid.to_string(), ..Presence::default() }
    }

    #[test]
    fn a_lease_is_over_later_here_than_for_its_holder() {
        let start = Instant::now();
        let mut leases = Leases::new(start - ms(60_000), 1_000, 0);
        let id = leases.register(start, (Kind::Tablet, "a"), ("db1:1", ""), presence("u"), 0).unwrap().id;
        assert_eq!(leases.left(start, Kind::Tablet, "a"), ms(1_050));
        leases.renew(start + ms(700), Kind::Tablet, "a", id, presence("u")).unwrap();
        assert_eq!(leases.left(start + ms(1_000), Kind::Tablet, "a"), ms(750));
        assert_eq!(leases.left(start + ms(1_749), Kind::Tablet, "a"), ms(1));
        assert_eq!(leases.left(start + ms(1_751), Kind::Tablet, "a"), Duration::ZERO);
        assert_eq!(leases.held(start + ms(1_751), Kind::Tablet).count(), 0);
        assert_eq!(leases.all(start + ms(1_751), Kind::Tablet).count(), 1);
        assert_eq!(leases.renew(start, Kind::Tablet, "a", id + 1, presence("u")), Err(LeaseError::Unknown));
        assert_eq!(leases.renew(start, Kind::Gate, "a", id, presence("u")), Err(LeaseError::Unknown));
    }

    #[test]
    fn a_new_leader_takes_every_lease_as_held_for_one_lease() {
        let start = Instant::now();
        let leases = Leases::new(start, 1_000, 0);
        assert_eq!(leases.left(start + ms(1_000), Kind::Tablet, "never seen"), ms(50));
        assert_eq!(leases.left(start + ms(1_050), Kind::Tablet, "never seen"), Duration::ZERO);
    }

    #[test]
    fn a_name_has_one_owner_at_a_time() {
        let start = Instant::now();
        let mut leases = Leases::new(start, 1_000, 0);
        let mut ask = |at: u64, place: (&str, &str), uuid: &str, former_id: u64| {
            let given = leases
                .register(start + ms(at), (Kind::Tablet, "a"), place, presence(uuid), former_id)
                .map(|given| given.id);
            given.map_err(|error| match error {
                LeaseError::NameTaken { address } => address,
                other => format!("{other:?}"),
            })
        };
        let first = ask(0, ("db1:1", "t1:1"), "u", 0).unwrap();
        // The same tablet was restarted, beside whatever server.
        let second = ask(0, ("db1:1", "t1:1"), "v", 0).unwrap();
        assert!(second != first);
        // It has moved, and shows its lease; an older one is none.
        assert_eq!(ask(0, ("db2:1", "t1:1"), "v", first), Err("db1:1".to_string()));
        let third = ask(0, ("db2:1", "t1:1"), "v", second).unwrap();
        // A copy of the server, and a second tablet beside the same one.
        assert_eq!(ask(0, ("db3:1", "t3:1"), "v", 0), Err("db2:1".to_string()));
        assert_eq!(ask(0, ("db2:1", "t2:1"), "v", 0), Err("db2:1".to_string()));
        assert!(ask(2_000, ("db3:1", "t3:1"), "w", 0).is_ok());
        assert_eq!(leases.renew(start, Kind::Tablet, "a", third, presence("u")), Err(LeaseError::Unknown));
        assert!(leases.register(start, (Kind::Gate, "a"), ("g:1", "g:2"), presence(""), 0).is_ok());
        assert!(leases.register(start, (Kind::Gate, "a"), ("g:1", "g:3"), presence(""), 0).is_ok());
    }

    #[test]
    fn a_lease_that_is_taken_back_shortens_none_that_somebody_holds() {
        let start = Instant::now();
        let mut leases = Leases::new(start - ms(60_000), 1_000, 0);
        let place = ("db1:1", "t1:1");
        let first = leases.register(start, (Kind::Tablet, "a"), place, presence("u"), 0).unwrap();
        let second = leases.register(start + ms(500), (Kind::Tablet, "a"), place, presence("v"), 0).unwrap();
        leases.take_back(Kind::Tablet, "a", second);
        assert_eq!(leases.left(start + ms(500), Kind::Tablet, "a"), ms(550));
        leases.renew(start + ms(500), Kind::Tablet, "a", first.id, presence("u")).unwrap();
        let new = leases.register(start, (Kind::Tablet, "b"), ("db2:1", "t2:1"), presence("v"), 0).unwrap();
        leases.take_back(Kind::Tablet, "b", new);
        assert!(!leases.knows(Kind::Tablet, "b") && leases.knows(Kind::Tablet, "a"));
    }

    #[test]
    fn there_is_room_for_so_many() {
        let start = Instant::now();
        let mut leases = Leases::new(start, 1_000, 0);
        for at in 0..limits::GATES_MAX {
            leases.register(start, (Kind::Gate, &at.to_string()), ("g:1", ""), presence(""), 0).unwrap();
        }
        let full = leases.register(start, (Kind::Gate, "x"), ("g:1", ""), presence(""), 0);
        assert_eq!(full.err(), Some(LeaseError::Full));
        let later = start + limits::LISTED_AFTER * 2;
        assert!(leases.register(later, (Kind::Gate, "x"), ("g:1", ""), presence(""), 0).is_ok());
    }
}
