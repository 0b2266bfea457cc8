//! Accounts: users, roles, grants, passwords. They commit implicitly and write to the server's own tables.

use super::cursor::Cursor;
use crate::effects::Effects;
use crate::plan::Kind;
use crate::reason::Reason;

impl Cursor<'_> {
    /// The rest of a statement about accounts; `u@h` in it is no variable.
    pub(super) fn account_rest(&mut self) {
        self.draft.kind = Some(Kind::Account);
        self.draft.effects |= Effects::WRITES | Effects::IMPLICIT_COMMIT;
        self.draft.insist(Reason::Account);
        self.skip_rest();
    }
}
