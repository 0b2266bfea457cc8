//! The topology as a table: who is what, where, by whose word.

use super::{Scene, row};
use crate::config::address;
use crate::monitor::topology::role_name;
use crate::status::{health_name, phase_name};
use weir_core::show::Shown;

pub fn table(scene: &Scene<'_>) -> Shown {
    let cluster = scene.picture.cluster.as_ref();
    let record = cluster.and_then(|cluster| cluster.record.as_deref());
    let mut shown = Shown { columns: COLUMNS.to_vec(), rows: Vec::new(), note: None };
    for (at, (view, note)) in scene.picture.backends.iter().enumerate() {
        let member = record.is_some_and(|record| record.members.contains_key(&view.name));
        let is_configured = scene.config.backends.iter().any(|backend| backend.name == view.name);
        let learnt_from = match (member, is_configured) {
            (true, _) => "controllers",
            (false, true) => "configuration",
            (false, false) => "discovery",
        };
        let looked_at_by = match scene.tablets.get(at) {
            Some(Some(tablet)) => format!("tablet {tablet}"),
            _ => "gate".to_string(),
        };
        let cells: [&dyn ToString; 13] = [
            &record.map_or("", |record| &record.cluster),
            &view.name,
            &role_name(view.role),
            &address::show(&view.address),
            &health_name(view.health),
            &view.lag_ms.map_or("unknown".to_string(), |lag| lag.to_string()),
            &view.weight,
            &view.zone,
            &record.map_or(0, |record| record.epoch.number()),
            &record.map_or("", |record| phase_name(&record.phase)),
            &learnt_from,
            &looked_at_by,
            note,
        ];
        shown.rows.push(row(cells));
    }
    if let Some(cluster) = cluster.filter(|cluster| !cluster.why.is_empty()) {
        shown.note(format!("no controller takes this gate's registration: {}", cluster.why));
    }
    shown
}

const COLUMNS: [&str; 13] = [
    "cluster",
    "server",
    "role",
    "address",
    "state",
    "lag_ms",
    "weight",
    "zone",
    "epoch",
    "phase",
    "learnt_from",
    "looked_at_by",
    "note",
];
