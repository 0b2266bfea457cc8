//! `SHOW VARIABLES`: the gate's own variables stand among the server's, as if they were one server's (S60).
//!
//! The server's rows pass untouched; the gate's come behind them, in front of the end of rows, with the sequence numbers
//! that follow.

use crate::engine::Engine;
use crate::session::{Phase, Session};
use crate::show::is_like;
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
