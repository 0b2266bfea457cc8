//! The backends as a table: the same on every core, since all have control's snapshot.

use super::Shown;
use crate::snapshot::BackendView;

pub fn table(views: &[BackendView]) -> Shown {
    let row = |view: &BackendView| {
        vec![
            view.name.clone(),
            format!("{:?}", view.role),
            format!("{:?}", view.health),
            view.lag_ms.map_or("unknown".into(), |lag| lag.to_string()),
            view.weight.to_string(),
            view.version.clone(),
            view.executed.to_string(),
            view.zone.clone(),
            u8::from(view.read_only).to_string(),
            view.queries_per_second.to_string(),
            view.threads_connected.to_string(),
            view.threads_running.to_string(),
        ]
    };
    Shown { columns: COLUMNS.to_vec(), rows: views.iter().map(row).collect(), note: None }
}

const COLUMNS: [&str; 12] = [
    "backend",
    "role",
    "health",
    "lag_ms",
    "weight",
    "version",
    "executed",
    "zone",
    "read_only",
    "queries_per_second",
    "threads_connected",
    "threads_running",
];
