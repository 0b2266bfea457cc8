//! Relaying: what the special packets of a reply mean, and how the client sees them (S06, S22, S45, S61).
//!
//! Rows never come here. OK, EOF and ERR do: status flags and trackers are believed, then shown as far as this client's
//! capabilities and a server's default tracker settings would show them.

use crate::board::keep_whole;
use crate::engine::Engine;
use crate::link::reply::replace_error;
use crate::link::{Lessee, Link};
use crate::session::insert_id::{Heard, InsertId};
use crate::session::pins::{Reasons, calls_nobody, first_words};
use crate::session::prepared::Busy;
use crate::session::previous::keeps_diagnostics;
use crate::session::refuse::Refusal;
use crate::session::settle::is_read_only;
use crate::session::trackers::News;
use crate::session::{Body, Feed, Phase, Progress, Session};
use crate::slots::Key;
use crate::state::NAMES_COLLATION;
use weir_net::command::Command;
use weir_net::flags::{Capabilities, Status};
use weir_net::flavour::Flavour;
use weir_net::gtid::GtidSet;
use weir_net::outcome::{EofPacket, ErrPacket, OkPacket};
use weir_net::packet::HEADER_BYTES;
use weir_net::scan::{ReplyScan, What};
use weir_net::statement::{PrepareOk, patch_statement_id};
use weir_net::track::{Track, Tracks, put_track};
use weir_planner::variables::Carry;
use weir_planner::{Effects, Kind};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    AsItIs,
    /// The packet given was rewritten in place.
    Changed,
    /// The client never sees it (the command is tried again).
    Swallowed,
}

impl Engine {
    /// Looks at a special packet of the client's reply; may rewrite it (header included).
    pub(crate) fn judge_packet(&mut self, link: Key<Link>, what: What, packet: &mut Vec<u8>) -> Verdict {
        let Some(Lessee::Session(session)) = self.links[link].lessee else { return Verdict::Swallowed };
        match what {
            What::Ok | What::RowsEnd => self.judge_ok(session, link, what, packet),
            What::ColumnsEof => self.judge_columns_eof(session, link, packet),
            What::Err => self.judge_err(session, link, packet),
            What::PrepareOk => self.judge_prepared(session, link, packet),
            What::Infile => {
                self.begin_feed(session);
                Verdict::AsItIs
            }
            What::ColumnCount | What::Text => Verdict::AsItIs,
        }
    }

    fn judge_ok(&mut self, session: Key<Session>, link: Key<Link>, what: What, packet: &mut Vec<u8>) -> Verdict {
        let link_caps = self.links[link].caps;
        let payload = std::mem::take(packet);
        let Ok(ok) = OkPacket::decode(&payload[HEADER_BYTES..], link_caps) else {
            *packet = payload;
            return Verdict::AsItIs;
        };
        let (own, own_rows) = match what {
            What::RowsEnd => self.own_variables(session, payload[HEADER_BYTES - 1]),
            _ => (Vec::new(), 0),
        };
        let rows = (what == What::RowsEnd).then(|| self.links[link].scan.rows() + u64::from(own_rows));
        let shown = self.absorb(session, link, &ok, rows);
        // Also the lone EOF that some simple commands are answered with.
        let eof_differs = ok.header == 0xfe && !self.sessions[session].caps.contains(Capabilities::DEPRECATE_EOF);
        let news = News { flagged: !shown.is_empty() || self.changed_without_news(session, link, &ok), tracks: shown };
        let News { tracks: shown, flagged } = self.sessions[session].trackers.tell(news, eof_differs);
        let plain = ok.status.minus(Status::SESSION_STATE_CHANGED);
        let status = if flagged { plain | Status::SESSION_STATE_CHANGED } else { plain };
        let s = &mut self.sessions[session];
        s.status = plain;
        s.transaction_unsure = false;
        let caps = s.caps;
        let knows_better = self.links[link].goes_on && s.previous.is_on(self.links[link].slot);
        let warnings = match &s.phase {
            Phase::Relaying(request)
                if keeps_diagnostics(request.command) && !knows_better && !s.facts.is_mariadb() =>
            {
                s.previous.told
            }
            _ => ok.warnings,
        };
        let tracks_as_sent = status == ok.status && shown == ok.track && caps.contains(Capabilities::SESSION_TRACK);
        let untracked = status == ok.status && !flagged;
        if !eof_differs && warnings == ok.warnings && (tracks_as_sent || untracked) && own_rows == 0 {
            *packet = payload;
            return Verdict::AsItIs;
        }
        self.links[link].scan.add_shift(own_rows);
        let mut out = payload[..HEADER_BYTES].to_vec();
        out[HEADER_BYTES - 1] = out[HEADER_BYTES - 1].wrapping_add(own_rows);
        if eof_differs {
            EofPacket { warnings, status: plain }.encode(&mut out, caps);
        } else {
            OkPacket { track: &shown, status, warnings, ..ok }.encode(&mut out, caps);
        }
        let len = (out.len() - HEADER_BYTES) as u32;
        out[..3].copy_from_slice(&len.to_le_bytes()[..3]);
        *packet = own;
        packet.extend_from_slice(&out);
        Verdict::Changed
    }

    /// Believes an OK: status, what changed, GTIDs. Returns the trackers that this client is shown.
    fn absorb(&mut self, session: Key<Session>, link: Key<Link>, ok: &OkPacket<'_>, rows: Option<u64>) -> Vec<u8> {
        let l = &mut self.links[link];
        let status_before = std::mem::replace(&mut l.status, ok.status.minus(Status::SESSION_STATE_CHANGED));
        l.has_conditions |= ok.warnings > 0 && l.flavour == Flavour::MariaDb;
        l.has_count = ok.affected_rows > 0;
        let s = &mut self.sessions[session];
        if let Phase::Relaying(request) = &mut s.phase {
            let outcome = &mut request.outcome;
            outcome.warnings = ok.warnings;
            outcome.most_warnings = outcome.most_warnings.max(ok.warnings);
            outcome.results = outcome.results.saturating_add(1);
            let is_within =
                rows.is_some() && request.plan.as_ref().is_some_and(|plan| plan.is_call(outcome.statements));
            outcome.statements = outcome.statements.saturating_add(u16::from(!is_within));
            outcome.affected_rows = outcome.affected_rows.saturating_add(ok.affected_rows);
            outcome.last_affected = ok.affected_rows;
            outcome.rows = rows;
            outcome.all_rows = outcome.all_rows.saturating_add(rows.unwrap_or_default());
            let plan = request.plan.as_ref();
            let runs_others = Effects::CALL | Effects::TEXT_EXECUTE | Effects::UNKNOWN | Effects::UNKNOWN_FUNCTION;
            self.links[link].numbered |= plan.is_some_and(|p| p.effects.intersects(runs_others));
            if plan.is_some_and(|p| p.effects.contains(Effects::SETS_LAST_INSERT_ID)) {
                // `LAST_INSERT_ID(expr)`: whatever it is, 0 too, it is on the server.
                let said = ok.last_insert_id;
                let is_update = plan.is_some_and(|p| p.kind == Kind::Update);
                let heard = if is_update && said != 0 { Heard::Surely } else { Heard::Nothing };
                s.insert_id = InsertId::OnLink { link, said, before: 0, heard };
                self.links[link].numbered = true;
            } else if plan.is_some_and(|p| p.kind == Kind::Load) {
                // The first number that it gave is not told.
                s.insert_id = s.insert_id.told(link, s.insert_id.known(), Heard::Nothing);
                self.links[link].numbered = true;
            } else if ok.last_insert_id != 0 && plan.is_some_and(|p| p.kind != Kind::Select) {
                s.insert_id = s.insert_id.told(link, ok.last_insert_id, Heard::Likely);
                self.links[link].numbered = true;
            }
        }
        let shows = s.caps.contains(Capabilities::SESSION_TRACK);
        s.facts.no_backslash_escapes = ok.status.contains(Status::NO_BACKSLASH_ESCAPES);
        let mut shown = Vec::new();
        let before = self.links[link].state;
        for mut track in Tracks::new(ok.track).flatten() {
            if self.is_switch(session, &track) {
                self.switched(session, link, status_before);
                track = self.switch_shown(link, track);
            } else {
                self.absorb_track(session, link, &track);
            }
            if shows && self.shows_track(session, link, &track) {
                put_track(&mut shown, &track);
            }
        }
        if self.links[link].state != before || !ok.track.is_empty() {
            self.absorb_collation(session, link);
        }
        shown
    }

    fn absorb_track(&mut self, session: Key<Session>, link: Key<Link>, track: &Track<'_>) {
        match track {
            Track::Schema(name) => {
                let schema = self.states.schema(name);
                self.links[link].schema = schema;
                self.sessions[session].schema = schema;
                self.sessions[session].facts.system_schema = weir_planner::schema_is_system(name);
            }
            // MariaDB's word for what `Track::Gtids` is (`Flavour::gtid_variable`).
            Track::Variable { name: b"last_gtid", value } => self.wrote_gtids(session, link, value),
            Track::Variable { name, value } => self.variable_changed(session, link, name, value),
            Track::Gtids(text) => self.wrote_gtids(session, link, text),
            Track::StateChanged(true) => {
                if let Phase::Relaying(request) = &mut self.sessions[session].phase {
                    request.outcome.state_changed = true;
                }
            }
            Track::StateChanged(false)
            | Track::TransactionCharacteristics(_)
            | Track::TransactionState(_)
            | Track::Unknown(..) => {}
        }
    }

    pub(crate) fn variable_changed(&mut self, session: Key<Session>, link: Key<Link>, name: &[u8], value: &[u8]) {
        let Ok(name) = std::str::from_utf8(name) else { return };
        match weir_planner::variables::carry(name, value) {
            Carry::Ignore => return,
            Carry::Pin => return self.pin(session, Reasons::VARIABLE),
            Carry::Replay(_) => {}
        }
        let mut state = self.states.with(self.links[link].state, name, value);
        if name == "character_set_connection" {
            // It brings its own collation along.
            state = self.states.without(state, "collation_connection");
        }
        if name == "character_set_results" {
            // The collation of what is sent is that of `NAMES` until then; the client's own is seen nowhere.
            state = self.states.without(state, NAMES_COLLATION);
        }
        self.links[link].state = state;
        let s = &mut self.sessions[session];
        s.state = state;
        match name {
            "sql_mode" => s.facts.ansi_quotes = contains_word(value, b"ANSI_QUOTES"),
            "character_set_client" => {
                s.facts.charset = weir_planner::Charset::of_name(std::str::from_utf8(value).unwrap_or_default());
            }
            _ => {}
        }
    }

    fn wrote_gtids(&mut self, session: Key<Session>, link: Key<Link>, text: &[u8]) {
        let s = &mut self.sessions[session];
        if let Ok(set) = GtidSet::parse(text) {
            // Of the server that has just told it, and so has it.
            let executed = &self.snapshot.backend(self.links[link].backend).executed;
            self.board.note(&set, executed);
            self.links[link].trail.tell(&set);
            s.freshness.needs.merge(&set);
            keep_whole(&mut s.freshness.needs, executed);
            s.freshness.primary_only = false;
            s.wrote = Default::default();
        }
        if let Phase::Relaying(request) = &mut s.phase {
            request.outcome.gtid = true;
        }
    }

    pub(crate) fn pin(&mut self, session: Key<Session>, reasons: Reasons) {
        if reasons.is_empty() {
            return;
        }
        let words = self.words_of(session);
        let more = reasons.without(self.sessions[session].pins.reasons()).without(Reasons::SOFT);
        if !more.is_empty() {
            let user = self.user_of(&self.sessions[session]);
            self.pin_ledger.note(&user, more);
        }
        let s = &mut self.sessions[session];
        if s.pins.is_empty() {
            self.counters.sessions_pinned += 1;
        }
        s.pins.add(self.now, reasons, &words);
    }

    /// The first words of the statement in hand.
    fn words_of(&self, session: Key<Session>) -> String {
        let s = &self.sessions[session];
        match &s.phase {
            Phase::Relaying(request) => match request.plan.as_ref() {
                Some(plan) => format!("{:?} …", plan.kind),
                None => format!("{:?}", request.command),
            },
            _ => first_words(b""),
        }
    }

    fn judge_columns_eof(&mut self, session: Key<Session>, link: Key<Link>, _packet: &mut Vec<u8>) -> Verdict {
        // Only from a backend without DEPRECATE_EOF. A client with it does not want this packet.
        if self.sessions[session].caps.contains(Capabilities::DEPRECATE_EOF) {
            self.links[link].scan.add_shift(255);
            return Verdict::Swallowed;
        }
        Verdict::AsItIs
    }

    /// Column definitions have gone by without an EOF behind them: an old client needs one.
    pub(crate) fn columns_ended(&mut self, link: Key<Link>) {
        let Some(Lessee::Session(session)) = self.links[link].lessee else { return };
        if self.sessions[session].caps.contains(Capabilities::DEPRECATE_EOF) {
            return;
        }
        let s = &self.sessions[session];
        let more = if s.more_results_follow() { Status::MORE_RESULTS } else { Status::empty() };
        let payload = self.eof_payload(session, s.lasting_status() | more);
        let seq = self.links[link].scan.seq_next();
        let mut bytes = Vec::with_capacity(16);
        weir_net::packet::put(&mut bytes, seq, &payload);
        self.to_client(link, &bytes);
        self.links[link].scan.add_shift(1);
    }

    fn judge_err(&mut self, session: Key<Session>, link: Key<Link>, packet: &mut Vec<u8>) -> Verdict {
        self.counters.errors_answered += 1;
        let error = ErrPacket::decode(&packet[HEADER_BYTES..]).ok();
        let code = error.as_ref().map_or(0, |e| e.code);
        let message = error.as_ref().map_or(&b""[..], |e| e.message);
        let refused = is_read_only(code, message);
        self.links[link].has_conditions = self.links[link].flavour == Flavour::MariaDb;
        let Phase::Relaying(request) = &mut self.sessions[session].phase else { return Verdict::AsItIs };
        request.outcome.error = Some(code);
        request.outcome.warnings = 1;
        request.outcome.ran_nothing = calls_nobody(request.plan.as_deref(), &request.outcome, message);
        if let (1046, Some(gone)) = (code, &request.schemaless) {
            // "No database selected": the session has one, which does not exist.
            request.outcome.error = Some(1049);
            return replace_error(packet, gone);
        }
        let unanswered = request.progress == Progress::Sent && request.body == Body::Whole;
        if unanswered && self.may_send_again(session, link, code, refused) {
            return Verdict::Swallowed;
        }
        if refused && self.transaction_is_void(session, link) {
            let backend = self.snapshot.backend(self.links[link].backend).name.clone();
            return replace_error(packet, &Refusal::TransactionLost { backend }.payload());
        }
        self.may_have_begun(session, link, code);
        self.may_have_numbered(session, link, code);
        if let Some(why) = self.hunt_told(link, code) {
            return replace_error(packet, &why.payload());
        }
        Verdict::AsItIs
    }

    /// Without autocommit a statement that fails may have begun a transaction all the same (a lock that it waited for in vain), and
    /// an ERR does not say so: it is taken for begun until the server says something else. So it is with what runs others' statements.
    fn may_have_begun(&mut self, session: Key<Session>, link: Key<Link>, code: u16) {
        let l = &mut self.links[link];
        let effects = match &self.sessions[session].phase {
            Phase::Relaying(request) if request.command != Command::StmtPrepare && !request.outcome.ran_nothing => {
                request.plan.as_ref().map(|plan| plan.effects).unwrap_or_default()
            }
            _ => Effects::empty(),
        };
        // A procedure may have begun one before it failed, and one that is open may have been ended.
        let others = Effects::CALL | Effects::TEXT_EXECUTE;
        if code == PARSE_ERROR && !effects.intersects(others) {
            // What the server does not understand, it has not begun to run.
            return;
        }
        let runs_others = effects.intersects(others | Effects::UNKNOWN);
        let may_end = effects.intersects(Effects::IMPLICIT_COMMIT | Effects::UNKNOWN | Effects::BEGIN);
        let is_known = match l.status.contains(Status::IN_TRANS) {
            true => !may_end && !runs_others,
            false => l.status.contains(Status::AUTOCOMMIT) && !runs_others,
        };
        if is_known {
            return;
        }
        let is_likely = !l.status.contains(Status::AUTOCOMMIT);
        l.status = l.status | Status::IN_TRANS;
        let s = &mut self.sessions[session];
        if is_likely {
            s.status = s.status | Status::IN_TRANS;
        }
        s.transaction_unsure = true;
    }

    fn judge_prepared(&mut self, session: Key<Session>, link: Key<Link>, packet: &mut Vec<u8>) -> Verdict {
        let Ok(ok) = PrepareOk::decode(&packet[HEADER_BYTES..]) else { return Verdict::AsItIs };
        let id = self.client_prepared(session, link, &ok);
        patch_statement_id(packet, id);
        Verdict::Changed
    }

    /// The backend wants the client's file (S43): it flows from the client until an empty packet.
    fn begin_feed(&mut self, session: Key<Session>) {
        let s = &mut self.sessions[session];
        if let Phase::Relaying(request) = std::mem::replace(&mut s.phase, Phase::Ready) {
            let scan = s.lease.map(|link| &self.links[link].scan);
            let differs = |scan: &&ReplyScan| s.compression.is_some() || scan.shift() != 0;
            let renumbered = scan.filter(differs).map(ReplyScan::seq_expected);
            s.phase = Phase::Feeding(request, Feed { left: 0, renumbered });
            if let Some(wire) = s.lease.map(|link| self.links[link].wire) {
                self.follow_reply(wire);
            }
            self.runnable.push_back(session);
        }
    }

    pub(crate) fn feed_more(&mut self, session: Key<Session>) {
        let s = &mut self.sessions[session];
        let Some(link) = s.lease else { return };
        let Phase::Feeding(_, feed) = &mut s.phase else { return };
        let wire = self.links[link].wire;
        let mut last_seq = None;
        loop {
            if feed.left > 0 {
                let n = feed.left.min(s.inbound.len());
                if n == 0 {
                    break;
                }
                s.inbound.move_to(&mut self.blocks, n, &mut self.wires[wire].out);
                feed.left -= n;
                continue;
            }
            if s.inbound.len() < HEADER_BYTES {
                break;
            }
            let mut head = Vec::with_capacity(4);
            s.inbound.copy_to(&self.blocks, 0, HEADER_BYTES, &mut head);
            if let Some(seq) = &mut feed.renumbered {
                head[3] = *seq;
                s.inbound.patch(&mut self.blocks, 3, &[*seq]);
                *seq = seq.wrapping_add(1);
            }
            s.inbound.move_to(&mut self.blocks, HEADER_BYTES, &mut self.wires[wire].out);
            feed.left = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
            if feed.left == 0 {
                last_seq = Some(head[3]);
                break;
            }
        }
        if let Some(seq) = last_seq {
            let scan = &mut self.links[link].scan;
            scan.resume_after_infile();
            scan.expect_seq(seq.wrapping_add(1));
            if let Phase::Feeding(request, _) = std::mem::replace(&mut s.phase, Phase::Ready) {
                s.phase = Phase::Relaying(request);
            }
        }
        let client = s.wire;
        self.touch(wire);
        self.balance_inbound(session);
        self.hold_back(wire, client);
    }

    /// The first bytes of the reply go out: from here on nothing is sent again.
    pub(crate) fn answering(&mut self, link: Key<Link>) {
        let Some(Lessee::Session(session)) = self.links[link].lessee else { return };
        if let Some(Phase::Relaying(request)) = self.sessions.get_mut(session).map(|s| &mut s.phase)
            && request.progress == Progress::Sent
        {
            request.progress = Progress::Answering;
            request.kept.clear(&mut self.blocks);
        }
    }

    pub(crate) fn statement_busy(&mut self, session: Key<Session>, id: u32, busy: Busy) {
        if let Some(statement) = self.sessions[session].statements.get_mut(&id) {
            statement.busy = busy;
        }
    }
}

/// `ER_PARSE_ERROR`.
const PARSE_ERROR: u16 = 1064;

fn contains_word(list: &[u8], word: &[u8]) -> bool {
    list.split(|b| *b == b',').any(|w| w == word)
}
