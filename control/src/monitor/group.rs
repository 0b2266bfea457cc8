//! The group: what a server says of its replication group.
//!
//! Invariant: it is one server's word at one moment. One that was frozen or cut off says what was so before; views tell, since
//! each change of the members makes the next one, and only a majority can make it.

use crate::client::Rows;
use std::fmt;
use weir_core::snapshot::Role;
use weir_net::gtid::GtidSet;

#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// `group_replication_group_name`: also the uuid of the group's transactions.
    pub name: String,
    pub place: Place,
    pub view: View,
    /// Whom it takes for the primary, by uuid; empty: nobody, or several.
    pub primary: String,
    /// Of the view.
    pub members: u32,
    /// Those that it hears, itself among them; one that is still joining counts in the group's votes.
    pub reachable: u32,
    pub is_multi_primary: bool,
    pub applier_runs: bool,
    pub received: GtidSet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Primary,
    Secondary,
    Recovering,
    Error,
    /// It has a group and is not in it.
    Offline,
}

/// `prefix:number`. A group that was bootstrapped anew has another prefix; views of two prefixes can't be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct View {
    pub prefix: String,
    pub number: u64,
}

impl Group {
    /// From the rows of [`super::dialect::Dialect::look`]. None: the server has no group.
    pub fn read(rows: &Rows, server_uuid: &str) -> Option<Group> {
        let text = |row: usize, at: usize| {
            rows.rows.get(row).and_then(|row| row.get(at)).and_then(|value| value.as_text()).unwrap_or_default()
        };
        let name = text(0, 3);
        if rows.rows.is_empty() || name.is_empty() {
            return None;
        }
        let all = 0..rows.rows.len();
        let own = all.clone().find(|row| text(*row, 0) == server_uuid);
        let place = own.map_or(Place::Offline, |row| match (text(row, 1).as_str(), text(row, 2).as_str()) {
            ("ONLINE", "PRIMARY") => Place::Primary,
            ("ONLINE", "SECONDARY") => Place::Secondary,
            // A role comes a moment after the state.
            ("ONLINE" | "RECOVERING", _) => Place::Recovering,
            ("OFFLINE", _) => Place::Offline,
            _ => Place::Error,
        });
        let primaries: Vec<String> =
            all.clone().filter(|row| text(*row, 2) == "PRIMARY").map(|row| text(row, 0)).collect();
        let reachable = all.clone().filter(|row| matches!(text(*row, 1).as_str(), "ONLINE" | "RECOVERING")).count();
        Some(Group {
            name,
            place,
            view: View::parse(&text(0, 5)),
            primary: if let [one] = primaries.as_slice() { one.clone() } else { String::new() },
            members: all.len() as u32,
            reachable: reachable as u32,
            is_multi_primary: text(0, 4) == "OFF",
            applier_runs: text(0, 6) == "ON",
            received: GtidSet::parse(text(0, 7).as_bytes()).unwrap_or_default(),
        })
    }

    /// It hears more than half of its view: without that nothing can be committed, and others may have gone on.
    pub fn has_majority(&self) -> bool {
        self.reachable * 2 > self.members
    }

    /// It takes part, with a majority.
    pub fn is_sound(&self) -> bool {
        matches!(self.place, Place::Primary | Place::Secondary) && self.has_majority()
    }

    pub fn role(&self, read_only: bool) -> (Role, String) {
        let unfit = |why: &str| (Role::Unknown, why.to_string());
        match self.place {
            Place::Offline => unfit(
                "has left its replication group: START GROUP_REPLICATION; if it is to stand alone, start it without \
                 group_replication_group_name",
            ),
            Place::Error => {
                unfit("was put out of its replication group: see its error log, then STOP and START GROUP_REPLICATION")
            }
            Place::Recovering => unfit("is joining its replication group"),
            Place::Primary | Place::Secondary if !self.has_majority() => {
                let text = format!(
                    "hears {} of the {} members of its replication group, which is no majority: it gets nothing until it does",
                    self.reachable, self.members
                );
                (Role::Unknown, text)
            }
            Place::Primary if self.is_multi_primary => unfit(
                "is in a group in multi-primary mode, and writes go to one server: SELECT \
                 group_replication_switch_to_single_primary_mode(), or set role = \"primary\" for one and \"replica\" for \
                 the others",
            ),
            Place::Primary if read_only => unfit("is its replication group's primary, and still read-only"),
            Place::Primary => (Role::Primary, String::new()),
            Place::Secondary if !self.applier_runs => {
                (Role::Replica, "its replication group's applier has stopped: see its error log".to_string())
            }
            Place::Secondary => (Role::Replica, String::new()),
        }
    }
}

impl View {
    pub fn parse(text: &str) -> View {
        let parsed = text.split_once(':').and_then(|(prefix, number)| Some((prefix, number.parse().ok()?)));
        parsed.map_or_else(View::default, |(prefix, number)| View { prefix: prefix.to_string(), number })
    }

    pub fn is_before(&self, other: &View) -> bool {
        self.prefix == other.prefix && self.number < other.number
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix.is_empty() {
            return Ok(());
        }
        write!(f, "{}:{}", self.prefix, self.number)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A member of a group of three that is well.
    pub fn group(place: Place, view: u64, primary: &str) -> Group {
        Group {
            name: "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa".to_string(),
            place,
            view: View { prefix: "17".to_string(), number: view },
            primary: primary.to_string(),
            members: 3,
            reachable: 3,
            is_multi_primary: false,
            applier_runs: true,
            received: GtidSet::new(),
        }
    }

    #[test]
    fn a_role_is_positive_evidence() {
        let well = |place| group(place, 7, "a");
        assert_eq!(well(Place::Primary).role(false), (Role::Primary, String::new()));
        assert_eq!(well(Place::Secondary).role(true), (Role::Replica, String::new()));
        let check = |group: Group, read_only: bool, expected: &str| {
            let (role, note) = group.role(read_only);
            assert!(role == Role::Unknown && note.contains(expected), "{role:?} {note}");
        };
        check(well(Place::Primary), true, "still read-only");
        check(well(Place::Recovering), true, "joining");
        check(well(Place::Error), true, "put out");
        check(well(Place::Offline), false, "START GROUP_REPLICATION");
        check(Group { is_multi_primary: true, ..well(Place::Primary) }, false, "multi-primary");
        for place in [Place::Primary, Place::Secondary] {
            check(Group { reachable: 1, ..well(place) }, false, "hears 1 of the 3");
            check(Group { reachable: 2, members: 4, ..well(place) }, false, "no majority");
            assert!(Group { reachable: 2, ..well(place) }.is_sound());
        }
    }

    #[test]
    fn views_are_compared_within_one_life_of_a_group() {
        let view = View::parse;
        assert!(view("17:3").is_before(&view("17:12")) && !view("17:12").is_before(&view("17:12")));
        assert!(!view("17:3").is_before(&view("18:4")));
        assert_eq!((view("").to_string(), view("17:3").to_string()), (String::new(), "17:3".to_string()));
    }
}
