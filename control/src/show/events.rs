//! The events as a table, oldest first.

use super::row;
use crate::gate::events::Events;
use crate::utc;
use weir_core::show::Shown;

pub fn table(events: &Events) -> Shown {
    let rows = events.each().map(|event| row([&utc::show(event.at), &event.kind, &event.subject, &event.text]));
    Shown { columns: vec!["time", "kind", "subject", "text"], rows: rows.collect(), note: None }
}
