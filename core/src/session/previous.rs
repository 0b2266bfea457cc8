//! The previous statement: what a session may ask about it, as far as the gate saw it go by (S21).
//!
//! ```text
//!   ROW_COUNT()   an OK's affected rows, else -1          counted here, always known
//!   FOUND_ROWS()  the rows of the last result              counted here; the server's after SQL_CALC_FOUND_ROWS
//!   SHOW WARNINGS nothing, when there was no warning       otherwise only the connection knows them
//! ```
//! A question alone (`SELECT ROW_COUNT()`) is answered from here; one inside a larger statement needs the connection
//! where the statement ran, or one that was led into the same state.

use crate::session::{Outcome, Request};
use std::rc::Rc;
use weir_net::command::Command;
use weir_net::flavour::Flavour;
use weir_planner::{Asks, Effects, FoundRows, Kind, Plan};
use weir_pool::SlotId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Conditions in the diagnostics area.
    pub warnings: u16,
    /// Of these, what the last statement has brought: `SHOW WARNINGS` brings none and leaves the area as it is.
    pub told: u16,
    /// It failed, and may have left more conditions than its error.
    pub may_have_more: bool,
    pub row_count: i64,
    /// None: only the connection knows (`SQL_CALC_FOUND_ROWS`).
    pub found_rows: Option<u64>,
    pub place: Place,
    /// The connection of `place` counts as the statement did, and a command that counts nothing was answered since, elsewhere.
    pub count_is_older: bool,
    /// What the gate warned of itself, with a table of its own.
    pub note: Option<Rc<str>>,
}

/// A command of the gate's own on the way into a state, and its text.
pub type Way = (Command, Rc<[u8]>);

/// What a statement has made of `FOUND_ROWS()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Kept,
    Counted(u64),
    /// The connection has a new number.
    OnServer,
    /// The connection has a new number, or the one that it had.
    Unsure,
}

/// Which connection is in the state that the previous statement left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The one where it ran, while nothing else runs there. `rows`: the last result came there too, so `FOUND_ROWS()` is
    /// about it.
    On { slot: SlotId, rows: bool },
    /// Any, after a query of `found_rows` rows (0 or 1): the gate answered with rows of its own.
    AfterRows,
    /// Any, after that and a statement that does nothing: the session is new, or the gate answered with an OK.
    AfterOk,
    /// Any, after that and this `SIGNAL`: the gate answered with an error.
    AfterError(Rc<[u8]>),
}

impl Default for Previous {
    fn default() -> Previous {
        Previous {
            warnings: 0,
            told: 0,
            may_have_more: false,
            row_count: 0,
            found_rows: Some(0),
            place: Place::AfterOk,
            count_is_older: false,
            note: None,
        }
    }
}

impl Previous {
    /// A statement has ended on this connection, that makes this of `FOUND_ROWS()`.
    /// `goes_on`: nothing but this session's statements ran there since the one before.
    pub fn ran(&mut self, slot: SlotId, outcome: &Outcome, found: Found, goes_on: bool) {
        (self.warnings, self.told) = (outcome.warnings, outcome.warnings);
        self.count_is_older = false;
        self.may_have_more = outcome.error.is_some();
        self.row_count = match (outcome.error, outcome.rows) {
            (None, None) => i64::try_from(outcome.last_affected).unwrap_or(-1),
            _ => -1,
        };
        match found {
            Found::Kept => {}
            Found::Counted(rows) => self.found_rows = Some(rows),
            Found::OnServer | Found::Unsure => self.found_rows = None,
        }
        let is_there = matches!(found, Found::Counted(_) | Found::OnServer);
        let had_rows = matches!(self.place, Place::On { slot: before, rows: true } if before == slot);
        self.place = Place::On { slot, rows: is_there || (had_rows && goes_on) };
    }

    /// A command that is no statement was answered there; it leaves what it finds, which may be another session's.
    pub fn passed_by(&mut self, slot: SlotId, goes_on: bool) {
        if !goes_on && self.is_on(slot) {
            self.place = Place::On { slot: NOWHERE, rows: false };
        }
    }

    /// A command that is no statement was answered, by this connection or by the gate: an OK says that it changed so many rows, an EOF
    /// that it had rows.
    pub fn commanded(&mut self, command: Command, failed: bool, ran_on: Option<SlotId>) {
        let is_there = ran_on.is_some_and(|slot| self.is_on(slot));
        if failed {
            (self.warnings, self.told) = (1, 1);
            if let Some(slot) = ran_on.filter(|_| !is_there) {
                self.place = Place::On { slot, rows: false };
            }
        }
        self.row_count = match command {
            Command::Ping | Command::InitDb | Command::StmtReset if !failed => 0,
            Command::SetOption | Command::Debug if !failed => -1,
            Command::InitDb => -1,
            _ => return,
        };
        self.count_is_older = self.row_count == 0 && !is_there && matches!(self.place, Place::On { .. });
        // Where it ran nobody else need know: another connection can be led there.
        let rests_there = self.count_is_older || is_there || self.warnings > 0;
        if !rests_there {
            self.place = if self.row_count == 0 { Place::AfterOk } else { Place::AfterRows };
        }
    }

    /// An execute whose parameters do not fit is refused before the conditions of the statement before it are cleared (seen on 9.7): its
    /// error is one more of them, and where another session's statement ran before, that one's would be shown.
    pub fn was_refused_early(&mut self, request: &Request, slot: SlotId, goes_on: bool) -> bool {
        const WRONG_ARGUMENTS: u16 = 1210;
        if request.command != Command::StmtExecute || request.outcome.error != Some(WRONG_ARGUMENTS) {
            return false;
        }
        let (before, knows_it) = (self.warnings, goes_on && self.is_on(slot));
        if before == 0 && !knows_it {
            self.failed(WRONG_ARGUMENTS, b"HY000", "Incorrect arguments to mysqld_stmt_execute");
            return true;
        }
        (self.warnings, self.row_count) = (before.saturating_add(1), -1);
        (self.told, self.may_have_more) = (self.warnings, false);
        if !knows_it {
            self.place = Place::On { slot: NOWHERE, rows: false };
        }
        true
    }

    /// The connection was reset. `FOUND_ROWS()` alone stays (seen on 9.7).
    pub fn reset(&mut self) {
        *self = Previous { found_rows: self.found_rows, ..Previous::default() };
    }

    /// The gate itself has answered a query with so many rows.
    pub fn answered(&mut self, rows: usize, warnings: u16) {
        let found_rows = Some(rows as u64);
        let place = Place::AfterRows;
        *self = Previous { warnings, told: warnings, row_count: -1, found_rows, place, ..Previous::default() };
    }

    /// The gate has answered a statement with an OK of its own.
    pub fn done(&mut self) {
        *self = Previous { found_rows: self.found_rows, ..Previous::default() };
    }

    /// The gate has answered a statement with an error of its own.
    pub fn failed(&mut self, code: u16, state: &[u8; 5], message: &str) {
        let quoted = message.replace('\\', "/").replace('\'', "''");
        let state = String::from_utf8_lossy(state);
        let signal = format!("SIGNAL SQLSTATE '{state}' SET MYSQL_ERRNO={code}, MESSAGE_TEXT='{quoted}'");
        let place = Place::AfterError(Rc::from(signal.into_bytes()));
        let found_rows = self.found_rows;
        *self = Previous { warnings: 1, told: 1, row_count: -1, found_rows, place, ..Previous::default() };
    }

    /// An unknown command was refused: its error is one more, behind what is there.
    pub fn failed_also(&mut self, before: u16) {
        self.told = before.saturating_add(1);
    }

    /// Nothing else has run there since, if nothing but the session's statements has.
    pub fn is_on(&self, slot: SlotId) -> bool {
        matches!(self.place, Place::On { slot: on, .. } if on == slot)
    }

    /// The connection has told how many conditions there are, or has not.
    pub fn conditions_told(&mut self, count: Option<u16>) {
        self.may_have_more = false;
        if let Some(count) = count {
            (self.warnings, self.told) = (count, count);
        }
    }

    /// Lets go of the connection where the statement ran. False: nothing else can be led into its state.
    pub fn leave(&mut self, asks: Asks) -> bool {
        let place = match self.row_count {
            // Who does not ask about the conditions, clears them.
            _ if self.warnings > 0 && asks.contains(Asks::DIAGNOSTICS) => return false,
            -1 => Place::AfterRows,
            0 => Place::AfterOk,
            _ if asks.contains(Asks::ROW_COUNT) => return false,
            _ => Place::AfterOk,
        };
        let left = Previous { place, count_is_older: false, ..self.clone() };
        // That there is one does not depend on the flavour.
        let possible = left.way(asks, Flavour::Mysql).is_some();
        if possible {
            *self = left;
        }
        possible
    }

    /// The commands that lead a connection into the state; none when one is in it, None when there is no way.
    ///
    /// MariaDB clears the conditions of earlier statements, whoever's, only for one that reads a table, if need be a derived one.
    pub fn way(&self, asks: Asks, flavour: Flavour) -> Option<Vec<Way>> {
        let rows: &[u8] = match self.found_rows {
            Some(0) if flavour == Flavour::MariaDb => b"SELECT 1 FROM (SELECT 1) AS t LIMIT 0",
            Some(0) => b"SELECT 1 LIMIT 0",
            // With its warning, which is asked about.
            Some(1) if self.warnings > 0 && self.note.is_none() && self.place == Place::AfterRows => {
                b"SELECT FOUND_ROWS() LIMIT 1"
            }
            Some(1) if flavour == Flavour::Mysql => ASK_ONE_ROW,
            Some(1) => CLEARS,
            _ if asks.contains(Asks::FOUND_ROWS) => return None,
            _ if flavour == Flavour::MariaDb => CLEARS,
            _ => ASK_ONE_ROW,
        };
        let says = |text: &[u8]| (Command::Query, Rc::from(text));
        let mut way = vec![says(rows)];
        match &self.place {
            Place::On { .. } => way.clear(),
            Place::AfterRows => {}
            // Not `DO`, which counts a row.
            Place::AfterOk => way.push(says(b"SET last_insert_id=LAST_INSERT_ID()")),
            Place::AfterError(signal) => way.push((Command::Query, signal.clone())),
        }
        // An OK behind them that leaves the conditions alone, as the client's command did (`commanded`).
        let counts_otherwise = match self.place {
            Place::On { .. } => self.count_is_older && asks.contains(Asks::ROW_COUNT),
            Place::AfterOk => false,
            Place::AfterRows | Place::AfterError(_) => self.row_count == 0,
        };
        if counts_otherwise {
            way.push((Command::Ping, Rc::default()));
        }
        Some(way)
    }
}

/// No pool gives it out.
const NOWHERE: SlotId = SlotId { index: u32::MAX, generation: 0 };

/// Behind it one row was found, and the count of changed rows is -1, which a `CALL` answers with as 0.
pub const ASK_ONE_ROW: &[u8] = b"SELECT 1 LIMIT 1";

/// Takes MariaDB's conditions off a connection.
pub const CLEARS: &[u8] = b"SELECT 1 FROM (SELECT 1) AS t";

/// Questions that need a connection in the state that the previous statement left behind.
pub const ABOUT_PREVIOUS: Asks = Asks::DIAGNOSTICS.union(Asks::ROW_COUNT).union(Asks::FOUND_ROWS);

/// Commands that leave the diagnostics area as it is, and answer with the count of what is in it.
pub fn keeps_diagnostics(command: Command) -> bool {
    matches!(
        command,
        Command::Ping
            | Command::InitDb
            | Command::Debug
            | Command::SetOption
            | Command::Statistics
            | Command::StmtSendLongData
            | Command::StmtClose
    )
}

/// What the statement that has ended made of `FOUND_ROWS()`.
pub(crate) fn found_rows(request: &Request) -> Found {
    let outcome = &request.outcome;
    let Some(plan) = request.plan.as_ref() else { return Found::Kept };
    let runs_several = Effects::CALL | Effects::TEXT_EXECUTE;
    // `EXECUTE` of what is not prepared runs nothing.
    let is_unprepared = plan.kind == Kind::Prepare && outcome.error == Some(1243);
    if is_unprepared || outcome.error.is_some() && !plan.effects.intersects(runs_several) && plan.kind != Kind::Multi {
        return Found::Kept;
    }
    if request.command == Command::StmtPrepare {
        return Found::Kept;
    }
    match (plan.found_rows, outcome.rows) {
        (FoundRows::Kept, _) => Found::Kept,
        (FoundRows::Shown, Some(rows)) if !plan.effects.contains(Effects::CALC_FOUND_ROWS) => Found::Counted(rows),
        (FoundRows::Shown, _) => Found::OnServer,
        (FoundRows::Unsure, _) => Found::Unsure,
    }
}

/// Preparing answers with no OK of the usual kind, and what reads the diagnostics leaves them alone.
pub(crate) fn keeps_row_count(request: &Request) -> bool {
    let is_get = |plan: &Plan| plan.kind == Kind::Diagnostics && plan.effects.contains(Effects::SET_USER_VARIABLE);
    request.outcome.error.is_none()
        && (request.command == Command::StmtPrepare || request.plan.as_ref().is_some_and(|plan| is_get(plan)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_leads_into_the_state() {
        let shown = |previous: &Previous, asks| {
            let way = previous.way(asks, Flavour::Mysql)?;
            let said = |(command, text): &Way| match command {
                Command::Query => String::from_utf8_lossy(text).into_owned(),
                other => format!("{other:?}"),
            };
            Some(way.iter().map(said).collect::<Vec<_>>().join("; "))
        };
        let mut previous = Previous::default();
        assert_eq!(shown(&previous, ABOUT_PREVIOUS).unwrap(), "SELECT 1 LIMIT 0; SET last_insert_id=LAST_INSERT_ID()");
        previous.answered(1, 0);
        assert_eq!(shown(&previous, ABOUT_PREVIOUS).unwrap(), "SELECT 1 LIMIT 1");
        previous.answered(2, 0);
        assert_eq!(shown(&previous, Asks::FOUND_ROWS), None);
        assert_eq!(shown(&previous, Asks::ROW_COUNT).unwrap(), "SELECT 1 LIMIT 1");
        previous.failed(1105, b"HY000", "it's gone");
        let signal = "SELECT 1 LIMIT 1; SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO=1105, MESSAGE_TEXT='it''s gone'";
        assert_eq!(shown(&previous, Asks::DIAGNOSTICS).unwrap(), signal);
        assert_eq!((previous.row_count, previous.warnings), (-1, 1));
        previous.commanded(Command::InitDb, false, None);
        assert_eq!(shown(&previous, Asks::DIAGNOSTICS).unwrap(), signal.to_owned() + "; Ping");
        let on = Place::On { slot: SlotId { index: 0, generation: 0 }, rows: false };
        let mut previous = Previous { warnings: 1, told: 1, row_count: -1, place: on, ..Previous::default() };
        assert!(!previous.leave(Asks::DIAGNOSTICS.union(Asks::ROW_COUNT)), "only the connection knows its error");
        assert!(previous.leave(Asks::ROW_COUNT) && previous.place == Place::AfterRows);
    }
}
