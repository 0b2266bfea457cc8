//! Settling: after a reply's last byte, what the session keeps and whether its connection goes back (S06, S21, S25, S32, S62).
//!
//! ```text
//!   again ◄─ the server refused before running it
//!   hold  ◄─ IN_TRANS, or a pin: the reasons a plan gives, a variable that cannot travel, warnings that may be asked for
//!   back  ◄─ otherwise
//! ```

use crate::engine::Engine;
use crate::link::Link;
use crate::link::expect::Purpose;
use crate::session::pins::{self, Reasons};
use crate::session::prepared::Busy;
use crate::session::previous::{Found, found_rows, keeps_diagnostics, keeps_row_count};
use crate::session::refuse::Refusal;
use crate::session::trackers::last_row;
use crate::session::user_variables::is_by_trigger;
use crate::session::{Body, Phase, Progress, Request, Session, Wrote};
use crate::slots::Key;
use crate::snapshot::Role;
use weir_net::command::Command;
use weir_net::flags::Status;
use weir_net::scan::ReplyKind;
use weir_planner::{Asks, Effects, Kind, Plan, Route};

/// The server refused a write since it takes none: nothing of it ran. Other options share the number 1290.
pub(crate) fn is_read_only(code: u16, message: &[u8]) -> bool {
    let says = |text: &[u8]| message.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text));
    match code {
        1290 => says(b"--read-only") || says(b"--super-read-only"),
        1836 => true,
        3100 => says(b"before_commit"),
        _ => false,
    }
}

impl Engine {
    /// The reply to the client's own command has ended.
    pub(crate) fn client_reply_ended(&mut self, link: Key<Link>) {
        let Some(crate::link::Lessee::Session(session)) = self.links[link].lessee else { return };
        let s = &mut self.sessions[session];
        let mut request = match std::mem::replace(&mut s.phase, Phase::Ready) {
            Phase::Relaying(request) | Phase::Feeding(request, _) => request,
            other => {
                s.phase = other;
                return;
            }
        };
        let answer_ns = self.now.since_ns(request.sent_at);
        self.backend_ns.saturating_record(answer_ns);
        self.traffic[self.links[link].backend.0 as usize].answered(answer_ns / 1_000);
        if request.progress == Progress::Sent && request.outcome.error.is_some() && !request.kept.is_empty() {
            // The judge of its ERR has swallowed it: once more, on this or another connection.
            return self.send_again(session, request);
        }
        request.kept.clear(&mut self.blocks);
        self.log_relayed(session, link, &mut request);
        self.digest_relayed(session, link, &request);
        self.audit_relayed(session, &request);
        if request.may_commit() && (request.outcome.error.is_some() || self.links[link].is_bare()) {
            // A part of it may have been committed; nobody would have been told.
            self.links[link].trail.doubt();
        }
        self.note_transaction_end(session, &request);
        let cut_off = request.body != Body::Whole;
        let released = self.releases(session, &request);
        self.sessions[session].phase = Phase::Relaying(request);
        self.settle_pins(session, link);
        self.settle_freshness(session);
        self.settle_previous(session, link);
        let void = self.links[link].void;
        if !cut_off && !released && !void && self.asks_afterwards(session, link) {
            self.sessions[session].phase = Phase::Asking;
            return;
        }
        if let Phase::Relaying(request) = std::mem::replace(&mut self.sessions[session].phase, Phase::Ready) {
            self.lay_aside(request);
        }
        if cut_off || released {
            // `COMMIT RELEASE`: the server closes behind its answer. Or it has answered before the command was whole (packet too large): it closes, and so do we.
            self.drop_link(link);
            self.sessions[session].lease = None;
            return self.end_session(session, crate::session::farewell::Parting::AfterSending);
        }
        if void {
            return self.leave_void(session, link);
        }
        self.keep_or_give_back(session, link);
    }

    /// Its transaction was given up. What may be asked about the error, the gate knows; the connection still is in the transaction.
    fn leave_void(&mut self, session: Key<Session>, link: Key<Link>) {
        let backend = self.snapshot.backend(self.links[link].backend).name.clone();
        self.forget_server_state(session);
        let (code, state, message) = Refusal::TransactionLost { backend }.words();
        let s = &mut self.sessions[session];
        s.previous.failed(code, state, &message);
        s.lease = None;
        self.links[link].lessee = None;
        self.drop_link(link);
        self.rest(session);
    }

    fn keep_or_give_back(&mut self, session: Key<Session>, link: Key<Link>) {
        if self.links[link].hunt.is_some() && self.waits_for_hunt(session, link) {
            return;
        }
        let in_transaction = self.links[link].status.contains(Status::IN_TRANS);
        if !in_transaction && self.sessions[session].pins.is_empty() {
            self.give_back(session);
        }
        self.rest(session);
    }

    /// Questions of the gate's own behind a command; false when there is none.
    fn asks_afterwards(&mut self, session: Key<Session>, link: Key<Link>) -> bool {
        if self.links[link].is_bare() {
            return self.ask_bare(session, link);
        }
        let Phase::Relaying(request) = &self.sessions[session].phase else { return false };
        let (asks, warnings) = (request.outcome.switched, request.outcome.warnings);
        let plan = request.plan.clone().filter(|_| request.command != Command::StmtPrepare);
        if asks {
            self.ask_switches(session, link);
        }
        let Some(plan) = plan else { return asks };
        if self.ask_named_text(session, link, &plan, warnings) {
            return true;
        }
        let Some(text) = self.sessions[session].held.question(&plan) else { return asks };
        self.links[link].captured.clear();
        self.inject(link, ReplyKind::Query, Purpose::LocksAsked(session), Command::Query, &text);
        true
    }

    /// Which user locks the session still has.
    pub(crate) fn locks_told(&mut self, session: Key<Session>, link: Key<Link>) {
        let values = last_row(&std::mem::take(&mut self.links[link].captured));
        if self.sessions.get_mut(session).is_some_and(|s| s.held.locks_told(&values)) {
            self.unpin(session, Reasons::USER_LOCK);
        }
        self.conclude(link);
    }

    /// The gate's own questions behind a command have been answered.
    pub(crate) fn conclude(&mut self, link: Key<Link>) {
        let Some(crate::link::Lessee::Session(session)) = self.links[link].lessee else { return };
        if self.links[link].expects.is_empty() && matches!(self.sessions[session].phase, Phase::Asking) {
            self.keep_or_give_back(session, link);
        }
    }

    /// True when the server closes the connection behind its answer: `COMMIT RELEASE`, also by `completion_type`.
    fn releases(&self, session: Key<Session>, request: &Request) -> bool {
        let Some(plan) = request.plan.as_ref().filter(|_| request.outcome.error.is_none()) else { return false };
        let by_default = || {
            let kind = self.states.variable(self.sessions[session].state, "completion_type");
            plan.kind != Kind::Multi
                && plan.effects.intersects(Effects::COMMIT | Effects::ROLLBACK)
                && !plan.effects.contains(Effects::CHAIN)
                && kind.is_some_and(|kind| kind == b"RELEASE" || kind == b"2")
        };
        request.command == Command::Query && (plan.effects.contains(Effects::RELEASE) || by_default())
    }

    /// What the next statement may ask about this one (S21).
    fn settle_previous(&mut self, session: Key<Session>, link: Key<Link>) {
        let slot = self.links[link].slot;
        let shows_more = self.shows_more(session, self.links[link].backend);
        let s = &mut self.sessions[session];
        s.freshness.saw_primary |= shows_more;
        let Phase::Relaying(request) = &s.phase else { return };
        if keeps_diagnostics(request.command) {
            s.previous.passed_by(slot, self.links[link].goes_on || request.outcome.error.is_some());
            return s.previous.commanded(request.command, request.outcome.error.is_some(), Some(slot));
        }
        if s.previous.was_refused_early(request, slot, self.links[link].goes_on) {
            return;
        }
        let asked = request.plan.as_ref().filter(|p| p.kind == Kind::Show && p.asks.contains(Asks::DIAGNOSTICS));
        let shows_earlier = request
            .plan
            .as_ref()
            .is_some_and(|p| p.asks.contains(Asks::CONDITIONS_WITHIN) && p.asks.contains(Asks::DIAGNOSTICS));
        let earlier = if shows_earlier { s.previous.warnings } else { 0 };
        let kept = asked.map_or(request.conditions().max(earlier), |_| s.previous.warnings);
        let found = match found_rows(request) {
            // A cursor's rows are still to come; the server has counted them.
            Found::Counted(_) if self.links[link].status.contains(Status::CURSOR_EXISTS) => Found::OnServer,
            found => found,
        };
        let row_count = s.previous.row_count;
        s.previous.ran(slot, &request.outcome, found, self.links[link].goes_on);
        if keeps_row_count(request) {
            s.previous.row_count = row_count;
        }
        s.previous.warnings = kept;
    }

    fn settle_pins(&mut self, session: Key<Session>, link: Key<Link>) {
        let s = &self.sessions[session];
        let Phase::Relaying(request) = &s.phase else { return };
        let (command, outcome, statement) = (request.command, request.outcome, request.statement);
        let conditions = request.conditions();
        let plan = request.plan.clone();
        let status = self.links[link].status;
        let on_replica = self.snapshot.backend(self.links[link].backend).role == Role::Replica;
        let failed = outcome.error.is_some();
        let mut add = Reasons::default();
        let mut end = Reasons::default();
        if let Some(plan) = plan.filter(|_| command != Command::StmtPrepare && !outcome.ran_nothing) {
            if plan.effects.contains(Effects::IMPLICIT_COMMIT) && matches!(plan.kind, Kind::Ddl | Kind::Multi) {
                self.texts.definitions_changed();
            }
            add = pins::of_plan(&plan);
            if pins::did_not_parse(&plan, &outcome) {
                add.0 &= !Reasons::UNKNOWN.0;
            }
            self.links[link].owes_gtid |= failed && self.has_committed(session, &plan, status);
            if !failed {
                end = pins::ended_by_plan(&plan);
                end.0 |= self.sessions[session].held.settle(&plan, outcome.warnings).0;
            }
            let s = &mut self.sessions[session];
            let mut sets_user_variables = s.user_variables.handle(&plan, s.state, failed);
            if outcome.state_changed && (!on_replica || plan.calls_vouched()) && is_by_trigger(&plan) {
                s.user_variables.handle_unseen();
                sets_user_variables = true;
            }
            if sets_user_variables {
                add.0 |= Reasons::USER_VARIABLE.0;
            }
            if s.user_variables.are_known() {
                add.0 &= !Reasons::USER_VARIABLE.0;
                end.0 |= Reasons::USER_VARIABLE.0;
            }
            if sets_user_variables {
                self.note_user_variables(session, link, &plan);
            }
            self.settle_named(session, link, &plan, failed);
            if !failed && plan.effects.contains(Effects::SET_ROLE) && !self.settle_role(session, link, &plan) {
                add.0 |= Reasons::ROLE.0;
            }
            // Without autocommit the first statement that touches data begins the transaction, and the flag comes then.
            if plan.effects.contains(Effects::SAVEPOINT) && !status.intersects(Status::IN_TRANS | Status::AUTOCOMMIT) {
                add.0 |= Reasons::SAVEPOINT.0;
            }
            let uses_up = Effects::WRITES | Effects::COMMIT | Effects::ROLLBACK | Effects::IMPLICIT_COMMIT;
            if plan.effects.intersects(uses_up) && !failed && !status.contains(Status::IN_TRANS) {
                end.0 |= Reasons::TRANSACTION_ONCE.0;
            }
        }
        if matches!(command, Command::BinlogDump | Command::BinlogDumpGtid | Command::RegisterSlave) {
            add.0 |= Reasons::BINLOG.0;
        }
        if failed || (conditions > 0 && !keeps_diagnostics(command)) {
            add.0 |= Reasons::DIAGNOSTICS.0;
        }
        self.settle_statement(session, command, statement, status);
        let held = self.sessions[session].held_by_statements();
        add.0 |= held.0;
        end.0 |= Reasons::OF_STATEMENTS.without(held).0;
        end.0 &= !add.0;
        self.pin(session, add);
        self.unpin(session, end);
    }

    fn settle_statement(&mut self, session: Key<Session>, command: Command, statement: Option<u32>, status: Status) {
        let Some(id) = statement else { return };
        let busy = match command {
            Command::StmtSendLongData => Busy::LongData,
            Command::StmtExecute if status.contains(Status::CURSOR_EXISTS) => Busy::Cursor,
            Command::StmtFetch if !status.contains(Status::LAST_ROW_SENT) => Busy::Cursor,
            _ => Busy::No,
        };
        self.statement_busy(session, id, busy);
    }

    pub(crate) fn unpin(&mut self, session: Key<Session>, reasons: Reasons) {
        let s = &mut self.sessions[session];
        let was = s.pins.is_empty();
        s.pins.drop(reasons);
        if !was && s.pins.is_empty() {
            self.counters.sessions_pinned -= 1;
        }
    }

    /// What was open before a statement that failed. `status` is that of the statement before it: an ERR has none.
    fn has_committed(&self, session: Key<Session>, plan: &Plan, status: Status) -> bool {
        let may_write = status.contains(Status::IN_TRANS) && !status.contains(Status::IN_TRANS_READONLY);
        let has_written = may_write && self.sessions[session].wrote == Wrote::Something;
        has_written && plan.effects.contains(Effects::IMPLICIT_COMMIT)
    }

    /// A write that came without a GTID: reads stay on the primary until one covers it (S62).
    fn settle_freshness(&mut self, session: Key<Session>) {
        let s = &mut self.sessions[session];
        let Phase::Relaying(request) = &s.phase else { return };
        let Some(plan) = request.plan.as_ref().filter(|_| request.command != Command::StmtPrepare) else { return };
        let failed = request.outcome.error.is_some();
        let sure =
            matches!(plan.kind, Kind::Insert | Kind::Replace | Kind::Update | Kind::Delete) && plan.statements == 1;
        const MAY_WRITE: Effects =
            Effects::WRITES.union(Effects::CALL).union(Effects::UNKNOWN).union(Effects::IMPLICIT_COMMIT);
        // What `BEGIN` commits others wrote before it.
        let may_write = plan.kind != Kind::Begin && plan.effects.intersects(MAY_WRITE) && plan.route != Route::Read;
        // A plain statement that changed no row, or failed as a whole, wrote nothing.
        // One that returns rows (MariaDB's `RETURNING`) counts none.
        let has_rows = request.outcome.rows.is_some();
        let nothing = sure && (failed || (request.outcome.affected_rows == 0 && !has_rows));
        let nothing = nothing || request.outcome.ran_nothing;
        if may_write && !nothing && !request.outcome.gtid {
            s.wrote = Wrote::Something;
        }
        if s.wrote == Wrote::Something && !s.status.contains(Status::IN_TRANS) {
            let rolled_back = plan.effects.contains(Effects::ROLLBACK) && !failed;
            s.wrote = Wrote::Nothing;
            if !rolled_back && !request.outcome.gtid {
                s.freshness.primary_only = true;
            }
        }
    }

    /// Whether a command that this error refused can be sent again: the server did not run it (S70).
    pub(crate) fn may_send_again(&self, session: Key<Session>, link: Key<Link>, code: u16, is_read_only: bool) -> bool {
        let s = &self.sessions[session];
        let Phase::Relaying(request) = &s.phase else { return false };
        if request.kept.is_empty() {
            return false;
        }
        if is_read_only {
            // Refused before it ran; of a procedure, or of what nobody understands, a part may have run. How often is
            // bounded by the time that a statement may wait for a primary.
            let simple = request.plan.as_ref().is_some_and(|p| !p.effects.intersects(Effects::CALL | Effects::UNKNOWN));
            let free = s.pins_for_good().is_empty() && !self.links[link].status.contains(Status::IN_TRANS);
            return free && simple && self.was_taken_for_primary(self.links[link].backend);
        }
        if request.resends >= crate::limits::RESENDS_MAX {
            return false;
        }
        match code {
            // Disconnected for inactivity: it was said before our command was read.
            4031 => s.pins.is_empty() && !self.links[link].status.contains(Status::IN_TRANS),
            // The server is going down: a read outside a transaction may run elsewhere (S71).
            1053 => {
                let in_transaction = self.links[link].status.contains(Status::IN_TRANS);
                request.may_run_twice(in_transaction) && s.pins_for_good().is_empty() && !in_transaction
            }
            // Prepared statement needs to be re-prepared: nothing ran.
            1615 => request.command == Command::StmtExecute,
            _ => false,
        }
    }

    /// A transaction whose write was refused as read-only, on what we took for the primary: it can't be committed there, and
    /// its client is told to begin again (S73). True: so it is, and it ends with its connection.
    pub(crate) fn transaction_is_void(&mut self, session: Key<Session>, link: Key<Link>) -> bool {
        let l = &self.links[link];
        let s = &self.sessions[session];
        let backend = l.backend;
        if !l.status.contains(Status::IN_TRANS)
            || l.status.contains(Status::IN_TRANS_READONLY)
            || !self.was_taken_for_primary(backend)
            || !s.pins_for_good().is_empty()
        {
            return false;
        }
        self.primary_refused(backend);
        self.links[link].void = true;
        self.links[link].status = self.links[link].status.minus(Status::IN_TRANS);
        if let Phase::Relaying(request) = &mut self.sessions[session].phase {
            request.outcome.error = Some(1213);
        }
        self.forget_server_state(session);
        true
    }

    /// Sends a command again: on the held connection when there is a reason to hold it, else wherever it fits now.
    fn send_again(&mut self, session: Key<Session>, mut request: Box<Request>) {
        let code = request.outcome.error.take().unwrap_or(0);
        request.outcome = Default::default();
        let link = self.sessions[session].lease;
        if let (1290 | 1836 | 3100, Some(link)) = (code, link) {
            let backend = self.links[link].backend;
            self.primary_refused(backend);
            self.counters.writes_resent += 1;
            self.sessions[session].lease = None;
            self.links[link].lessee = None;
            self.drop_link(link);
            self.forget_server_state(session);
            return self.decide(session, request);
        }
        request.resends += 1;
        request.since = self.now;
        if code == 1615 {
            if let (Some(link), Some(id)) = (link, request.statement)
                && let Some(statement) = self.sessions[session].statements.get(&id)
            {
                let text = statement.text.id;
                self.links[link].statements.remove(&text);
            }
            self.sessions[session].phase = Phase::Aligning(request);
            return self.proceed(session);
        }
        if let Some(link) = self.sessions[session].lease.take() {
            let backend = self.links[link].backend;
            self.links[link].lessee = None;
            self.drop_link(link);
            if code == 1053 {
                request.failed = Some((backend, self.now));
                self.shed_idle(backend, self.now);
                self.forget_server_state(session);
            }
        }
        self.counters.reads_resent += 1;
        self.decide(session, request);
    }

    /// The leased connection died: what the client is told, and what may be tried again (S70 to S73).
    pub(crate) fn lease_lost(&mut self, session: Key<Session>, link: Key<Link>) {
        let in_transaction = self.links[link].status.contains(Status::IN_TRANS);
        let s = &mut self.sessions[session];
        s.lease = None;
        let pinned = !s.pins_for_good().is_empty();
        match std::mem::replace(&mut s.phase, Phase::Ready) {
            Phase::Verify(verify) => {
                s.phase = Phase::Verify(verify);
                self.decide_anew(session);
            }
            // Nothing of the client's is under way: it learns of the loss with its next command.
            Phase::Ready | Phase::Asking | Phase::Farewell | Phase::Greet(_) => {
                self.lease_lost_at_rest(session, in_transaction);
            }
            Phase::Aligning(request) if !in_transaction && !pinned => {
                self.forget_server_state(session);
                self.decide(session, request)
            }
            Phase::Relaying(mut request) | Phase::Feeding(mut request, _) | Phase::Aligning(mut request) => {
                if request.progress == Progress::Answering || request.body != Body::Whole {
                    // Bytes of the reply are out: no error packet fits behind them. As when MySQL itself dies.
                    request.kept.clear(&mut self.blocks);
                    return self.end_session(session, crate::session::farewell::Parting::AfterSending);
                }
                self.lost_unanswered(session, link, request);
            }
            other @ (Phase::Waiting(..)
            | Phase::Killing(..)
            | Phase::Setting(..)
            | Phase::Showing(_)
            | Phase::Unresolved(..)) => self.sessions[session].phase = other,
        }
    }

    /// A transaction or pinned state was lost while the client rested: its next command hears of it.
    fn lease_lost_at_rest(&mut self, session: Key<Session>, in_transaction: bool) {
        let hard = self.sessions[session].pins_for_good();
        if !in_transaction && hard.is_empty() {
            self.forget_server_state(session);
            return self.rest(session);
        }
        // As a server that closes the connection: nothing of what was lost can be rebuilt in silence (S25).
        let backend = "its backend".to_string();
        let why = if in_transaction { Refusal::TransactionLost { backend } } else { Refusal::BackendLost { backend } };
        if in_transaction && hard.is_empty() {
            self.forget_server_state(session);
            self.sessions[session].lost = Some(why);
            return self.rest(session);
        }
        self.part_with(session, 0, &why);
    }

    /// What lived only on a connection that is gone.
    pub(crate) fn forget_server_state(&mut self, session: Key<Session>) {
        let s = &mut self.sessions[session];
        s.user_variables_lost();
        s.named_lost();
        if !s.pins.is_empty() {
            self.counters.sessions_pinned -= 1;
        }
        s.pins.clear();
        s.held = Default::default();
        s.wrote = Wrote::Nothing;
        s.status = s.status.minus(Status::IN_TRANS).minus(Status::IN_TRANS_READONLY);
        s.transaction_unsure = false;
        for statement in s.statements.values_mut() {
            statement.busy = Busy::No;
        }
    }

    /// An error for the request in hand (in `Waiting`).
    pub(crate) fn refuse_request(&mut self, session: Key<Session>, why: &Refusal) {
        match std::mem::replace(&mut self.sessions[session].phase, Phase::Ready) {
            Phase::Waiting(request, _) | Phase::Aligning(request) => self.refuse(session, request, why),
            other => self.sessions[session].phase = other,
        }
    }
}
