//! The membership: what a tablet knows of its place in the cluster: lease, topology and its server's role, together.
//!
//! Invariant: it is data, and it errs on the safe side. The lease is counted on this machine's own monotonic clock from
//! before it was asked for, so it is over here before anybody else takes it as over; the topology never goes back to an
//! older epoch. Whoever acts on a lease that ends asks here, and nowhere else.
//!
//! ```text
//!   Alone                              no controllers are named
//!   NotRegistered ◄──► Registered      a lease is held; it ends by itself when nobody prolongs it
//! ```
//! It knows nothing of how leases are asked for (`registrar`) and of what a server is made to be.

use crate::controller::client::Lease;
use crate::controller::record::{Phase, Record};
use std::sync::Arc;
use tokio::time::Instant;
use weir_core::snapshot::Role;

#[derive(Clone, Debug, PartialEq)]
pub struct Membership {
    pub name: String,
    /// None: no controllers are named.
    pub lease: Option<Lease>,
    /// The newest that was told, or kept.
    pub record: Option<Arc<Record>>,
    /// The server's, by its own evidence.
    pub role: Role,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enrolment {
    #[default]
    Alone,
    Registered,
    NotRegistered,
}

/// What the topology makes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// There is no topology yet, nobody is named in it yet, or it does not name this member.
    Unknown,
    Primary,
    /// Also while there is no primary on purpose: nobody may take writes then.
    Replica,
}

impl Membership {
    pub fn new(name: &str) -> Membership {
        Membership { name: name.to_string(), lease: None, record: None, role: Role::Unknown }
    }

    pub fn enrolment(&self, now: Instant) -> Enrolment {
        match &self.lease {
            None => Enrolment::Alone,
            Some(lease) if lease.is_held(now) => Enrolment::Registered,
            Some(_) => Enrolment::NotRegistered,
        }
    }

    /// Why it is not registered, or why it soon will not be; empty when all is well.
    pub fn why(&self) -> &str {
        self.lease.as_ref().map_or("", |lease| &lease.why)
    }

    /// 0: of no topology.
    pub fn epoch(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.epoch.number())
    }

    /// Whom the topology names as primary.
    pub fn primary(&self) -> Option<&str> {
        self.record.as_ref().and_then(|record| record.primary())
    }

    pub fn duty(&self) -> Duty {
        match &self.record {
            Some(record) if record.members.contains_key(&self.name) => match &record.phase {
                Phase::Forming => Duty::Unknown,
                Phase::Steady { primary } | Phase::Handover { primary, .. } if *primary == self.name => Duty::Primary,
                Phase::Steady { .. } | Phase::Handover { .. } | Phase::Interregnum { .. } => Duty::Replica,
            },
            Some(_) | None => Duty::Unknown,
        }
    }

    /// Until when the server may take writes as the topology's primary: to the end of its lease. None: it may not.
    pub fn primary_until(&self) -> Option<Instant> {
        self.lease.as_ref().and_then(|lease| lease.until).filter(|_| self.duty() == Duty::Primary)
    }
}

impl Enrolment {
    pub fn name(self) -> &'static str {
        match self {
            Enrolment::Alone => "alone",
            Enrolment::Registered => "registered",
            Enrolment::NotRegistered => "not registered",
        }
    }
}

impl Duty {
    pub fn name(self) -> &'static str {
        match self {
            Duty::Unknown => "unknown",
            Duty::Primary => "primary",
            Duty::Replica => "replica",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::record::tests::record;
    use std::time::Duration;

    #[test]
    fn a_lease_is_held_until_it_ends() {
        let now = Instant::now();
        let mut member = Membership::new("a");
        assert_eq!(member.enrolment(now), Enrolment::Alone);
        member.lease = Some(Lease { until: None, why: "nobody answers".to_string() });
        assert_eq!((member.enrolment(now), member.why()), (Enrolment::NotRegistered, "nobody answers"));
        // One that is not prolonged any more is held to its end.
        member.lease = Some(Lease { until: Some(now + Duration::from_millis(1)), why: "nobody answers".to_string() });
        assert_eq!(member.enrolment(now), Enrolment::Registered);
        assert_eq!(member.enrolment(now + Duration::from_millis(1)), Enrolment::NotRegistered);
    }

    #[test]
    fn only_the_named_one_with_a_lease_is_primary_for_a_while() {
        let until = Instant::now();
        let check = |name: &str, phase: Phase, duty: Duty, reigns: bool| {
            let lease = Some(Lease { until: Some(until), why: String::new() });
            let member = Membership { lease, record: Some(Arc::new(record(7, phase))), ..Membership::new(name) };
            assert_eq!((member.duty(), member.primary_until()), (duty, reigns.then_some(until)), "{member:?}");
            assert_eq!(member.epoch(), 7);
            assert_eq!(Membership { lease: None, ..member }.primary_until(), None);
        };
        let steady = || Phase::Steady { primary: "a".to_string() };
        check("a", Phase::Forming, Duty::Unknown, false);
        check("a", steady(), Duty::Primary, true);
        check("b", steady(), Duty::Replica, false);
        check("stranger", steady(), Duty::Unknown, false);
        let handover = || Phase::Handover { primary: "a".to_string(), heir: "b".to_string() };
        check("a", handover(), Duty::Primary, true);
        check("b", handover(), Duty::Replica, false);
        check("a", Phase::Interregnum { former: "a".to_string(), heir: None }, Duty::Replica, false);
        assert_eq!((Membership::new("a").duty(), Membership::new("a").epoch()), (Duty::Unknown, 0));
    }
}
