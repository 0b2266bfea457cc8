//! The previous statement: what a session may ask about it, as far as the gate saw it go by (S21).
//!
//! ```text
//!   ROW_COUNT()   an OK's affected rows, else -1          counted here, always known
//!   FOUND_ROWS()  the rows of the last result              counted here; the server's after SQL_CALC_FOUND_ROWS
//!   SHOW WARNINGS nothing, when there was no warning       otherwise only the connection knows them
//! ```
//! A question alone (`SELECT ROW_COUNT()`) is answered from here; one inside a larger statement needs the connection
//! where the statement ran, or one that was led into the same state.

use crate::session::Outcome;
use std::rc::Rc;
use weir_net::command::Command;
use weir_planner::Asks;
use weir_pool::SlotId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Conditions in the diagnostics area.
    pub warnings: u16,
    /// Of these, what the last statement has brought: `SHOW WARNINGS` brings none and leaves the area as it is.
    pub told: u16,
    pub row_count: i64,
    /// None: only the connection knows (`SQL_CALC_FOUND_ROWS`).
    pub found_rows: Option<u64>,
    pub place: Place,
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
        Previous { warnings: 0, told: 0, row_count: 0, found_rows: Some(0), place: Place::AfterOk }
    }
}

impl Previous {
    /// A statement has ended on this connection. `counted`: `FOUND_ROWS()` is the number of rows that went by.
    /// `goes_on`: nothing but this session's statements ran there since the one before.
    pub fn ran(&mut self, slot: SlotId, outcome: &Outcome, counted: bool, goes_on: bool) {
        (self.warnings, self.told) = (outcome.warnings, outcome.warnings);
        self.row_count = match (outcome.error, outcome.rows) {
            (None, None) => i64::try_from(outcome.last_affected).unwrap_or(-1),
            _ => -1,
        };
        if outcome.rows.is_some() {
            self.found_rows = outcome.rows.filter(|_| counted);
        }
        let had_rows = matches!(self.place, Place::On { slot: before, rows: true } if before == slot);
        self.place = Place::On { slot, rows: outcome.rows.is_some() || (had_rows && goes_on) };
    }

    /// The gate itself has answered a query with so many rows.
    pub fn answered(&mut self, rows: usize, warnings: u16) {
        let found_rows = Some(rows as u64);
        *self = Previous { warnings, told: warnings, row_count: -1, found_rows, place: Place::AfterRows };
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
        *self = Previous { warnings: 1, told: 1, row_count: -1, found_rows: self.found_rows, place };
    }

    /// Lets go of the connection where the statement ran. False: nothing else can be led into its state.
    pub fn leave(&mut self, asks: Asks) -> bool {
        let place = match self.row_count {
            _ if self.warnings > 0 => return false,
            -1 => Place::AfterRows,
            0 => Place::AfterOk,
            _ if asks.contains(Asks::ROW_COUNT) => return false,
            _ => Place::AfterOk,
        };
        let left = Previous { place, ..self.clone() };
        let possible = left.way(asks).is_some();
        if possible {
            *self = left;
        }
        possible
    }

    /// The statements that lead a connection into the state; none when one is in it, None when there is no way.
    pub fn way(&self, asks: Asks) -> Option<Vec<Rc<[u8]>>> {
        let rows: &[u8] = match self.found_rows {
            Some(0) => b"SELECT 1 LIMIT 0",
            Some(1) => b"SELECT 1",
            _ if asks.contains(Asks::FOUND_ROWS) => return None,
            _ => b"SELECT 1",
        };
        let mut way = vec![Rc::from(rows)];
        match &self.place {
            Place::On { .. } => way.clear(),
            Place::AfterRows => {}
            Place::AfterOk => way.push(Rc::from(&b"DO 0"[..])),
            Place::AfterError(signal) => way.push(signal.clone()),
        }
        Some(way)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_leads_into_the_state() {
        let shown = |previous: &Previous, asks| {
            let way = previous.way(asks)?;
            Some(way.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>().join("; "))
        };
        let mut previous = Previous::default();
        assert_eq!(shown(&previous, ABOUT_PREVIOUS).unwrap(), "SELECT 1 LIMIT 0; DO 0");
        previous.answered(1, 0);
        assert_eq!(shown(&previous, ABOUT_PREVIOUS).unwrap(), "SELECT 1");
        previous.answered(2, 0);
        assert_eq!(shown(&previous, Asks::FOUND_ROWS), None);
        assert_eq!(shown(&previous, Asks::ROW_COUNT).unwrap(), "SELECT 1");
        previous.failed(1105, b"HY000", "it's gone");
        let signal = "SELECT 1; SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO=1105, MESSAGE_TEXT='it''s gone'";
        assert_eq!(shown(&previous, Asks::DIAGNOSTICS).unwrap(), signal);
        assert_eq!((previous.row_count, previous.warnings), (-1, 1));
    }
}
