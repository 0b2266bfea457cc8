//! How many conditions a failed statement has left: no ERR says it, and commands that are no statements answer with it (S21).
//!
//! Its connection is asked before it is given up to others; while the session keeps it, the server answers itself.

use crate::engine::Engine;
use crate::link::Link;
use crate::link::expect::Purpose;
use crate::session::Session;
use crate::session::pins::Reasons;
use crate::session::trackers::last_row;
use crate::slots::Key;
use weir_net::command::Command;
use weir_net::scan::ReplyKind;

const QUESTION: &[u8] = b"SELECT @@warning_count LIMIT 1";

impl Engine {
    /// The session is in `Asking`, and gives the connection up when the answer is here.
    pub(crate) fn ask_conditions(&mut self, session: Key<Session>, link: Key<Link>) {
        self.links[link].captured.clear();
        self.inject(link, ReplyKind::Query, Purpose::Conditions(session), Command::Query, QUESTION);
    }

    pub(crate) fn conditions_told(&mut self, session: Key<Session>, link: Key<Link>) {
        let values = last_row(&std::mem::take(&mut self.links[link].captured));
        let told = values.first().and_then(|count| std::str::from_utf8(count).ok()?.parse().ok());
        if let Some(s) = self.sessions.get_mut(session) {
            s.previous.conditions_told(told);
            self.unpin(session, Reasons::SOFT);
        }
        self.conclude(link);
    }
}
