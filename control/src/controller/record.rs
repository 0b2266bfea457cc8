//! The record: what one cluster is, as a value.
//!
//! Invariant: a [`Record`] that [`Record::check`] has passed is consistent by itself, and [`Record::check_next`] says
//! which record may follow which. Above all: a primary is named only by a record that follows one without a primary, so
//! between two primaries there always is an epoch in which nobody may write.
//!
//! ```text
//!   Forming ──► Steady ──────────────► Interregnum ──► Steady …        never back to Forming
//!                  ◄──► Handover ─────────►
//! ```
//! It knows nothing of stores, leases and protobuf.

use super::epoch::Epoch;
use super::limits;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub cluster: String,
    pub epoch: Epoch,
    pub phase: Phase,
    /// How long a lease lasts; never changes.
    pub lease_ms: u32,
    /// By name.
    pub members: BTreeMap<String, Member>,
    /// What the primary had executed when it was promoted; empty for one that was found as primary.
    pub promoted_gtid_executed: String,
    /// Those that all gates obey: `CREATE FILTER` statements, by name. What is in them gates read; a record is none the worse for one
    /// that this version does not understand.
    pub filters: Vec<String>,
    /// For people.
    pub changed_by: String,
    pub reason: String,
    pub changed_unix_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No primary yet.
    Forming,
    Steady {
        primary: String,
    },
    /// The primary is about to be followed by `heir`: it ends what is open, and gates begin nothing new on it.
    Handover {
        primary: String,
        heir: String,
    },
    /// No primary on purpose.
    Interregnum {
        former: String,
        /// Of a planned move: replicas go on receiving, so that it has all. Without one the former primary may be alive and
        /// unreachable: replicas take nothing from it any more, and so acknowledge nothing.
        heir: Option<String>,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Empty while its tablet has not seen the server.
    pub server_uuid: String,
    /// Where gates reach the server.
    pub address: String,
    /// gRPC of its tablet.
    pub tablet: String,
    pub zone: String,
    pub weight: u32,
    pub tags: BTreeMap<String, String>,
    pub wanted: Wanted,
    pub state: MemberState,
    pub note: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// A replica that may be promoted.
    #[default]
    Any,
    /// Never the primary.
    Replica,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberState {
    #[default]
    Active,
    Drained,
    Diverged,
}

impl Record {
    /// The first one of a cluster.
    pub fn forming(cluster: &str, lease_ms: u32) -> Record {
        Record {
            cluster: cluster.to_string(),
            epoch: Epoch::new(1),
            phase: Phase::Forming,
            lease_ms,
            members: BTreeMap::new(),
            promoted_gtid_executed: String::new(),
            filters: Vec::new(),
            changed_by: String::new(),
            reason: "the cluster is new".to_string(),
            changed_unix_ms: 0,
        }
    }

    pub fn primary(&self) -> Option<&str> {
        match &self.phase {
            Phase::Steady { primary } | Phase::Handover { primary, .. } => Some(primary),
            Phase::Forming | Phase::Interregnum { .. } => None,
        }
    }

    /// Who is to follow, if that is known already.
    pub fn heir(&self) -> Option<&str> {
        match &self.phase {
            Phase::Handover { heir, .. } => Some(heir),
            Phase::Interregnum { heir, .. } => heir.as_deref(),
            Phase::Forming | Phase::Steady { .. } => None,
        }
    }

    /// Who may still believe to be primary.
    pub fn former(&self) -> Option<&str> {
        match &self.phase {
            Phase::Interregnum { former, .. } => Some(former),
            Phase::Forming | Phase::Steady { .. } | Phase::Handover { .. } => None,
        }
    }

    /// One sentence about what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        check_name("the cluster", &self.cluster)?;
        if self.members.len() > limits::MEMBERS_MAX {
            return Err(format!("it has {} members: {} at most", self.members.len(), limits::MEMBERS_MAX));
        }
        if !(limits::LEASE_MS_MIN..=limits::LEASE_MS_MAX).contains(&self.lease_ms) {
            return Err(format!("lease_ms must be from {} to {}", limits::LEASE_MS_MIN, limits::LEASE_MS_MAX));
        }
        check_bytes("promoted_gtid_executed", &self.promoted_gtid_executed, limits::GTID_BYTES_MAX)?;
        if self.filters.len() > limits::FILTERS_MAX {
            return Err(format!("there are {} filters: {} at most", self.filters.len(), limits::FILTERS_MAX));
        }
        if let Some(filter) = self.filters.iter().find(|filter| filter.len() > limits::FILTER_BYTES_MAX) {
            return Err(format!("a filter has {} bytes: {} at most", filter.len(), limits::FILTER_BYTES_MAX));
        }
        check_bytes("changed_by", &self.changed_by, limits::NOTE_BYTES_MAX)?;
        check_bytes("reason", &self.reason, limits::NOTE_BYTES_MAX)?;
        for (name, member) in &self.members {
            member.check(name)?;
            let mut others = self.members.iter().filter(|(other, _)| *other != name);
            if let Some(why) =
                others.find_map(|(other, of)| member.clash(of).map(|why| format!("'{name}' and '{other}' {why}")))
            {
                return Err(why);
            }
        }
        if let Phase::Handover { primary, heir } = &self.phase
            && primary == heir
        {
            return Err(format!("'{primary}' cannot follow itself"));
        }
        self.primary().into_iter().try_for_each(|name| self.check_fit("primary", name))?;
        self.heir().into_iter().try_for_each(|name| self.check_fit("heir", name))
    }

    /// Whether it may be what it is called in this record.
    fn check_fit(&self, what: &str, name: &str) -> Result<(), String> {
        match self.members.get(name) {
            None => Err(format!("its {what} '{name}' is no member")),
            Some(member) if member.wanted == Wanted::Replica => {
                Err(format!("'{name}' must not become primary: it is wanted as replica only"))
            }
            Some(member) if member.state == MemberState::Diverged => Err(format!("'{name}' has diverged")),
            Some(_) => Ok(()),
        }
    }

    /// Whether `next` may follow this one.
    pub fn check_next(&self, next: &Record) -> Result<(), String> {
        next.check()?;
        if Some(next.epoch) != self.epoch.next() {
            return Err(format!("epoch {} cannot follow {}", next.epoch, self.epoch));
        }
        if next.cluster != self.cluster {
            return Err(format!("a cluster's name never changes: it is '{}'", self.cluster));
        }
        if next.lease_ms != self.lease_ms {
            return Err(format!("lease_ms never changes: it is {}", self.lease_ms));
        }
        use Phase::{Forming, Handover, Interregnum, Steady};
        match (&self.phase, &next.phase) {
            (Forming, Forming | Steady { .. }) => Ok(()),
            (_, Forming) => Err("a cluster that has had a primary does not form again".to_string()),
            (Forming, Handover { .. } | Interregnum { .. }) => Err("there was no primary to follow".to_string()),
            (
                Steady { primary } | Handover { primary, .. },
                Steady { primary: next } | Handover { primary: next, .. },
            ) if primary != next => {
                Err(format!("between '{primary}' and '{next}' there must be an epoch without a primary"))
            }
            (Steady { primary } | Handover { primary, .. }, Interregnum { former, .. }) if primary != former => {
                Err(format!("the former primary is '{primary}', not '{former}'"))
            }
            (Interregnum { former, .. }, Interregnum { former: next, .. }) if former != next => {
                Err(format!("the former primary is '{former}', not '{next}'"))
            }
            (Interregnum { .. }, Handover { .. }) => Err("nobody has the primary's role to hand over".to_string()),
            (Steady { .. } | Handover { .. } | Interregnum { .. }, _) => Ok(()),
        }
    }
}

impl Member {
    fn check(&self, name: &str) -> Result<(), String> {
        check_name("a member", name)?;
        if self.address.is_empty() {
            return Err(format!("'{name}' has no address"));
        }
        check_bytes(&format!("the address of '{name}'"), &self.address, limits::ADDRESS_BYTES_MAX)?;
        check_bytes(&format!("the tablet of '{name}'"), &self.tablet, limits::ADDRESS_BYTES_MAX)?;
        check_bytes(&format!("the uuid of '{name}'"), &self.server_uuid, limits::NAME_BYTES_MAX)?;
        check_bytes(&format!("the zone of '{name}'"), &self.zone, limits::NAME_BYTES_MAX)?;
        check_bytes(&format!("the note of '{name}'"), &self.note, limits::GTID_BYTES_MAX)?;
        if self.weight > limits::WEIGHT_MAX {
            return Err(format!("the weight of '{name}' must be from 0 to {}", limits::WEIGHT_MAX));
        }
        if self.tags.len() > limits::TAGS_MAX {
            return Err(format!("'{name}' has {} tags: {} at most", self.tags.len(), limits::TAGS_MAX));
        }
        self.tags
            .iter()
            .flat_map(|(tag, value)| [tag, value])
            .try_for_each(|text| check_bytes(&format!("a tag of '{name}'"), text, limits::TAG_BYTES_MAX))
    }

    /// What two members may not share.
    fn clash(&self, other: &Member) -> Option<String> {
        let old = "if one is an old name, 'weir ctl forget' takes it out";
        if self.address == other.address {
            return Some(format!("are the same server, at {}: {old}", self.address));
        }
        if !self.server_uuid.is_empty() && self.server_uuid == other.server_uuid {
            let (uuid, here, there) = (&self.server_uuid, &self.address, &other.address);
            return Some(format!(
                "are the same server, with the uuid {uuid}, at {here} and {there}: if one is a copy of the other, remove \
                 auto.cnf from the copy's data folder and restart it; {old}"
            ));
        }
        let is_one_tablet = !self.tablet.is_empty() && self.tablet == other.tablet;
        is_one_tablet
            .then(|| format!("have one tablet, at {}: let each advertise its own (--advertise-grpc)", self.tablet))
    }
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("{what} has no name"));
    }
    check_bytes(&format!("the name of {what}"), name, limits::NAME_BYTES_MAX)
}

fn check_bytes(what: &str, text: &str, most: usize) -> Result<(), String> {
    if text.len() > most {
        return Err(format!("{what} has {} bytes: {most} at most", text.len()));
    }
    match text.contains(char::is_control) {
        true => Err(format!("{what} contains control characters")),
        false => Ok(()),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn member(at: usize) -> Member {
        Member {
            server_uuid: format!("uuid-{at}"),
            address: format!("db{at}:3306"),
            tablet: format!("db{at}:7406"),
            weight: 100,
            ..Member::default()
        }
    }

    /// Members a and b.
    pub fn record(epoch: u64, phase: Phase) -> Record {
        let members = [("a", 1), ("b", 2)].map(|(name, at)| (name.to_string(), member(at)));
        Record { epoch: Epoch::new(epoch), phase, members: members.into(), ..Record::forming("main", 5_000) }
    }

    fn steady(primary: &str) -> Phase {
        Phase::Steady { primary: primary.to_string() }
    }

    fn interregnum(former: &str) -> Phase {
        Phase::Interregnum { former: former.to_string(), heir: None }
    }

    fn handover(primary: &str, heir: &str) -> Phase {
        Phase::Handover { primary: primary.to_string(), heir: heir.to_string() }
    }

    #[test]
    fn phases_follow_each_other() {
        let check = |before: Phase, after: Phase, expected: &str| match record(7, before)
            .check_next(&record(8, after.clone()))
        {
            Ok(()) => assert_eq!(expected, "", "{after:?}"),
            Err(why) => assert!(!expected.is_empty() && why.contains(expected), "{why}, not {expected}"),
        };
        check(Phase::Forming, Phase::Forming, "");
        check(Phase::Forming, steady("a"), "");
        check(Phase::Forming, steady("c"), "no member");
        check(Phase::Forming, interregnum("a"), "no primary to follow");
        check(steady("a"), steady("a"), "");
        check(steady("a"), steady("b"), "an epoch without a primary");
        check(steady("a"), interregnum("a"), "");
        check(steady("a"), interregnum("b"), "former primary is 'a'");
        check(steady("a"), Phase::Forming, "does not form again");
        check(interregnum("a"), steady("b"), "");
        check(interregnum("a"), steady("a"), "");
        check(interregnum("a"), interregnum("b"), "former primary is 'a'");
        check(interregnum("a"), Phase::Interregnum { former: "a".to_string(), heir: Some("b".to_string()) }, "");
        check(
            interregnum("a"),
            Phase::Interregnum { former: "a".to_string(), heir: Some("x".to_string()) },
            "heir 'x'",
        );
        check(interregnum("a"), handover("a", "b"), "nobody has the primary's role");
        check(Phase::Forming, handover("a", "b"), "no primary to follow");
        check(steady("a"), handover("a", "b"), "");
        check(steady("a"), handover("b", "a"), "an epoch without a primary");
        check(steady("a"), handover("a", "a"), "cannot follow itself");
        check(handover("a", "b"), steady("a"), "");
        check(handover("a", "b"), steady("b"), "an epoch without a primary");
        check(handover("a", "b"), interregnum("a"), "");
        check(handover("a", "b"), interregnum("b"), "former primary is 'a'");
    }

    #[test]
    fn what_never_changes_does_not() {
        let now = record(7, Phase::Forming);
        for (next, expected) in [
            (record(7, Phase::Forming), "epoch 7 cannot follow 7"),
            (record(9, Phase::Forming), "epoch 9 cannot follow 7"),
            (Record { cluster: "x".to_string(), ..record(8, Phase::Forming) }, "never changes: it is 'main'"),
            (Record { lease_ms: 6_000, ..record(8, Phase::Forming) }, "never changes: it is 5000"),
        ] {
            assert!(now.check_next(&next).unwrap_err().contains(expected));
        }
    }

    #[test]
    fn members_are_checked() {
        let check = |change: fn(&mut Member), expected: &str| {
            let mut record = record(7, steady("a"));
            change(record.members.get_mut("a").unwrap());
            let why = record.check().unwrap_err();
            assert!(why.contains(expected), "{why}, not {expected}");
        };
        check(|a| a.address.clear(), "no address");
        check(|a| a.address = "db2:3306".to_string(), "the same server");
        check(|a| a.server_uuid = "uuid-2".to_string(), "the same server, with the uuid uuid-2");
        check(|a| a.tablet = "db2:7406".to_string(), "one tablet, at db2:7406");
        check(|a| a.weight = 10_001, "weight of 'a'");
        check(|a| a.zone = "x\u{1b}".to_string(), "control characters");
        check(|a| a.note = "x".repeat(100_000), "at most");
        check(|a| a.tags = (0..20).map(|n| (n.to_string(), String::new())).collect(), "20 tags");
        check(|a| a.wanted = Wanted::Replica, "must not become primary");
        check(|a| a.state = MemberState::Diverged, "diverged");
        assert_eq!(record(7, steady("a")).check(), Ok(()));
    }
}
