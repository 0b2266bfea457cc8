//! Replies: bytes from a backend, told apart by the scan, forwarded to the client or used by the gate.
//!
//! ```text
//!   chunk  [ passed … | packet | passed … ]     `from..at` is the run that goes to the client as it is:
//!            from ────► at                      a share of the chunk, not a copy
//! ```
//! Cost of a point select's reply: one share of the chunk, no copy, no allocation.

use crate::block::Chunk;
use crate::engine::Engine;
use crate::limits::INJECTED_REPLY_BYTES_MAX;
use crate::link::expect::Purpose;
use crate::link::{Lessee, Link, LinkPhase};
use crate::session::expired::MUST_CHANGE_PASSWORD;
use crate::session::relay::Verdict;
use crate::session::{Body, Phase};
use crate::slots::Key;
use weir_net::flags::Capabilities;
use weir_net::flavour::Flavour;
use weir_net::outcome::{ErrPacket, OkPacket};
use weir_net::packet::HEADER_BYTES;
use weir_net::scan::{ReplyKind, Step, What};
use weir_net::statement::PrepareOk;
use weir_net::track::{Track, Tracks};

/// Runs up to so long are copied when packets of the gate's own go between them.
const COPIED_BYTES_MAX: usize = 512;

/// How much of a chunk has been looked at, and where the run begins that is still to be forwarded.
struct Cursor {
    at: usize,
    from: usize,
}

impl Engine {
    /// Bytes from a backend.
    pub(crate) fn link_chunk(&mut self, link: Key<Link>, chunk: Chunk) {
        match self.links[link].phase {
            LinkPhase::Greeting | LinkPhase::Login { .. } => {
                self.links[link].inbound.push(&mut self.blocks, chunk);
                self.run_login(link);
            }
            LinkPhase::Setup { .. } | LinkPhase::Leased | LinkPhase::Cleaning | LinkPhase::Retiring => {
                self.replies(link, chunk)
            }
            LinkPhase::Dialing | LinkPhase::Idle | LinkPhase::Closing => {
                // An idle connection that speaks says goodbye (4031, 1053).
                self.blocks.release(chunk);
                self.link_lost(link, "the backend spoke first");
            }
        }
    }

    fn replies(&mut self, link: Key<Link>, chunk: Chunk) {
        let mut cursor = Cursor { at: 0, from: 0 };
        while let Some(l) = self.links.get_mut(link) {
            let Some(front) = l.expects.front() else {
                if cursor.at < chunk.len() {
                    self.link_lost(link, "the backend sent bytes that nobody asked for");
                }
                break;
            };
            if cursor.at == chunk.len() && !l.scan.is_due() {
                break;
            }
            debug_assert!(!l.scan.is_done(), "a finished reply is taken off at once");
            let to_client = matches!(front.purpose, Purpose::Client);
            let step = l.scan.advance(&mut self.blocks.bytes_mut(&chunk)[cursor.at..]);
            let alive = if to_client {
                self.client_step(link, &chunk, &mut cursor, step)
            } else {
                self.own_step(link, &chunk, &mut cursor, step)
            };
            if !alive {
                break;
            }
            if self.links.get(link).is_some_and(|l| l.scan.is_done()) {
                self.forward_run(link, &chunk, &mut cursor);
                self.reply_ended(link);
            }
        }
        self.forward_run(link, &chunk, &mut cursor);
        self.blocks.release(chunk);
    }

    /// One step of a reply that goes to the client. False: the link is gone.
    fn client_step(&mut self, link: Key<Link>, chunk: &Chunk, cursor: &mut Cursor, step: Step) -> bool {
        match step {
            Step::Pass(n) => cursor.at += n,
            Step::Hold(n) => {
                self.forward_run(link, chunk, cursor);
                cursor.at += n;
                cursor.from = cursor.at;
            }
            Step::Release => self.forward_held(link),
            Step::ColumnsEnd => {
                self.forward_run(link, chunk, cursor);
                self.columns_ended(link);
            }
            Step::Packet { what, len, held } => {
                if what == What::Err {
                    // Whether the command may be sent again depends on whether anything of its reply has gone out.
                    self.forward_run(link, chunk, cursor);
                }
                let mut packet = std::mem::take(&mut self.packet);
                packet.clear();
                if held {
                    packet.extend_from_slice(self.links[link].scan.held());
                } else {
                    packet.extend_from_slice(&self.blocks.bytes(chunk)[cursor.at..cursor.at + len]);
                }
                let verdict = self.judge_packet(link, what, &mut packet);
                match verdict {
                    Verdict::AsItIs if !held => cursor.at += len,
                    Verdict::AsItIs | Verdict::Changed => {
                        self.forward_run(link, chunk, cursor);
                        cursor.at += len;
                        cursor.from = cursor.at;
                        self.to_client(link, &packet);
                    }
                    Verdict::Swallowed => {
                        self.forward_run(link, chunk, cursor);
                        cursor.at += len;
                        cursor.from = cursor.at;
                    }
                }
                self.packet = packet;
            }
            Step::Broken(what) => {
                self.counters.backend_errors += 1;
                self.forward_run(link, chunk, cursor);
                self.link_lost(link, what.0);
                return false;
            }
        }
        self.links.get(link).is_some()
    }

    /// One step of a reply that is for the gate itself.
    fn own_step(&mut self, link: Key<Link>, chunk: &Chunk, cursor: &mut Cursor, step: Step) -> bool {
        match step {
            Step::Pass(n) => {
                let l = &mut self.links[link];
                if l.captured.len() + n <= INJECTED_REPLY_BYTES_MAX {
                    l.captured.extend_from_slice(&self.blocks.bytes(chunk)[cursor.at..cursor.at + n]);
                }
                cursor.at += n;
            }
            Step::Hold(n) => cursor.at += n,
            Step::Release => {
                let l = &mut self.links[link];
                l.captured.extend_from_slice(l.scan.held());
            }
            Step::ColumnsEnd => {}
            Step::Packet { what, len, held } => {
                let packet = if held {
                    self.links[link].scan.held().to_vec()
                } else {
                    self.blocks.bytes(chunk)[cursor.at..cursor.at + len].to_vec()
                };
                cursor.at += len;
                cursor.from = cursor.at;
                return self.own_packet(link, what, &packet[HEADER_BYTES..]);
            }
            Step::Broken(what) => {
                self.counters.backend_errors += 1;
                self.link_lost(link, what.0);
                return false;
            }
        }
        cursor.from = cursor.at;
        true
    }

    fn forward_run(&mut self, link: Key<Link>, chunk: &Chunk, cursor: &mut Cursor) {
        if cursor.from < cursor.at
            && let Some((wire, gets_eofs)) = self.client_of(link)
        {
            let run = cursor.from..cursor.at;
            // Behind it comes an EOF that the backend has not sent: in one piece with that it costs less than two.
            let part = if gets_eofs && run.len() <= COPIED_BYTES_MAX {
                self.blocks.copy::<COPIED_BYTES_MAX>(chunk, run)
            } else {
                self.blocks.share(chunk, run)
            };
            self.links[link].forwarded += part.len() as u64;
            self.wires[wire].out.push(&mut self.blocks, part);
            self.touch(wire);
            let feeder = self.links[link].wire;
            self.hold_back(wire, feeder);
            self.answering(link);
        }
        cursor.from = cursor.at;
    }

    fn forward_held(&mut self, link: Key<Link>) {
        if let Some(wire) = self.client_wire(link) {
            let held = self.links[link].scan.held().to_vec();
            self.links[link].forwarded += held.len() as u64;
            self.say(wire, &held);
            self.answering(link);
        }
    }

    /// A packet of the gate's making, in the reply's place and with its sequence number.
    pub(crate) fn to_client(&mut self, link: Key<Link>, packet: &[u8]) {
        if let Some(wire) = self.client_wire(link) {
            self.links[link].forwarded += packet.len() as u64;
            self.say(wire, packet);
            self.answering(link);
        }
    }

    /// The wire of the session that leases this link.
    fn client_wire(&self, link: Key<Link>) -> Option<Key<crate::wire::Wire>> {
        self.client_of(link).map(|(wire, _)| wire)
    }

    /// The same, and whether its client gets EOF packets, which the gate makes.
    fn client_of(&self, link: Key<Link>) -> Option<(Key<crate::wire::Wire>, bool)> {
        match self.links.get(link)?.lessee? {
            Lessee::Session(session) => {
                let s = self.sessions.get(session)?;
                Some((s.wire, !s.caps.contains(Capabilities::DEPRECATE_EOF)))
            }
            Lessee::Kill(_) | Lessee::Index => None,
        }
    }

    /// A special packet of a reply to the gate's own command. False: the link is gone.
    fn own_packet(&mut self, link: Key<Link>, what: What, payload: &[u8]) -> bool {
        let caps = self.links[link].caps;
        if what == What::Err {
            return self.own_command_failed(link, payload);
        }
        if let What::Ok | What::RowsEnd = what {
            let Ok(ok) = OkPacket::decode(payload, caps) else {
                self.link_lost(link, "the backend's OK is malformed");
                return false;
            };
            self.links[link].status = ok.status;
            let mut schema = None;
            for track in Tracks::new(ok.track).flatten() {
                match track {
                    Track::Schema(name) => schema = Some(self.states.schema(name)),
                    Track::TransactionState(_) => self.owe_client(link, &track),
                    _ => {}
                }
            }
            if let Some(schema) = schema {
                self.links[link].schema = schema;
            }
        }
        if what == What::Text {
            self.links[link].captured.extend_from_slice(payload);
        }
        if let (What::PrepareOk, Ok(ok)) = (what, PrepareOk::decode(payload))
            && let Some(Purpose::Prepare(text)) = self.links[link].expects.front().map(|e| &e.purpose)
        {
            let text = text.clone();
            self.remember_prepared(link, &text, ok.statement_id);
        }
        true
    }

    /// News of a client's statement that failed come with the next OK, and that may be to a command of the gate's own.
    fn owe_client(&mut self, link: Key<Link>, track: &Track<'_>) {
        let l = &self.links[link];
        let Some(Lessee::Session(session)) = l.lessee else { return };
        let Some(s) = self.sessions.get_mut(session).filter(|_| l.last_session == Some(session)) else { return };
        if s.caps.contains(Capabilities::SESSION_TRACK) {
            s.trackers.owe(track);
        }
    }

    fn own_command_failed(&mut self, link: Key<Link>, payload: &[u8]) -> bool {
        let purpose = self.links[link].expects.front().map(|e| &e.purpose);
        match purpose {
            Some(Purpose::Schema(_) | Purpose::Prepare(_)) => {
                let is_name = matches!(purpose, Some(Purpose::Prepare(text)) if text.name.is_some());
                self.finish_expect(link);
                if !is_name || !self.go_on_without_names(link) {
                    self.alignment_failed(link, payload);
                }
                false
            }
            Some(Purpose::Variables(wants)) if self.links[link].state != *wants => {
                self.finish_expect(link);
                self.alignment_failed(link, payload);
                false
            }
            // Meant to fail; or then the locks are taken for held.
            Some(Purpose::Lead | Purpose::LocksAsked(_) | Purpose::NamedText(..)) => {
                self.links[link].has_conditions = self.links[link].flavour == Flavour::MariaDb;
                true
            }
            Some(Purpose::Setup) if ErrPacket::decode(payload).is_ok_and(|e| e.code == MUST_CHANGE_PASSWORD) => {
                self.password_expired(link);
                true
            }
            // What is asked before an orphan is ended has no answer then, so that nothing is.
            Some(Purpose::Kill | Purpose::Uptime | Purpose::OrphanAsked) => {
                self.links[link].has_conditions = self.links[link].flavour == Flavour::MariaDb;
                let code = ErrPacket::decode(payload).map_or(0, |e| e.code);
                self.log(crate::mail::Level::Info, "a KILL at a backend failed", format!("error {code}"));
                true
            }
            _ => {
                let text = ErrPacket::decode(payload)
                    .map_or(String::new(), |e| format!("{} {}", e.code, String::from_utf8_lossy(e.message)));
                self.log(crate::mail::Level::Warn, "a backend refused a statement of the gate's own", text);
                self.link_lost(link, "the backend refused a statement of the gate's own");
                false
            }
        }
    }

    /// Takes the finished expectation off and readies the scan for the next.
    pub(crate) fn finish_expect(&mut self, link: Key<Link>) -> Option<Purpose> {
        let l = &mut self.links[link];
        let done = l.expects.pop_front()?;
        if let Some(next) = l.expects.front() {
            let (kind, to_client) = (next.kind, matches!(next.purpose, Purpose::Client));
            l.scan.restart(kind, l.caps);
            if to_client {
                let wanted = match l.lessee {
                    Some(Lessee::Session(s)) => {
                        self.sessions.get(s).is_some_and(|s| !s.caps.contains(Capabilities::DEPRECATE_EOF))
                    }
                    _ => false,
                };
                l.scan.mark_columns_end(wanted);
            }
        }
        Some(done.purpose)
    }

    /// The last byte of the first expected reply has come; a command without a reply may stand behind it.
    pub(crate) fn reply_ended(&mut self, link: Key<Link>) {
        while let Some(purpose) = self.finish_expect(link) {
            self.purpose_served(link, purpose);
            let next = self.links.get(link).and_then(|l| l.expects.front());
            if next.is_none_or(|next| next.kind != ReplyKind::Nothing) || self.is_streaming_to(link) {
                return;
            }
        }
    }

    /// More of the client's command is still to come.
    fn is_streaming_to(&self, link: Key<Link>) -> bool {
        let Some(Lessee::Session(session)) = self.links[link].lessee else { return false };
        matches!(&self.sessions[session].phase, Phase::Relaying(request) if request.body != Body::Whole)
    }

    fn purpose_served(&mut self, link: Key<Link>, purpose: Purpose) {
        match purpose {
            Purpose::Client => self.client_reply_ended(link),
            Purpose::Setup => self.setup_done(link),
            Purpose::Variables(wants) => {
                let l = &mut self.links[link];
                if l.state != wants {
                    self.accepted.insert((l.backend, l.state.0, wants.0));
                    l.state = wants;
                }
                self.go_on(link);
            }
            Purpose::Schema(schema) => {
                self.links[link].schema = schema;
                self.go_on(link);
            }
            Purpose::Prepare(text) => {
                self.named_prepared(link, &text);
                self.go_on(link);
            }
            Purpose::InsertId(session) => {
                self.insert_id_kept(link, session);
                self.go_on(link);
            }
            Purpose::Given | Purpose::Lead => self.wake_aligning(link),
            Purpose::Trackers => {
                self.conclude(link);
                self.wake_aligning(link);
            }
            Purpose::LocksAsked(session) => self.locks_told(session, link),
            Purpose::NamedText(session, name) => self.named_text_told(session, link, &name),
            Purpose::UserVariables(session) => self.user_variables_told(session, link),
            Purpose::Switches(session) => self.switches_told(session, link),
            Purpose::Conditions(session) => self.conditions_told(session, link),
            Purpose::TrackersAsked(session, names) => self.trackers_told(session, link, &names),
            Purpose::Kill => self.errand_done(link),
            Purpose::Uptime => self.uptime_told(link),
            Purpose::OrphanAsked => self.orphan_told(link),
            Purpose::Index => self.index_answered(link),
            Purpose::Writable => self.writable_told(link),
        }
    }

    /// A step may wait until nothing is under way (a change of user): whatever reply is the last one wakes it. A command that
    /// was refused meanwhile has left its connection for then.
    fn wake_aligning(&mut self, link: Key<Link>) {
        let Some(l) = self.links.get(link).filter(|l| l.expects.is_empty()) else { return };
        let Some(Lessee::Session(session)) = l.lessee else { return };
        match self.sessions.get(session).map(|s| &s.phase) {
            Some(Phase::Aligning(_)) => self.proceed(session),
            Some(Phase::Ready) => self.settle_unsent(session),
            _ => {}
        }
    }

    fn go_on(&mut self, link: Key<Link>) {
        match self.links[link].lessee {
            Some(Lessee::Session(session)) => match self.sessions.get(session).map(|s| &s.phase) {
                Some(Phase::Verify(_)) => self.verify_on(session, link),
                // Its command was refused meanwhile.
                Some(Phase::Ready) if self.links[link].expects.is_empty() => self.settle_unsent(session),
                _ => self.proceed(session),
            },
            Some(Lessee::Index) => self.prepare_index(link),
            Some(Lessee::Kill(errand)) => self.prepare_errand(link, errand),
            None if matches!(self.links[link].phase, LinkPhase::Retiring) => self.retire(link),
            None if matches!(self.links[link].phase, LinkPhase::Cleaning) => self.clean(link),
            None => {}
        }
    }
}

/// Another payload behind the packet's header.
pub(crate) fn replace_error(packet: &mut Vec<u8>, payload: &[u8]) -> Verdict {
    packet.truncate(HEADER_BYTES);
    packet[..3].copy_from_slice(&(payload.len() as u32).to_le_bytes()[..3]);
    packet.extend_from_slice(payload);
    Verdict::Changed
}
