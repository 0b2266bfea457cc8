//! Getting a connection: a lease at once, or a place in line with a limit and a time (S74), and giving it back.
//!
//! Invariant: a session that waits has exactly one ticket, and the ticket's waiter is that session.

use crate::allowance::WEIGHT_USUAL;
use crate::engine::{Engine, Waiter};
use crate::link::{Lessee, Link, LinkPhase};
use crate::session::pins::Reasons;
use crate::session::refuse::Refusal;
use crate::session::{Phase, Request, Session, Wait};
use crate::slots::Key;
use crate::snapshot::BackendId;
use weir_pool::{Fit, Grant, SlotId, Want};

impl Engine {
    /// Asks the pool for a connection to `backend` for this command.
    pub(crate) fn acquire_for(&mut self, session: Key<Session>, backend: BackendId, mut request: Box<Request>) {
        let schemaless = request.schemaless.is_some();
        match self.ask_pool(session, backend, schemaless) {
            Grant::Lease { slot, fit } => self.lease_at_once(session, slot, fit, request),
            Grant::Wait(ticket) => {
                request.lined_at = self.now;
                // From the moment that the command came, however often it changed lines since.
                let deadline = request.since.plus_ms(self.snapshot.settings.wait_ms_max);
                self.sessions[session].phase = Phase::Waiting(request, Wait::Line(ticket));
                self.arm_session(session, deadline);
            }
            Grant::Refused(_) => {
                let why = self.line_full(backend);
                self.refuse(session, request, &why);
            }
        }
    }

    /// Asks the pool for a connection to `backend` for a login, in `Verify`.
    pub(crate) fn acquire_to_verify(&mut self, session: Key<Session>, backend: BackendId) {
        match self.ask_pool(session, backend, false) {
            Grant::Lease { slot, fit } => self.lease_granted(session, slot, fit),
            Grant::Wait(ticket) => match &mut self.sessions[session].phase {
                Phase::Verify(verify) => verify.ticket = Some(ticket),
                _ => unreachable!("a login is verified"),
            },
            Grant::Refused(_) => {
                let why = self.line_full(backend);
                let Phase::Verify(verify) = &self.sessions[session].phase else { return };
                let seq = verify.seq;
                self.part_with(session, seq, &why);
            }
        }
    }

    fn ask_pool(&mut self, session: Key<Session>, backend: BackendId, schemaless: bool) -> Grant {
        let s = &self.sessions[session];
        let want = Want {
            account: s.account.0,
            class: s.class.0,
            schema: if schemaless { 0 } else { s.schema.0 },
            fingerprint: s.state.0,
            prefer: s.last_link,
            weight: s.seat.as_ref().map_or(WEIGHT_USUAL, |seat| seat.weight()),
        };
        let grant = self.pool.acquire(self.now.0, backend.0, &want);
        match grant {
            Grant::Lease { .. } => {}
            Grant::Wait(ticket) => {
                self.waiters.insert(ticket, Waiter::Session(session));
                self.counters.waits += 1;
            }
            Grant::Refused(_) => self.counters.waits_failed += 1,
        }
        grant
    }

    fn line_full(&self, backend: BackendId) -> Refusal {
        let view = self.snapshot.backend(backend);
        Refusal::LineFull { backend: view.name.clone(), limit: self.snapshot.settings.waiters_max }
    }

    /// A session that waited in line has been given a connection.
    pub(crate) fn lease_granted(&mut self, session: Key<Session>, slot: SlotId, fit: Fit) {
        match std::mem::replace(&mut self.sessions[session].phase, Phase::Ready) {
            Phase::Verify(verify) => {
                let link = self.lease(session, slot, fit);
                self.sessions[session].phase = Phase::Verify(verify);
                self.arm_session(session, self.now.plus_ms(self.snapshot.settings.handshake_ms_max));
                self.verify_on(session, link);
            }
            Phase::Waiting(request, _) => {
                if self.restraint.admission.is_on {
                    self.note_wait(self.now.since_ns(request.lined_at));
                }
                self.lease_for(session, slot, fit, request);
            }
            _ => unreachable!("only a session that waits is given a connection"),
        }
    }

    /// The same without a wait in line.
    pub(crate) fn lease_at_once(&mut self, session: Key<Session>, slot: SlotId, fit: Fit, request: Box<Request>) {
        if self.restraint.admission.is_on {
            self.note_wait(0);
        }
        self.lease_for(session, slot, fit, request);
    }

    /// The command goes on with the connection that the pool has given.
    fn lease_for(&mut self, session: Key<Session>, slot: SlotId, fit: Fit, mut request: Box<Request>) {
        self.lease(session, slot, fit);
        match self.now.since_ns(request.since) {
            0 => self.waits_none += 1,
            waited => {
                request.waited_ns = waited;
                self.wait_ns.saturating_record(waited);
            }
        }
        self.sessions[session].phase = Phase::Aligning(request);
        self.proceed(session);
    }

    fn lease(&mut self, session: Key<Session>, slot: SlotId, fit: Fit) -> Key<Link> {
        let link = self.slot_links.get(slot.index).expect("a slot that is leased has a link");
        self.counters.leases += 1;
        match fit {
            Fit::Same => {}
            Fit::State => self.counters.leases_aligned += 1,
            Fit::Account => self.counters.leases_user_changed += 1,
        }
        let l = &mut self.links[link];
        debug_assert!(matches!(l.phase, LinkPhase::Idle), "only idle links are leased");
        l.phase = LinkPhase::Leased;
        l.lessee = Some(Lessee::Session(session));
        let s = &mut self.sessions[session];
        s.lease = Some(link);
        s.last_link = Some(slot);
        self.arm_session(session, crate::time::Instant::NEVER);
        link
    }

    /// A session that ends leaves its connection behind in whatever state: idle, to be cleaned, or cut.
    pub(crate) fn abandon_lease(&mut self, link: Key<Link>, session: &Session, ends: bool) {
        let l = &mut self.links[link];
        l.lessee = None;
        l.last_session = None;
        let busy = !l.expects.is_empty() || !matches!(l.phase, LinkPhase::Leased) || l.hunt.is_some();
        if busy {
            // A statement may be running for nobody: cut the connection, and have its thread killed (S50).
            let backend = l.backend;
            if l.may_hold() {
                self.orphan_of(link, ends);
            }
            self.forget_link(link);
            return self.send_errands(backend);
        }
        if !session.pins.reasons().without(Reasons::SOFT).is_empty()
            || l.user_variables.are_many()
            || l.status.contains(weir_net::flags::Status::IN_TRANS)
        {
            return self.clean(link);
        }
        self.to_pool(link);
    }

    /// Gives a clean, resting connection back.
    pub(crate) fn give_back(&mut self, session: Key<Session>) {
        let Some(link) = self.sessions[session].lease.take() else { return };
        let l = &mut self.links[link];
        // Who ran nothing there is not its last session: what that one left is still to be asked for.
        l.lessee = None;
        if l.user_variables.are_many() || l.named.are_many() {
            return self.clean(link);
        }
        self.to_pool(link);
    }

    /// Back to the pool: only with every reply complete (S32).
    pub(crate) fn to_pool(&mut self, link: Key<Link>) {
        let l = &mut self.links[link];
        assert!(l.expects.is_empty() && l.lessee.is_none(), "a link rests before it is shared");
        if l.spoiled || l.slot == SlotId::NOWHERE {
            return self.retire(link);
        }
        l.phase = LinkPhase::Idle;
        l.rested_at = self.now;
        let wire = l.wire;
        let (slot, account, class, schema, state) = (l.slot, l.account.0, l.class.0, l.schema.0, l.state.0);
        self.pool.release(self.now.0, slot, account, class, schema, state);
        // It may have been held back for a client that still has to take the end of its reply.
        self.resume(wire);
    }

    /// Time is up for a session that waits.
    pub(crate) fn wait_timed_out(&mut self, session: Key<Session>) {
        let Phase::Waiting(request, wait) = &self.sessions[session].phase else { return };
        if matches!(wait, Wait::Stream | Wait::Index(_)) {
            return self.read_on_primary(session);
        }
        let waited_ms = self.now.since_ms(request.since);
        self.counters.waits_failed += 1;
        let why = match *wait {
            Wait::Turn => self.turn_timed_out(session, waited_ms),
            Wait::Primary | Wait::Stream | Wait::Index(_) => {
                self.buffer.remove(session);
                self.counters.buffer_failed += 1;
                Refusal::NoPrimary { waited_ms }
            }
            Wait::Line(ticket) => {
                let backend = self.pool.backend_of(ticket).map(BackendId);
                self.pool.cancel(ticket);
                self.waiters.remove(&ticket);
                let backend = backend.or_else(|| self.snapshot.primary()).unwrap_or(BackendId(0));
                Refusal::WaitTimeout {
                    backend: self.snapshot.backend(backend).name.clone(),
                    waited_ms,
                    quota: self.pool.quota(backend.0),
                    waiting: self.pool.waiting(backend.0),
                }
            }
        };
        self.refuse_request(session, &why);
    }
}
