//! A server's word about its replication group, on the wire.

use super::{Unreadable, set};
use crate::grpc::proto::{TabletGroup, TabletPlace};
use crate::monitor::group::{Group, Place, View};

pub fn write(group: &Group) -> TabletGroup {
    TabletGroup {
        name: group.name.clone(),
        place: match group.place {
            Place::Primary => TabletPlace::Primary,
            Place::Secondary => TabletPlace::Secondary,
            Place::Recovering => TabletPlace::Recovering,
            Place::Error => TabletPlace::Error,
            Place::Offline => TabletPlace::Offline,
        } as i32,
        view: group.view.to_string(),
        primary: group.primary.clone(),
        members: group.members,
        reachable: group.reachable,
        multi_primary: group.is_multi_primary,
        applier_runs: group.applier_runs,
        received: group.received.to_string(),
    }
}

pub fn read(group: TabletGroup) -> Result<Group, Unreadable> {
    Ok(Group {
        place: match TabletPlace::try_from(group.place) {
            Ok(TabletPlace::Primary) => Place::Primary,
            Ok(TabletPlace::Secondary) => Place::Secondary,
            Ok(TabletPlace::Recovering) => Place::Recovering,
            Ok(TabletPlace::Offline) => Place::Offline,
            Ok(TabletPlace::Error | TabletPlace::Unspecified) | Err(_) => Place::Error,
        },
        name: group.name,
        view: View::parse(&group.view),
        primary: group.primary,
        members: group.members,
        reachable: group.reachable,
        is_multi_primary: group.multi_primary,
        applier_runs: group.applier_runs,
        received: set(&group.received)?,
    })
}
