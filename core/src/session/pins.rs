//! Why a session keeps its connection between transactions: one bit for each reason, with its words.
//!
//! Invariant: a session with no bit set and no transaction gives its connection back after each command.
//! Rules: S24, S25, S26, S42 and "unknown means primary, pinned, not retried".

use crate::session::Outcome;
use crate::session::trackers::ONE_ROW;
use crate::time::Instant;
use weir_planner::variables::{Carry, carry};
use weir_planner::{Effects, Plan, Scope};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $bit:expr, $words:expr;)*) => {
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Reasons(pub u32);
        impl Reasons {
            $($(#[$doc])* pub const $name: Reasons = Reasons(1 << $bit);)*
            /// The words of each reason that is set.
            pub fn words(self) -> impl Iterator<Item = &'static str> {
                const ALL: &[(u32, &str)] = &[$((1 << $bit, $words)),*];
                ALL.iter().filter(move |(bit, _)| self.0 & bit != 0).map(|(_, words)| *words)
            }
        }
    };
}

reasons! {
    TEMPORARY_TABLE = 0, "a temporary table";
    TABLE_LOCKS = 1, "LOCK TABLES";
    GLOBAL_READ_LOCK = 2, "FLUSH TABLES WITH READ LOCK";
    BACKUP_LOCK = 3, "LOCK INSTANCE FOR BACKUP";
    USER_LOCK = 4, "GET_LOCK";
    HANDLER = 5, "an open HANDLER";
    XA = 6, "an XA transaction";
    USER_VARIABLE = 7, "a user variable";
    /// A session variable that cannot be carried to another connection.
    VARIABLE = 8, "a session variable that cannot be carried to another connection";
    TRANSACTION_ONCE = 9, "SET TRANSACTION for the next transaction";
    CURSOR = 10, "an open cursor";
    LONG_DATA = 11, "long data of a prepared statement";
    TEXT_PREPARE = 12, "a statement prepared by PREPARE";
    CALL = 13, "a stored procedure or function may have changed the session";
    UNKNOWN = 14, "a statement that the planner does not understand";
    SAVEPOINT = 15, "a savepoint before the transaction has begun";
    DIAGNOSTICS = 16, "warnings or an error that may be asked for";
    FOUND_ROWS = 18, "FOUND_ROWS() may be asked for";
    ROLE = 19, "SET ROLE";
    BINLOG = 20, "a binary log stream";
    /// What type the variable had when the statement was prepared, the statement keeps for good (seen on 9.7).
    PREPARED_READS = 21, "a prepared statement that reads a user variable";
    /// Where the password is changed, the session goes on; another connection would be asked for with the former one.
    EXPIRED = 22, "an expired password";
}

impl Reasons {
    /// Reasons that last until the next statement, and may be given up before it for others who wait: a question that
    /// comes after all is then answered with an error, never wrongly.
    pub const SOFT: Reasons = Reasons(Self::DIAGNOSTICS.0 | Self::FOUND_ROWS.0);

    /// Those that prepared statements have, and that end with the last such one.
    pub const OF_STATEMENTS: Reasons = Reasons(Self::CURSOR.0 | Self::LONG_DATA.0 | Self::PREPARED_READS.0);

    pub fn contains(self, other: Reasons) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn intersects(self, other: Reasons) -> bool {
        self.0 & other.0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn without(self, other: Reasons) -> Reasons {
        Reasons(self.0 & !other.0)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Pins {
    reasons: Reasons,
    since: Instant,
    /// The first words of the statement that pinned.
    statement: Box<str>,
}

impl Pins {
    pub fn reasons(&self) -> Reasons {
        self.reasons
    }

    pub fn since(&self) -> Instant {
        self.since
    }

    pub fn statement(&self) -> &str {
        &self.statement
    }

    pub fn is_empty(&self) -> bool {
        self.reasons.is_empty()
    }

    pub fn add(&mut self, now: Instant, reasons: Reasons, statement: &str) {
        if reasons.0 & !self.reasons.0 == 0 {
            return;
        }
        if self.reasons.is_empty() {
            self.since = now;
            self.statement = statement.into();
        }
        self.reasons.0 |= reasons.0;
    }

    pub fn drop(&mut self, reasons: Reasons) {
        self.reasons.0 &= !reasons.0;
        if self.reasons.is_empty() {
            self.statement = Box::default();
        }
    }

    pub fn clear(&mut self) {
        *self = Pins::default();
    }
}

/// What a statement pins when it succeeds or may have had an effect before it failed.
pub fn of_plan(plan: &Plan) -> Reasons {
    const TABLE: &[(Effects, Reasons)] = &[
        (Effects::TEMP_TABLE_CREATE, Reasons::TEMPORARY_TABLE),
        (Effects::LOCK_TABLES, Reasons::TABLE_LOCKS),
        (Effects::GLOBAL_READ_LOCK, Reasons::GLOBAL_READ_LOCK),
        (Effects::BACKUP_LOCK, Reasons::BACKUP_LOCK),
        (Effects::GET_LOCK, Reasons::USER_LOCK),
        (Effects::HANDLER_OPEN, Reasons::HANDLER),
        (Effects::XA_START, Reasons::XA),
        (Effects::SET_USER_VARIABLE, Reasons::USER_VARIABLE),
        (Effects::SET_TRANSACTION_ONCE, Reasons::TRANSACTION_ONCE),
        (Effects::CALL, Reasons::CALL),
        (Effects::UNKNOWN_FUNCTION, Reasons::CALL),
        (Effects::UNKNOWN, Reasons::UNKNOWN),
        (Effects::CALC_FOUND_ROWS, Reasons::FOUND_ROWS),
    ];
    let mut reasons = Reasons::default();
    let effects = plan.effects_on_session();
    for (effect, reason) in TABLE {
        if effects.contains(*effect) {
            reasons.0 |= reason.0;
        }
    }
    let carried = |assign: &weir_planner::Assign| match assign.scope {
        // `insert_id` holds for one statement; the other two are the session's LAST_INSERT_ID(), which is carried.
        Scope::Session if matches!(&*assign.name, "last_insert_id" | "identity") => true,
        Scope::Session => carry(&assign.name, assign.value.as_deref().unwrap_or_default()) != Carry::Pin,
        Scope::User | Scope::Role | Scope::Once | Scope::Global | Scope::Persist | Scope::PersistOnly => true,
    };
    if !plan.assigns.iter().all(carried) {
        reasons.0 |= Reasons::VARIABLE.0;
    }
    reasons
}

/// What is counted so that a pin ends with the last of it (S25).
#[derive(Clone, Debug, Default)]
pub struct Held {
    temporary_tables: u32,
    handlers: u32,
    /// Names of user locks as they were written.
    locks: Vec<Box<[u8]>>,
    /// A user lock whose name is not known.
    nameless_lock: bool,
}

impl Held {
    /// After a statement that succeeded, with so many warnings: the reasons that have gone with the last of their kind.
    pub fn settle(&mut self, plan: &Plan, warnings: u16) -> Reasons {
        let mut ended = Reasons::default();
        let counts = plan.statements == 1;
        let has = |effect| plan.effects.contains(effect);
        if has(Effects::TEMP_TABLE_CREATE) {
            // With `IF NOT EXISTS` it may have been there: then one too many is counted, and the pin stays.
            self.temporary_tables = if counts { self.temporary_tables.saturating_add(1) } else { u32::MAX };
        } else if has(Effects::TEMP_TABLE_DROP) && counts && warnings == 0 && self.temporary_tables != u32::MAX {
            self.temporary_tables = self.temporary_tables.saturating_sub(u32::from(plan.dropped));
            if self.temporary_tables == 0 {
                ended.0 |= Reasons::TEMPORARY_TABLE.0;
            }
        }
        if has(Effects::HANDLER_OPEN) {
            self.handlers = if counts { self.handlers.saturating_add(1) } else { u32::MAX };
        } else if has(Effects::HANDLER_CLOSE) && counts && self.handlers != u32::MAX {
            self.handlers = self.handlers.saturating_sub(1);
            if self.handlers == 0 {
                ended.0 |= Reasons::HANDLER.0;
            }
        }
        if has(Effects::RELEASE_ALL_LOCKS) {
            (self.locks, self.nameless_lock) = (Vec::new(), false);
        }
        if has(Effects::GET_LOCK) {
            self.nameless_lock |= plan.locks.is_empty();
            for name in plan.locks.iter().filter(|name| !self.locks.contains(name)).cloned().collect::<Vec<_>>() {
                self.locks.push(name);
            }
        }
        ended
    }

    /// After a release: which locks are left, for the server to say; None: it cannot be asked, or need not.
    pub fn question(&self, plan: &Plan) -> Option<Vec<u8>> {
        if !plan.effects.contains(Effects::RELEASE_LOCK) || self.nameless_lock || self.locks.is_empty() {
            return None;
        }
        let mut text = b"SELECT ".to_vec();
        for (n, name) in self.locks.iter().enumerate() {
            if n > 0 {
                text.push(b',');
            }
            text.extend_from_slice(b"IS_USED_LOCK(");
            text.extend_from_slice(name);
            text.extend_from_slice(b")=CONNECTION_ID()");
        }
        text.extend_from_slice(ONE_ROW);
        Some(text)
    }

    /// The server's answer; true when no lock is left.
    pub fn locks_told(&mut self, values: &[Vec<u8>]) -> bool {
        let mut values = values.iter();
        self.locks.retain(|_| values.next().is_none_or(|value| value == b"1"));
        self.locks.is_empty()
    }
}

/// What a statement ends when it succeeds.
pub fn ended_by_plan(plan: &Plan) -> Reasons {
    const TABLE: &[(Effects, Reasons)] = &[
        (Effects::UNLOCK_TABLES, Reasons(Reasons::TABLE_LOCKS.0 | Reasons::GLOBAL_READ_LOCK.0)),
        (Effects::BACKUP_UNLOCK, Reasons::BACKUP_LOCK),
        (Effects::RELEASE_ALL_LOCKS, Reasons::USER_LOCK),
        // A transaction of its own begins when `LOCK TABLES` ends.
        (Effects::BEGIN, Reasons::TABLE_LOCKS),
        (Effects::COMMIT, Reasons::SAVEPOINT),
        (Effects::ROLLBACK, Reasons::SAVEPOINT),
        (Effects::IMPLICIT_COMMIT, Reasons::SAVEPOINT),
        (Effects::XA_FINISH, Reasons::XA),
    ];
    let mut reasons = Reasons::default();
    for (effect, reason) in TABLE {
        if plan.effects.contains(*effect) {
            reasons.0 |= reason.0;
        }
    }
    reasons
}

/// The server could not read the text, so nothing of it ran and nothing is left behind. A procedure or a prepared text may say the same
/// of what it was given, after it has done something.
pub fn did_not_parse(plan: &Plan, outcome: &Outcome) -> bool {
    const PARSE_ERROR: u16 = 1064;
    let is_direct = !plan.effects.intersects(Effects::CALL | Effects::TEXT_EXECUTE | Effects::VOUCHED_FUNCTION);
    is_direct && outcome.results == 0 && outcome.error == Some(PARSE_ERROR)
}

/// The procedure that it calls does not exist, and no other one is meant that this one has called.
pub fn calls_nobody(plan: Option<&Plan>, outcome: &Outcome, message: &[u8]) -> bool {
    const NO_SUCH_ROUTINE: u16 = 1305;
    let called = plan.and_then(|plan| plan.called.as_deref());
    let missing = message.strip_prefix(b"PROCEDURE ").and_then(|rest| rest.strip_suffix(b" does not exist"));
    let (Some(called), Some(missing)) = (called, missing) else { return false };
    let name = missing.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    outcome.error == Some(NO_SUCH_ROUTINE) && outcome.results == 0 && name.eq_ignore_ascii_case(called)
}

/// The first words of a statement, fit to be shown: letters up to the first thing that may be a value or a name in quotes.
pub fn first_words(sql: &[u8]) -> String {
    let words: String = sql
        .iter()
        .take(crate::limits::STATEMENT_SHOWN_CHARS)
        .take_while(|b| b.is_ascii_alphabetic() || matches!(b, b' ' | b'_' | b'\n' | b'\t'))
        .map(|b| if b.is_ascii_whitespace() { ' ' } else { *b as char })
        .collect();
    let shown = words.trim();
    format!("{shown} …")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_words_never_show_a_value() {
        assert_eq!(first_words(b"SET PASSWORD = 'secret'"), "SET PASSWORD …");
        assert_eq!(first_words(b"create temporary\ntable t(a int)"), "create temporary table t …");
        assert_eq!(first_words(b"'x'"), " …");
    }

    #[test]
    fn a_pin_ends_with_the_last_of_its_kind() {
        let plan = |sql: &str| weir_planner::plan(sql.as_bytes(), &weir_planner::Facts::default());
        let mut held = Held::default();
        let mut settle = |sql: &str| held.settle(&plan(sql), 0);
        assert!(settle("CREATE TEMPORARY TABLE a (i INT)").is_empty());
        assert!(settle("CREATE TEMPORARY TABLE b (i INT)").is_empty());
        assert!(settle("DROP TEMPORARY TABLE IF EXISTS a").is_empty());
        assert_eq!(settle("DROP TEMPORARY TABLE b"), Reasons::TEMPORARY_TABLE);
        assert!(settle("HANDLER t OPEN").is_empty());
        assert_eq!(settle("HANDLER t CLOSE"), Reasons::HANDLER);
        assert!(settle("SELECT GET_LOCK('a', 1), GET_LOCK(\"b\", 1)").is_empty());
        let question = held.question(&plan("DO RELEASE_LOCK('a')")).unwrap();
        assert_eq!(
            String::from_utf8(question).unwrap(),
            "SELECT IS_USED_LOCK('a')=CONNECTION_ID(),IS_USED_LOCK(\"b\")=CONNECTION_ID() LIMIT 1"
        );
        assert!(!held.locks_told(&[b"".to_vec(), b"1".to_vec()]));
        assert!(held.locks_told(&[b"0".to_vec()]));
        held.settle(&plan("SELECT GET_LOCK(CONCAT('a', 1), 1)"), 0);
        assert!(held.question(&plan("DO RELEASE_LOCK('a1')")).is_none());
    }

    #[test]
    fn reasons_come_and_go() {
        let mut pins = Pins::default();
        pins.add(Instant(5), Reasons::TABLE_LOCKS, "LOCK TABLES …");
        pins.add(Instant(9), Reasons::USER_LOCK, "SELECT GET …");
        assert_eq!((pins.since(), pins.statement()), (Instant(5), "LOCK TABLES …"));
        assert_eq!(pins.reasons().words().count(), 2);
        pins.drop(Reasons::TABLE_LOCKS);
        pins.drop(Reasons::USER_LOCK);
        assert!(pins.is_empty() && pins.statement().is_empty());
    }
}
