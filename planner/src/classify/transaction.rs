//! Transactions and what is held across statements: `BEGIN`, `COMMIT`, savepoints, `XA`, `LOCK`, `HANDLER` (S05, S06, S10, S25).
//!
//! Only what will probably happen is said here; the server's status flags say what did.

use super::cursor::Cursor;
use super::scan::{Calls, Until};
use crate::effects::Effects;
use crate::plan::Kind;
use crate::reason::Reason;
use crate::word::kw;

impl Cursor<'_> {
    /// Behind `BEGIN`. A compound statement outside of a routine is not MySQL's.
    pub(super) fn begin(&mut self) {
        self.take(kw::WORK);
        self.transaction(Kind::Begin, Effects::BEGIN | Effects::IMPLICIT_COMMIT);
    }

    /// Behind `START`.
    pub(super) fn start(&mut self) {
        if !self.take(kw::TRANSACTION) {
            return self.replication();
        }
        self.transaction(Kind::Begin, Effects::BEGIN | Effects::IMPLICIT_COMMIT);
        while !self.at_statement_end() {
            if self.take(kw::READ) {
                if self.take(kw::ONLY) {
                    self.draft.effects |= Effects::BEGIN_READ_ONLY;
                } else if !self.take(kw::WRITE) {
                    return self.draft.give_up();
                }
            } else if self.take(kw::WITH) && self.take(kw::CONSISTENT) && self.take(kw::SNAPSHOT) {
                self.draft.effects |= Effects::SNAPSHOT;
            } else {
                return self.draft.give_up();
            }
            self.take_punct(b',');
        }
    }

    /// Behind `COMMIT` or `ROLLBACK`.
    pub(super) fn end_transaction(&mut self, kind: Kind) {
        self.take(kw::WORK);
        if kind == Kind::Rollback && self.take(kw::TO) {
            self.take(kw::SAVEPOINT);
            return self.savepoint();
        }
        let ends = if kind == Kind::Commit { Effects::COMMIT } else { Effects::ROLLBACK };
        self.transaction(kind, ends);
        if self.take(kw::AND) {
            let no = self.take(kw::NO);
            if !self.take(kw::CHAIN) {
                return self.draft.give_up();
            }
            if !no {
                self.draft.effects |= Effects::CHAIN;
            }
        }
        let no = self.take(kw::NO);
        let release = self.take(kw::RELEASE);
        if release && !no {
            self.draft.effects |= Effects::RELEASE;
        } else if no && !release {
            self.draft.give_up();
        }
    }

    /// The name of a savepoint.
    pub(super) fn savepoint(&mut self) {
        self.transaction(Kind::Savepoint, Effects::SAVEPOINT);
        self.take_name();
    }

    /// Behind `RELEASE`.
    pub(super) fn release(&mut self) {
        if !self.take(kw::SAVEPOINT) {
            self.draft.give_up();
            return self.scan_rest();
        }
        self.savepoint();
    }

    fn transaction(&mut self, kind: Kind, effects: Effects) {
        self.draft.kind = Some(kind);
        self.draft.effects |= effects;
        self.draft.insist(Reason::Transaction);
    }

    /// Behind `XA`.
    pub(super) fn xa(&mut self) {
        let verb = self.next();
        let effects = match verb.word {
            kw::START | kw::BEGIN => Effects::XA_START,
            kw::END => Effects::XA_END,
            // On MariaDB a prepared transaction stays its connection's until that ends.
            kw::PREPARE if self.facts.is_mariadb() => Effects::XA_OTHER,
            kw::PREPARE | kw::COMMIT | kw::ROLLBACK => Effects::XA_OTHER | Effects::XA_FINISH,
            kw::RECOVER => Effects::XA_OTHER,
            _ => {
                self.draft.give_up();
                self.put_back(verb);
                Effects::empty()
            }
        };
        self.transaction(Kind::Xa, effects);
        self.scan_rest();
    }

    /// Behind `LOCK`.
    pub(super) fn lock(&mut self) {
        let effects = match () {
            _ if self.take_any(&[kw::TABLES, kw::TABLE]) => Effects::LOCK_TABLES | Effects::IMPLICIT_COMMIT,
            _ if self.take(kw::INSTANCE) => Effects::BACKUP_LOCK,
            _ => Effects::empty(),
        };
        self.locks(effects);
    }

    /// Behind `UNLOCK`. It commits when there are table locks.
    pub(super) fn unlock(&mut self) {
        let effects = match () {
            _ if self.take_any(&[kw::TABLES, kw::TABLE]) => Effects::UNLOCK_TABLES | Effects::IMPLICIT_COMMIT,
            _ if self.take(kw::INSTANCE) => Effects::BACKUP_UNLOCK,
            _ => Effects::empty(),
        };
        self.locks(effects);
    }

    fn locks(&mut self, effects: Effects) {
        self.draft.kind = Some(Kind::Lock);
        self.draft.effects |= effects;
        self.draft.insist(Reason::Lock);
        if effects.is_empty() {
            self.draft.give_up();
        }
        self.scan(Until::Statement, Calls::Ignore);
    }

    /// Behind `HANDLER`: `t OPEN`, `t READ …`, `t CLOSE`.
    pub(super) fn handler(&mut self) {
        self.draft.kind = Some(Kind::Handler);
        self.draft.insist(Reason::PinnedState);
        let named = self.take_qualified_name();
        let verb = self.next();
        match verb.word {
            kw::OPEN if named => self.draft.effects |= Effects::HANDLER_OPEN,
            kw::CLOSE if named => self.draft.effects |= Effects::HANDLER_CLOSE,
            kw::READ if named => (),
            _ => {
                self.draft.give_up();
                self.put_back(verb);
            }
        }
        self.scan(Until::Statement, Calls::JudgeAfter(kw::WHERE));
    }
}
