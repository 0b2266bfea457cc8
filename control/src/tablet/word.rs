//! The word: all that an agent knows of its server at one moment.
//!
//! Invariant: `executed` is what the server last showed, also while it can't be looked at; `sequence` grows with every
//! change.

use super::membership::{Enrolment, Membership};
use crate::config::address;
use crate::monitor::{Facts, Sight, Standing, evidence};
use std::sync::Arc;
use tokio::time::Instant;
use weir_core::snapshot::{Address, Role};
use weir_net::gtid::GtidSet;

#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    pub sequence: u64,
    pub name: String,
    /// Where gates reach the server; empty until that is known.
    pub address: String,
    pub standing: Standing,
    pub why: String,
    pub advice: String,
    pub is_lasting: bool,
    pub role: Role,
    /// 0: nobody has told of a topology.
    pub epoch: u64,
    /// Whom that topology names; empty: nobody.
    pub primary: String,
    pub enrolment: Enrolment,
    pub enrolment_why: String,
    /// What its steward has made of that.
    pub care: Care,
    /// The last look's; its own executed set may be older than the word's.
    pub facts: Option<Arc<Facts>>,
    pub executed: Arc<GtidSet>,
}

/// How far the steward has brought the server to what the topology wants of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Care {
    /// There is a steward.
    pub is_managed: bool,
    /// The highest epoch whose demands the server was seen to fulfil, by a look after the last deed; 0: none.
    pub settled: u64,
    /// What it tries to do and cannot; empty when all is well.
    pub trouble: String,
    /// Transactions of its own, that the primary never had.
    pub extra: Arc<GtidSet>,
}

pub type Mark = (Standing, Role, Option<bool>);

impl Word {
    pub fn new(name: &str, address: Option<&Address>) -> Word {
        Word {
            sequence: 1,
            name: name.to_string(),
            address: address.map(address::show).unwrap_or_default(),
            standing: Standing::Connecting,
            why: String::new(),
            advice: String::new(),
            is_lasting: false,
            role: Role::Unknown,
            epoch: 0,
            primary: String::new(),
            enrolment: Enrolment::Alone,
            enrolment_why: String::new(),
            care: Care::default(),
            facts: None,
            executed: Arc::default(),
        }
    }

    /// What a steward looks at its server again for.
    pub fn mark(&self) -> Mark {
        (self.standing, self.role, self.facts.as_ref().map(|facts| facts.read_only))
    }

    /// True if the word is another one now. What is settled is never unsaid: it was so.
    pub fn handle_care(&mut self, care: Care) -> bool {
        let care = Care { settled: care.settled.max(self.care.settled), ..care };
        let is_new = self.care != care;
        if is_new {
            self.care = care;
            self.sequence += 1;
        }
        is_new
    }

    pub fn is_serving(&self) -> bool {
        self.standing.is_sound() && self.role != Role::Unknown
    }

    /// True if the word is another one now.
    pub fn handle(&mut self, sight: Sight) -> bool {
        match sight {
            Sight::Executed { executed, .. } if executed == self.executed => return false,
            Sight::Executed { executed, .. } => self.executed = executed,
            Sight::Look { outcome: Ok(facts), .. } => {
                let (role, note) = evidence::role(&facts);
                (self.standing, self.role, self.why) = (facts.standing, role, note);
                (self.advice, self.is_lasting) = (String::new(), false);
                self.executed = facts.executed.clone();
                self.learn_address(&facts);
                self.facts = Some(Arc::from(facts));
            }
            Sight::Look { outcome: Err(fault), .. } => {
                (self.standing, self.role) = (fault.standing, Role::Unknown);
                (self.why, self.advice, self.is_lasting) = (fault.why, fault.advice, fault.is_lasting);
                self.facts = None;
            }
            Sight::Stale { .. } | Sight::Found { .. } | Sight::Replicas { .. } => return false,
        }
        self.sequence += 1;
        true
    }

    /// A server that is reached by its socket says by `report_host` where others find it.
    fn learn_address(&mut self, facts: &Facts) {
        let vitals = &facts.vitals;
        if self.address.is_empty() && !vitals.report_host.is_empty() {
            let colons = vitals.report_host.contains(':');
            let (open, close) = if colons { ("[", "]") } else { ("", "") };
            self.address = format!("{open}{}{close}:{}", vitals.report_host, vitals.report_port);
        }
    }

    /// True if the word is another one now.
    pub fn enrol(&mut self, now: Instant, membership: &Membership) -> bool {
        let (epoch, primary) = (membership.epoch(), membership.primary().unwrap_or_default());
        let (enrolment, why) = (membership.enrolment(now), membership.why());
        // The guard in front of the membership lets no older epoch pass (S75).
        assert!(epoch >= self.epoch, "epoch {epoch} after {}", self.epoch);
        let is_same = (epoch, primary) == (self.epoch, &self.primary)
            && (enrolment, why) == (self.enrolment, &self.enrolment_why);
        if is_same {
            return false;
        }
        (self.epoch, self.primary) = (epoch, primary.to_string());
        (self.enrolment, self.enrolment_why) = (enrolment, why.to_string());
        self.sequence += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientError;
    use crate::monitor::Fault;

    #[test]
    fn a_fault_changes_the_state_and_keeps_the_set() {
        let mut word = Word::new("one", None);
        let executed = Arc::new(GtidSet::parse(b"3aecbfe0-e779-11f1-be4c-02fc00000001:1-4").unwrap());
        assert!(word.handle(Sight::Executed { backend: 0, executed: executed.clone() }));
        assert!(!word.handle(Sight::Executed { backend: 0, executed: executed.clone() }));
        let fault = Fault::of(ClientError::Closed);
        assert!(word.handle(Sight::Look { backend: 0, outcome: Err(fault) }));
        assert_eq!((word.standing, word.is_serving(), word.sequence), (Standing::ServerStopped, false, 3));
        assert_eq!(word.executed, executed);
    }

    #[test]
    fn a_membership_is_told_when_it_is_another() {
        use crate::controller::client::Lease;
        use crate::controller::record::Phase;
        use crate::controller::record::tests::record;
        let (mut word, now) = (Word::new("a", None), Instant::now());
        let mut membership = Membership::new("a");
        assert!(!word.enrol(now, &membership));
        membership.lease = Some(Lease { until: None, why: "why".to_string() });
        membership.record = Some(Arc::new(record(7, Phase::Steady { primary: "b".to_string() })));
        assert!(word.enrol(now, &membership) && !word.enrol(now, &membership));
        assert_eq!((word.epoch, word.primary.as_str()), (7, "b"));
        assert_eq!((word.enrolment, word.enrolment_why.as_str()), (Enrolment::NotRegistered, "why"));
        membership.lease = Some(Lease { until: Some(now + std::time::Duration::from_secs(1)), why: String::new() });
        assert!(word.enrol(now, &membership));
        assert_eq!((word.enrolment, word.enrolment_why.as_str()), (Enrolment::Registered, ""));
    }
}
