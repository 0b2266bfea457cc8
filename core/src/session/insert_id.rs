//! The session's `LAST_INSERT_ID()` on shared connections: who knows it, and who is given it (S20).
//!
//! ```text
//!   INSERT ─► OK says 7 ──────────────────► known: SET last_insert_id=7 in front of who asks elsewhere
//!   LOAD DATA, a statement that failed ───► its connection alone knows: it is asked before anyone else has the connection,
//!                                           before it is closed; lost with it, a question about it is an error
//! ```
//! Invariant: a connection that changes hands holds 0, so that what a statement makes of it tells whose it is.

use crate::engine::Engine;
use crate::link::expect::{Expect, Purpose};
use crate::link::{Link, LinkPhase};
use crate::session::trackers::last_row;
use crate::session::{Phase, Session, UNSEEN};
use crate::slots::Key;
use weir_net::command::Command;
use weir_net::scan::ReplyKind;
use weir_planner::{Effects, Kind, Plan};

/// Where this session's `LAST_INSERT_ID()` is known (S20).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InsertId {
    /// No statement of this session has set it.
    #[default]
    Never,
    /// The server knows it on this connection, unless the statement stored a value that it was given: then it is 0 there,
    /// as on every connection that changes hands, and `before` stands. `said` is what the OK packet said, if it has.
    OnLink {
        link: Key<Link>,
        said: u64,
        before: u64,
        heard: Heard,
    },
    Known(u64),
    /// Only a connection knew it, and that one is gone.
    Lost,
}

/// What an OK packet has said of the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// `UPDATE … = LAST_INSERT_ID(expr)`, or the gate has set it.
    Surely,
    /// An insert: a number that the row brought along is said, too, and is not it.
    Likely,
    /// What `LOAD DATA` gave first, or a statement before it failed, no packet says.
    Nothing,
}

impl InsertId {
    /// The number, when the server need not be asked.
    pub fn known(self) -> u64 {
        match self {
            InsertId::Never | InsertId::Lost => 0,
            InsertId::OnLink { said, .. } => said,
            InsertId::Known(id) => id,
        }
    }

    /// After a statement on `link` whose OK said this, or that may have set it without a word: then `said` is what was known.
    pub fn told(self, link: Key<Link>, said: u64, heard: Heard) -> InsertId {
        let before = match self {
            InsertId::OnLink { link: on, before, .. } if on == link => before,
            other => other.known(),
        };
        InsertId::OnLink { link, said, before, heard }
    }

    /// This connection knows better than what was said.
    pub fn is_best_known_on(self, link: Key<Link>) -> bool {
        matches!(self, InsertId::OnLink { link: on, heard, .. } if on == link && heard != Heard::Surely)
    }

    /// This connection alone knows it.
    pub fn is_only_on(self, link: Key<Link>) -> bool {
        matches!(self, InsertId::OnLink { link: on, heard: Heard::Nothing, .. } if on == link)
    }
}

/// What the connection is to hold as the last insert id.
pub(crate) enum Number {
    /// 0, since what it holds is nobody's any more: who left it is gone, or has another by now.
    Nobodys,
    Given(u64),
    /// The server's own number stands unless it is 0.
    Mended(u64),
}

impl Engine {
    pub(crate) fn give_insert_id(&mut self, session: Key<Session>, link: Key<Link>, number: Number) {
        let text = match number {
            Number::Nobodys => "DO LAST_INSERT_ID(0)".to_owned(),
            Number::Given(id) => format!("SET last_insert_id={id}"),
            Number::Mended(before) => {
                format!("SET last_insert_id=CAST(COALESCE(NULLIF(LAST_INSERT_ID(),0),{before}) AS UNSIGNED)")
            }
        };
        self.inject(link, ReplyKind::Query, Purpose::Given, Command::Query, text.as_bytes());
        let said = match number {
            Number::Nobodys => return self.links[link].numbered = false,
            Number::Given(id) => id,
            Number::Mended(_) => self.sessions[session].insert_id.known(),
        };
        self.links[link].numbered = said != 0 || matches!(number, Number::Mended(_));
        self.links[link].last_session = Some(session);
        let heard = if matches!(number, Number::Mended(_)) { Heard::Likely } else { Heard::Surely };
        self.sessions[session].insert_id = InsertId::OnLink { link, said, before: 0, heard };
    }

    /// Asks for the insert id of the session that used this connection last, if it is known here alone and the
    /// connection now goes to another, or to the gate itself. True when the question is under way.
    pub(crate) fn keep_insert_id(&mut self, link: Key<Link>, next: Option<Key<Session>>) -> bool {
        let asked = |e: &Expect| matches!(e.purpose, Purpose::InsertId(_));
        let l = &self.links[link];
        if !l.expects.is_empty() && l.expects.iter().any(asked) {
            return true;
        }
        let Some(owner) = l.last_session.filter(|owner| Some(*owner) != next) else { return false };
        let known_here = |s: &Session| matches!(s.insert_id, InsertId::OnLink { link: on, .. } if on == link);
        if !self.sessions.get(owner).is_some_and(known_here) {
            return false;
        }
        self.ask_insert_id(link, owner);
        true
    }

    /// The owner's own number, which this connection knows best. True when the question is under way.
    pub(crate) fn ask_unsaid_insert_id(&mut self, link: Key<Link>) -> bool {
        let Some(owner) = self.links[link].last_session else { return false };
        let is_asked = self.sessions.get(owner).is_some_and(|s| s.insert_id.is_best_known_on(link));
        if is_asked {
            self.ask_insert_id(link, owner);
        }
        is_asked
    }

    /// The session's own connection is about to forget everything: the number is the session's from now on. True: the connection
    /// is asked first.
    pub(crate) fn takes_insert_id_along(&mut self, session: Key<Session>, link: Key<Link>) -> bool {
        let s = &mut self.sessions[session];
        match s.insert_id {
            InsertId::OnLink { link: on, said, heard: Heard::Surely, .. } if on == link => {
                s.insert_id = InsertId::Known(said);
                false
            }
            InsertId::OnLink { link: on, .. } if on == link => {
                self.ask_insert_id(link, session);
                true
            }
            _ => false,
        }
    }

    fn ask_insert_id(&mut self, link: Key<Link>, owner: Key<Session>) {
        self.links[link].numbered = false;
        self.links[link].captured.clear();
        // The second call leaves 0 for the next user: what that user's statements make of it tells whose it is.
        let ask = b"SELECT LAST_INSERT_ID(),LAST_INSERT_ID(0) LIMIT 1";
        self.inject(link, ReplyKind::Query, Purpose::InsertId(owner), Command::Query, ask);
        self.links[link].last_session = None;
    }

    /// `SELECT LAST_INSERT_ID()` has answered for a session whose connection goes to another.
    pub(crate) fn insert_id_kept(&mut self, link: Key<Link>, session: Key<Session>) {
        let captured = std::mem::take(&mut self.links[link].captured);
        let Some(s) = self.sessions.get_mut(session) else { return };
        if let InsertId::OnLink { link: on, said, before, .. } = s.insert_id
            && on == link
        {
            let cells = last_row(&captured);
            let id = cells.first().and_then(|cell| std::str::from_utf8(cell).ok()?.parse().ok());
            s.insert_id = InsertId::Known(match id {
                None => said,
                Some(0) => before,
                Some(id) => id,
            });
        }
        self.wake_waiting_for_id(session);
    }

    /// A session waits for the number that this connection alone knows. Who has it meanwhile has asked for it; while it rests
    /// it is asked now, and given up. False: nobody will tell any more.
    pub(crate) fn fetch_insert_id(&mut self, session: Key<Session>, link: Key<Link>) -> bool {
        let is_asked = |l: &Link| l.expects.iter().any(|e| matches!(e.purpose, Purpose::InsertId(of) if of == session));
        match self.links.get(link) {
            Some(l) if l.last_session == Some(session) => {
                if matches!(l.phase, LinkPhase::Idle) && self.pool.acquire_exactly(l.slot) {
                    self.retire(link);
                }
                true
            }
            Some(l) if is_asked(l) => true,
            _ => {
                let s = &mut self.sessions[session];
                let is_lost = s.insert_id.is_only_on(link);
                s.insert_id = if is_lost { InsertId::Lost } else { InsertId::Known(s.insert_id.known()) };
                false
            }
        }
    }

    /// The link goes: what it alone knew is lost.
    pub(crate) fn insert_ids_gone(&mut self, link: Key<Link>, gone: &Link) {
        let asked = gone.expects.iter().filter_map(|expect| match expect.purpose {
            Purpose::InsertId(owner) => Some(owner),
            _ => None,
        });
        for owner in gone.last_session.into_iter().chain(asked) {
            if let Some(s) = self.sessions.get_mut(owner).filter(|s| s.insert_id.is_only_on(link)) {
                s.insert_id = InsertId::Lost;
            }
            // Also who knows what was said: nothing better will come.
            self.wake_waiting_for_id(owner);
        }
    }

    /// A statement that fails may have given a number to a row before it did; an ERR does not tell it.
    pub(crate) fn may_have_numbered(&mut self, session: Key<Session>, link: Key<Link>, code: u16) {
        let s = &mut self.sessions[session];
        let Phase::Relaying(request) = &s.phase else { return };
        if request.command == Command::StmtPrepare || request.outcome.ran_nothing {
            return;
        }
        let Some(plan) = request.plan.as_ref().filter(|plan| may_number(plan)) else { return };
        let is_before_rows = BEFORE_ROWS.contains(&code) && !matches!(plan.kind, Kind::Call | Kind::Multi);
        if !is_before_rows {
            s.insert_id = s.insert_id.told(link, s.insert_id.known(), Heard::Nothing);
            self.links[link].numbered = true;
        }
    }

    /// A session whose command asks for the number waits with it while another connection is asked.
    fn wake_waiting_for_id(&mut self, session: Key<Session>) {
        if self.sessions.get(session).is_some_and(|s| matches!(s.phase, Phase::Aligning(_)) && s.lease.is_some()) {
            self.proceed(session);
        }
    }
}

/// It may give a number to a row, and then fail. Whoever knows the session's number better is asked before such a one runs elsewhere.
pub(crate) fn may_number(plan: &Plan) -> bool {
    const NUMBERING: [Kind; 5] = [Kind::Insert, Kind::Replace, Kind::Load, Kind::Call, Kind::Multi];
    NUMBERING.contains(&plan.kind) && plan.effects.intersects(MAY_NUMBER)
}

pub(crate) const MAY_NUMBER: Effects = Effects::WRITES.union(UNSEEN);

/// What a single statement fails with before it has looked at a row: syntax, names, rights, a server that takes no writes.
const BEFORE_ROWS: [u16; 12] = [1044, 1046, 1049, 1054, 1064, 1110, 1136, 1142, 1143, 1146, 1290, 1836];
