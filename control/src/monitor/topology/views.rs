//! The newest view of each replication group that any member was seen in.
//!
//! Invariant: views only grow, so a primary that was frozen or cut off, and wakes up in the view that it was in, is not believed
//! when another has followed it (S75). An older view alone says nothing: members are looked at one after the other.

use crate::monitor::group::{Group, Place, View};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct Views {
    /// By the group's name, with the primary in it. A group that was bootstrapped anew replaces what was before it.
    newest: BTreeMap<String, (View, String)>,
}

impl Views {
    /// Only a member that has a majority tells of its group.
    pub fn handle(&mut self, group: &Group) {
        if !group.is_sound() || group.primary.is_empty() {
            return;
        }
        let (view, primary) = self.newest.entry(group.name.clone()).or_default();
        if !group.view.is_before(view) {
            view.clone_from(&group.view);
            primary.clone_from(&group.primary);
        }
    }

    /// It takes itself for the primary, and a newer view has another.
    pub fn is_outdated(&self, group: &Group) -> bool {
        group.place == Place::Primary
            && self
                .newest
                .get(&group.name)
                .is_some_and(|(view, primary)| group.view.is_before(view) && *primary != group.primary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::group::tests::group;

    #[test]
    fn an_older_view_counts_until_another_primary_is_seen() {
        let mut views = Views::default();
        let former = group(Place::Primary, 3, "a");
        views.handle(&former);
        // A member joins, and the others are not looked at yet.
        views.handle(&group(Place::Secondary, 4, "a"));
        assert!(!views.is_outdated(&former));
        // A view of a minority is none.
        views.handle(&Group { reachable: 1, ..group(Place::Primary, 5, "b") });
        assert!(!views.is_outdated(&former));
        views.handle(&group(Place::Secondary, 5, "b"));
        assert!(views.is_outdated(&former) && !views.is_outdated(&group(Place::Primary, 5, "b")));
        views.handle(&former);
        assert!(views.is_outdated(&former), "it never goes back");
        assert!(!views.is_outdated(&group(Place::Secondary, 3, "a")), "its reads are as fresh as its set");
        views.handle(&Group { view: View::parse("18:1"), ..group(Place::Primary, 1, "c") });
        assert!(!views.is_outdated(&former), "another life of the group: two claim it, and nobody is believed");
    }
}
