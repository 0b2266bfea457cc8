//! The roster: the record's members as a gate's backends.
//!
//! Invariant: a member is one backend by its name; its index stays. A member that is elsewhere now is taken out and comes
//! back with a new index, since a backend never becomes another server. It is pure: a record goes in, steps come out.

use crate::config::{BackendConfig, address};
use crate::controller::record::{Member, MemberState, Record};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use weir_core::snapshot::Address;

#[derive(Default)]
pub struct Roster {
    members: BTreeMap<String, Known>,
}

struct Known {
    at: usize,
    /// What is watched: the tablet's address, or the server's own.
    place: String,
    uuid: String,
    config: BackendConfig,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next index is its own.
    Add {
        config: BackendConfig,
        uuid: Option<String>,
    },
    Remove {
        at: usize,
    },
    /// Weight, zone or what it may become.
    Terms {
        at: usize,
        config: BackendConfig,
    },
    /// It cannot be used; why.
    Pass {
        why: String,
    },
}

impl Roster {
    /// `next`: the index of the next backend that is added.
    pub fn advance(&mut self, record: &Record, mut next: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        let is_gone = |name: &String, known: &Known| {
            record.members.get(name).is_none_or(|member| place(member) != known.place || is_another(known, member))
        };
        let gone: Vec<String> =
            self.members.iter().filter(|(name, known)| is_gone(name, known)).map(|(name, _)| name.clone()).collect();
        for known in gone.iter().filter_map(|name| self.members.remove(name)) {
            steps.push(Step::Remove { at: known.at });
        }
        for (name, member) in &record.members {
            if let Some(known) = self.members.get_mut(name) {
                known.uuid.clone_from(&member.server_uuid);
                let config = with_terms(known.config.clone(), member);
                if config != known.config {
                    known.config = config.clone();
                    steps.push(Step::Terms { at: known.at, config });
                }
                continue;
            }
            match backend(name, member) {
                Ok(config) => {
                    let (place, server) = (place(member).to_string(), member.server_uuid.clone());
                    let known = Known { at: next, place, uuid: server, config: config.clone() };
                    let uuid = (!member.server_uuid.is_empty()).then(|| member.server_uuid.clone());
                    steps.push(Step::Add { config, uuid });
                    self.members.insert(name.clone(), known);
                    next += 1;
                }
                Err(why) => steps.push(Step::Pass { why: format!("member '{name}': {why}") }),
            }
        }
        steps
    }
}

fn place(member: &Member) -> &str {
    if member.tablet.is_empty() { &member.address } else { &member.tablet }
}

/// Another server is there than before.
fn is_another(known: &Known, member: &Member) -> bool {
    !known.uuid.is_empty() && known.uuid != member.server_uuid
}

fn backend(name: &str, member: &Member) -> Result<BackendConfig, String> {
    let config = match (member.tablet.is_empty(), known_address(&member.address)) {
        (true, _) => BackendConfig::at(&address::backend(&member.address)?),
        // Its tablet will say it again, or a newer one.
        (false, Some(address)) => BackendConfig { address, ..BackendConfig::behind(&member.tablet) },
        (false, None) => BackendConfig::behind(&member.tablet),
    };
    Ok(with_terms(BackendConfig { name: name.to_string(), ..config }, member))
}

/// Without asking anybody for a name's address.
fn known_address(text: &str) -> Option<Address> {
    match text.parse::<SocketAddr>() {
        Ok(address) => Some(Address::Tcp(address)),
        Err(_) => address::backend(text).ok().filter(|_| text.starts_with("unix:")),
    }
}

fn with_terms(config: BackendConfig, member: &Member) -> BackendConfig {
    BackendConfig { weight: weight(member), zone: member.zone.clone(), wanted: member.wanted, ..config }
}

/// One that is drained or has diverged gets no reads.
fn weight(member: &Member) -> u32 {
    match member.state {
        MemberState::Active => member.weight,
        MemberState::Drained | MemberState::Diverged => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::record::tests::{member, record};
    use crate::controller::record::{Phase, Wanted};

    #[test]
    fn members_come_go_move_and_change_their_weight() {
        let mut roster = Roster::default();
        let mut record = record(7, Phase::Forming);
        let added = |steps: Vec<Step>| -> Vec<String> {
            let name = |step: &Step| match step {
                Step::Add { config, .. } => Some(format!("{} behind {:?}", config.name, config.tablet)),
                _ => None,
            };
            steps.iter().filter_map(name).collect()
        };
        let all = added(roster.advance(&record, 5));
        assert_eq!(all, ["a behind Some(\"db1:7406\")", "b behind Some(\"db2:7406\")"]);
        assert_eq!(roster.advance(&record, 7), []);
        record.members.get_mut("b").unwrap().weight = 7;
        let terms = |steps: Vec<Step>| match steps.as_slice() {
            [Step::Terms { at, config }] => (*at, config.weight, config.zone.clone(), config.wanted),
            other => panic!("{other:?}"),
        };
        assert_eq!(terms(roster.advance(&record, 7)), (6, 7, String::new(), Wanted::Any));
        record.members.get_mut("b").unwrap().state = MemberState::Drained;
        assert_eq!(terms(roster.advance(&record, 7)), (6, 0, String::new(), Wanted::Any));
        record.members.get_mut("b").unwrap().zone = "z".to_string();
        record.members.get_mut("b").unwrap().wanted = Wanted::Replica;
        assert_eq!(terms(roster.advance(&record, 7)), (6, 0, "z".to_string(), Wanted::Replica));
        record.members.get_mut("a").unwrap().tablet = "elsewhere:7406".to_string();
        let steps = roster.advance(&record, 7);
        assert_eq!((&steps[0], steps.len()), (&Step::Remove { at: 5 }, 2));
        record.members.get_mut("a").unwrap().server_uuid = "another".to_string();
        assert_eq!(roster.advance(&record, 8)[0], Step::Remove { at: 7 });
        record.members.remove("a");
        assert_eq!(roster.advance(&record, 9), [Step::Remove { at: 8 }]);
        record
            .members
            .insert("c".to_string(), Member { tablet: String::new(), address: "a b".to_string(), ..member(3) });
        assert!(matches!(roster.advance(&record, 8).as_slice(), [Step::Pass { why }] if why.contains("'c'")));
        let direct = Member { tablet: String::new(), address: "127.0.0.1:1".to_string(), ..member(3) };
        record.members.insert("c".to_string(), direct);
        let Some(Step::Add { config, uuid }) = roster.advance(&record, 8).pop() else { panic!("no backend") };
        assert_eq!(
            (config.tablet, address::show(&config.address), uuid),
            (None, "127.0.0.1:1".to_string(), Some("uuid-3".to_string()))
        );
    }
}
