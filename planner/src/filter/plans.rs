//! The names of plans that a filter's `plans` may list, each with the kinds of statements that it means.

use crate::plan::Kind;

/// Names without regard to case. `REPLACE` is an insert, as in the grammar's home, and has a name of its own beside.
const NAMES: [(&str, &[Kind]); 27] = [
    ("Select", &[Kind::Select]),
    ("Insert", &[Kind::Insert, Kind::Replace]),
    ("Replace", &[Kind::Replace]),
    ("Update", &[Kind::Update]),
    ("Delete", &[Kind::Delete]),
    ("DDL", &[Kind::Ddl]),
    ("Show", &[Kind::Show]),
    ("Set", &[Kind::Set]),
    ("Use", &[Kind::Use]),
    ("Begin", &[Kind::Begin]),
    ("Commit", &[Kind::Commit]),
    ("Rollback", &[Kind::Rollback]),
    ("Savepoint", &[Kind::Savepoint]),
    ("Call", &[Kind::Call]),
    ("CallProc", &[Kind::Call]),
    ("Do", &[Kind::Do]),
    ("Explain", &[Kind::Explain]),
    ("Prepare", &[Kind::Prepare]),
    ("Load", &[Kind::Load]),
    ("Lock", &[Kind::Lock]),
    ("Admin", &[Kind::Admin]),
    ("Account", &[Kind::Account]),
    ("XA", &[Kind::Xa]),
    ("Handler", &[Kind::Handler]),
    ("Kill", &[Kind::Kill]),
    ("Diagnostics", &[Kind::Diagnostics]),
    ("Other", &[Kind::Other, Kind::Empty]),
];

/// The kinds of a list of names. Err: what is wrong and what there is.
pub(super) fn kinds(list: &str) -> Result<Vec<Kind>, String> {
    let mut kinds = Vec::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let Some((_, of)) = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
            let known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            return Err(format!("plans knows no '{name}': use some of {}", known.join(", ")));
        };
        kinds.extend_from_slice(of);
    }
    Ok(kinds)
}
