//! The judge: what is in the servers, beside what clients were told.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::Report;
use super::books::{Books, Entry, Outcome};
use super::stage::{ACCOUNTS, EXECUTED, SCHEMA, Stage};
use crate::error::Fault;

/// All is whole and at rest.
pub fn judge(stage: &Stage, books: &Books, report: &mut Report) -> Result<(), Fault> {
    let primary = stage.primary().ok_or_else(|| Fault::Program("nobody is primary".to_owned()))?;
    report.wrong = books.wrong();
    report.errors = books.errors();
    report.visits = books.visits.load(Ordering::Relaxed);
    report.done = [0, 1, 2, 3].map(|at: usize| books.done[at].load(Ordering::Relaxed));
    let executed = stage.cell(primary, EXECUTED);
    for at in 0..stage.members.len() {
        if stage.cell(at, EXECUTED) != executed {
            report.wrong.push(format!("{} has executed something else than the primary", stage.members[at].name));
        }
        let sum = stage.cell(at, &format!("SELECT SUM(n) FROM {SCHEMA}.accounts"));
        if sum != Some((ACCOUNTS * 1000).to_string()) {
            report.wrong.push(format!("the accounts of {} add up to {sum:?}", stage.members[at].name));
        }
    }
    let mut rows: BTreeMap<Entry, u64> = BTreeMap::new();
    for row in stage.server(primary).sql(&format!("SELECT client, n FROM {SCHEMA}.ledger"))? {
        let cell = |at: usize| row.get(at).and_then(|cell| cell.parse::<u64>().ok()).unwrap_or(0);
        *rows.entry((cell(0) as u32, cell(1))).or_default() += 1;
    }
    for (entry, outcome) in books.entries() {
        report.unresolved[0] += u64::from(outcome == Outcome::Found);
        report.unresolved[1] += u64::from(matches!(outcome, Outcome::Unknown | Outcome::Begun));
        let times = rows.remove(&entry).unwrap_or(0);
        let wrong = match (outcome, times) {
            (Outcome::Acknowledged | Outcome::Found, 1)
            | (Outcome::NotRun, 0)
            | (Outcome::Unknown | Outcome::Begun, 0 | 1) => continue,
            (Outcome::Acknowledged, 0) if !stage.durability.is_strict() => {
                report.lost += 1;
                continue;
            }
            (Outcome::Found, 0) => "was said to be committed, and is not there".to_owned(),
            (Outcome::Acknowledged, 0) => "was acknowledged and is not there".to_owned(),
            (Outcome::NotRun, times) => format!("was said not to have run, and is there {times} times"),
            (_, times) => format!("is there {times} times"),
        };
        report.wrong.push(format!("{entry:?} {wrong}"));
    }
    for (entry, _) in rows {
        report.wrong.push(format!("{entry:?} is there and nobody wrote it"));
    }
    Ok(())
}
