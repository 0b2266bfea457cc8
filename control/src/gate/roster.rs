//! The roster: the record's members as a gate's backends.
//!
//! Invariant: a member is one backend by its name; its index stays. A member that is elsewhere now is taken out and comes
//! back with a new index, since a backend never becomes another server. It is pure: a record goes in, steps come out.

use crate::config::{BackendConfig, address};
use crate::controller::record::{Member, MemberState, Record};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Roster {
    members: BTreeMap<String, Known>,
}

struct Known {
    at: usize,
    /// What is watched: the tablet's address, or the server's own.
    place: String,
    uuid: String,
    weight: u32,
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
    Weight {
        at: usize,
        weight: u32,
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
            let weight = weight(member);
            if let Some(known) = self.members.get_mut(name) {
                known.uuid.clone_from(&member.server_uuid);
                if std::mem::replace(&mut known.weight, weight) != weight {
                    steps.push(Step::Weight { at: known.at, weight });
                }
                continue;
            }
            match backend(name, member) {
                Ok(config) => {
                    let (place, server) = (place(member).to_string(), member.server_uuid.clone());
                    let known = Known { at: next, place, uuid: server, weight };
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
    let config = match member.tablet.is_empty() {
        false => BackendConfig::behind(&member.tablet),
        true => BackendConfig::at(&address::backend(&member.address)?),
    };
    Ok(BackendConfig { name: name.to_string(), weight: weight(member), ..config })
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
    use crate::controller::record::Phase;
    use crate::controller::record::tests::{member, record};

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
        assert_eq!(roster.advance(&record, 7), [Step::Weight { at: 6, weight: 7 }]);
        record.members.get_mut("b").unwrap().state = MemberState::Drained;
        assert_eq!(roster.advance(&record, 7), [Step::Weight { at: 6, weight: 0 }]);
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
