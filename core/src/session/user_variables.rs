//! User variables that the gate knows: those set to literals, which can be set again when their connection is lost (S24).
//!
//! Invariant: what is replayed is what the statements of the session said, in the character set and SQL mode that it still
//! has; one value that came from anywhere else makes all of them unknown, until a reset.

use crate::session::pins::Reasons;
use crate::session::previous::{ABOUT_PREVIOUS, Place};
use crate::session::{Phase, Session};
use crate::slots::Key;
use crate::state::StateId;
use std::collections::BTreeMap;
use weir_planner::{Asks, Effects, Kind, Plan, Scope};

#[derive(Debug, Default)]
pub struct UserVariables {
    /// By name, in lower case: the literal as it was written, and the variables under which it was understood.
    values: BTreeMap<Box<str>, (Box<[u8]>, StateId)>,
    is_unknown: bool,
    bytes: usize,
    /// They are on no connection now: the next one that needs them is given them first.
    pub is_lost: bool,
}

impl UserVariables {
    /// A statement has ended, under these variables. One that failed may have set some of what it was to set.
    pub fn handle(&mut self, plan: &Plan, state: StateId, failed: bool) {
        if !plan.effects.contains(Effects::SET_USER_VARIABLE) {
            return;
        }
        if failed {
            return self.forget_values();
        }
        let is_plain = plan.kind == Kind::Set
            && plan.statements == 1
            && !plan.effects.intersects(Effects::READS_USER_VARIABLE | Effects::UNKNOWN | Effects::CALL);
        let own = plan.assigns.iter().filter(|assign| assign.scope == Scope::User);
        for assign in own {
            match &assign.value {
                Some(value) if is_plain && value.is_ascii() => {
                    self.bytes += assign.name.len() + value.len();
                    self.values.insert(assign.name.clone(), (value.clone(), state));
                }
                Some(_) | None => self.is_unknown = true,
            }
        }
        if !is_plain || self.bytes > BYTES_MAX {
            self.forget_values();
        }
    }

    fn forget_values(&mut self) {
        self.values.clear();
        self.is_unknown = true;
    }

    /// True if all of them can be set again for a session with these variables.
    pub fn can_be_set_again(&self, state: StateId) -> bool {
        // A number is the same in any of them.
        let is_same = |(value, under): &(Box<[u8]>, StateId)| {
            *under == state || value.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.'))
        };
        !self.is_unknown && !self.values.is_empty() && self.values.values().all(is_same)
    }

    /// The statement that sets them.
    pub fn statement(&self) -> Vec<u8> {
        let mut text = b"SET ".to_vec();
        for (at, (name, (value, _))) in self.values.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_$.".contains(&byte));
            let name = if is_plain { name.to_string() } else { format!("`{}`", name.replace('`', "``")) };
            text.extend_from_slice(format!("{comma}@{name}=").as_bytes());
            text.extend_from_slice(value);
        }
        text
    }
}

impl Session {
    /// What is lost with its connection and cannot be made again on another.
    pub(crate) fn pins_for_good(&self) -> Reasons {
        let hard = self.pins.reasons().without(Reasons::SOFT);
        match self.user_variables.can_be_set_again(self.state) {
            true => hard.without(Reasons::USER_VARIABLE),
            false => hard,
        }
    }

    /// Its connection is gone: those that can be set again are to be.
    pub(crate) fn user_variables_lost(&mut self) {
        let again =
            self.pins.reasons().intersects(Reasons::USER_VARIABLE) && self.user_variables.can_be_set_again(self.state);
        self.user_variables.is_lost |= again;
        if !self.user_variables.is_lost {
            self.user_variables = UserVariables::default();
        }
    }
}

impl crate::engine::Engine {
    /// What gives the connection that the session has got its user variables again. None: that cannot be done, since the command also
    /// asks about the previous statement, and those that set them would be it.
    pub(crate) fn give_user_variables(&mut self, session: Key<Session>, asks: Asks) -> Option<Vec<u8>> {
        let previous = &mut self.sessions[session].previous;
        let is_here = asks.intersects(ABOUT_PREVIOUS) && matches!(previous.place, Place::On { .. });
        if is_here && !previous.leave(asks) {
            self.settle_unsent(session);
            return None;
        }
        let text = self.sessions[session].user_variables.statement();
        self.sessions[session].user_variables.is_lost = false;
        debug_assert!(matches!(self.sessions[session].phase, Phase::Aligning(_)), "it is about to send");
        self.pin(session, Reasons::USER_VARIABLE);
        Some(text)
    }
}

/// Values of a session that are kept beside those on its connection.
const BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use weir_planner::Facts;

    fn after(statements: &[&str]) -> UserVariables {
        let mut variables = UserVariables::default();
        for statement in statements {
            variables.handle(&weir_planner::plan(statement.as_bytes(), &Facts::default()), StateId(3), false);
        }
        variables
    }

    #[test]
    fn a_statement_that_failed_leaves_nobody_knows_what() {
        let mut variables = after(&["SET @a=5"]);
        let plan = |sql: &str| weir_planner::plan(sql.as_bytes(), &Facts::default());
        variables.handle(&plan("SELECT 1 FROM nowhere"), StateId(3), true);
        assert!(variables.can_be_set_again(StateId(3)));
        variables.handle(&plan("SET @a=6, @b=(SELECT 1 UNION SELECT 2)"), StateId(3), true);
        assert!(!variables.can_be_set_again(StateId(3)));
    }

    #[test]
    fn literals_are_set_again_and_nothing_else_is() {
        let known = after(&["SET @a=5, @`b c`='x''y'", "SET @A := -7", "SELECT 1"]);
        assert!(known.can_be_set_again(StateId(3)) && !known.can_be_set_again(StateId(4)));
        assert_eq!(String::from_utf8(known.statement()).unwrap(), "SET @a=-7,@`b c`='x''y'");
        assert!(after(&["SET @a=5"]).can_be_set_again(StateId(4)), "a number is a number");
        assert!(!after(&[]).can_be_set_again(StateId(3)));
        for unknown in
            ["SET @a=@b", "SET @a=NOW()", "SELECT 1 INTO @a", "SELECT @a:=1", "SET @a=1; SET @b=2", "SET @a='ä'"]
        {
            assert!(!after(&["SET @x=1", unknown]).can_be_set_again(StateId(3)), "{unknown}");
        }
    }
}
