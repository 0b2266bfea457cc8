//! What the cores hold, as tables: sessions, pins, pools. The core stands last in each row, so that scripts that count columns go on.

use super::row;
use crate::status::Picture;
use std::collections::BTreeMap;
use weir_core::show::Shown;

pub fn table(picture: &Picture) -> Shown {
    let columns = vec!["connection_id", "user", "peer", "schema", "phase", "backend", "pins", "listener", "core"];
    let mut shown = Shown { columns, rows: Vec::new(), note: None };
    for report in &picture.reports {
        for s in &report.sessions {
            let listener = picture.listen.get(usize::from(s.listener.0)).map_or("", String::as_str);
            let cells: [&dyn ToString; 9] =
                [&s.connection_id, &s.user, &s.peer, &s.schema, &s.phase, &s.backend, &s.pins, &listener, &report.core];
            shown.rows.push(row(cells));
        }
        if report.sessions_untold > 0 {
            shown.note(format!("core {} has {} sessions more", report.core, report.sessions_untold));
        }
    }
    shown
}

pub fn pins(picture: &Picture) -> Shown {
    let columns = vec!["connection_id", "user", "backend", "reason", "statement", "age_ms", "core"];
    let rows = picture.reports.iter().flat_map(|report| {
        report.pins.iter().map(|pin| {
            let cells: [&dyn ToString; 7] =
                [&pin.connection_id, &pin.user, &pin.backend, &pin.reason, &pin.statement, &pin.age_ms, &report.core];
            row(cells)
        })
    });
    Shown { columns, rows: rows.collect(), note: None }
}

/// How often sessions of each user were pinned since the start, by reason, and how many are now.
pub fn pins_by_account(picture: &Picture) -> Shown {
    let mut times: BTreeMap<(&str, &str), (usize, u64)> = BTreeMap::new();
    for report in &picture.reports {
        for (user, reason, ever) in &report.pins_ever {
            let held = report.pins.iter().filter(|pin| pin.user == *user && pin.reason == *reason).count();
            let sum = times.entry((user, reason)).or_default();
            *sum = (sum.0 + held, sum.1 + ever);
        }
    }
    let rows = times.into_iter().map(|((user, reason), (now, ever))| row([&user, &reason, &now, &ever]));
    Shown { columns: vec!["user", "reason", "pinned_now", "times"], rows: rows.collect(), note: None }
}

pub fn pools(picture: &Picture) -> Shown {
    let columns = vec!["backend", "quota", "open", "idle", "leased", "waiting", "commands", "core"];
    let rows = picture.reports.iter().flat_map(|report| {
        report
            .pools
            .iter()
            .map(|p| row([&p.backend, &p.quota, &p.open, &p.idle, &p.leased, &p.waiting, &p.commands, &report.core]))
    });
    Shown { columns, rows: rows.collect(), note: None }
}
