//! `SHOW VARIABLES`: the gate's own variables stand among the server's, as if they were one server's (S60).
//!
//! The server's rows pass untouched; the gate's come behind them, in front of the end of rows, with the sequence numbers
//! that follow.

use crate::engine::Engine;
use crate::session::{Phase, Session};
use crate::slots::Key;
use weir_net::column::put_text_row;
use weir_net::command::Command;
use weir_net::packet;

impl Engine {
    /// The rows to be put in front of the end of rows, framed from `seq` on, and their number.
    pub(crate) fn own_variables(&self, session: Key<Session>, seq: u8) -> (Vec<u8>, u8) {
        let mut bytes = Vec::new();
        let Phase::Relaying(request) = &self.sessions[session].phase else { return (bytes, 0) };
        let plan = request.plan.as_ref().filter(|_| request.command == Command::Query);
        let Some(pattern) = plan.and_then(|plan| plan.listing.as_deref()) else { return (bytes, 0) };
        let mut next = seq;
        for name in weir_planner::gate_variables().filter(|name| is_like(name.as_bytes(), pattern)) {
            let value = self.gate_setting(session, false, name);
            let mut row = Vec::new();
            put_text_row(&mut row, &[Some(name.as_bytes()), Some(&value)]);
            next = packet::put(&mut bytes, next, &row);
        }
        (bytes, next.wrapping_sub(seq))
    }
}

/// MySQL's `LIKE`, without regard to case: `%` any text, `_` any letter, `\` takes the next one as it is.
fn is_like(text: &[u8], pattern: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'%', rest @ ..] => (0..=text.len()).any(|at| is_like(&text[at..], rest)),
        [b'\\', exact, rest @ ..] | [exact, rest @ ..] => match text.split_first() {
            Some((first, behind)) => {
                let any = *exact == b'_' && pattern[0] != b'\\';
                (any || first.eq_ignore_ascii_case(exact)) && is_like(behind, rest)
            }
            None => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_mysqls() {
        for (text, pattern, matches) in [
            ("read_after_write_gtid", "read_%", true),
            ("read_after_write_gtid", "READ\\_after%gtid", true),
            ("readXafter", "read\\_after", false),
            ("readXafter", "read_after", true),
            ("read", "read_", false),
            ("read", "%", true),
            ("read", "%e%d", true),
            ("", "", true),
            ("a", "", false),
        ] {
            assert_eq!(is_like(text.as_bytes(), pattern.as_bytes()), matches, "{text} LIKE {pattern}");
        }
    }
}
