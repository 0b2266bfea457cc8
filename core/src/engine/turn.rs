//! The turn: what is due after a batch of events, and the wires' way from "touched" to "closed".
//!
//! ```text
//!  runnable sessions ─► hand-overs by the pool ─► dials, evictions, quota ─► records sealed, Send actions
//!        ▲                      │
//!        └──────────────────────┘   (until nothing moves)
//! ```

use super::{Action, Engine, Waiter};
use crate::limits::{FAREWELL_MS, QUESTIONS_MS, QUEUE_BYTES_HIGH, QUEUE_BYTES_LOW};
use crate::link::Lessee;
use crate::session::pins::Reasons;
use crate::session::{Phase, Session};
use crate::slots::Key;
use crate::wire::{Owner, Wire};
use weir_pool::{Fit, SlotId};

impl Engine {
    /// Brings everything to rest that the events since the last turn have started.
    pub(crate) fn finish_turn(&mut self) {
        loop {
            if let Some(session) = self.runnable.pop_front() {
                self.run(session);
                continue;
            }
            if let Some((ticket, slot, fit)) = self.pool.poll_ready(self.now.0) {
                self.handed_over(ticket, slot, fit);
                continue;
            }
            if self.give_a_turn() || self.open_and_evict() || self.end_questions() {
                continue;
            }
            if let Some(wire) = self.unpacking.pop() {
                self.unpack(wire);
                continue;
            }
            break;
        }
        self.tell_handed_over();
        self.move_quota();
        self.flush_touched();
        self.tell_drained();
    }

    fn handed_over(&mut self, ticket: weir_pool::Ticket, slot: SlotId, fit: Fit) {
        match self.waiters.remove(&ticket) {
            Some(Waiter::Session(session)) => self.lease_granted(session, slot, fit),
            Some(Waiter::Index(of, account)) => self.index_granted(of, account, slot),
            None => unreachable!("a ticket is cancelled before its waiter goes"),
        }
    }

    /// While somebody waits for a backend, connections there that are only kept for questions about their session's last
    /// statement, or for user variables that they can be asked for, are given up, oldest first.
    fn end_questions(&mut self) -> bool {
        while let Some((since, session)) = self.questioners.front().copied() {
            let held = self.sessions.get(session).filter(|s| s.could_give_up(since)).and_then(|s| s.lease);
            let Some(link) = held else {
                self.questioners.pop_front();
                continue;
            };
            let backend = self.links[link].backend.0;
            // While more may be opened, those who wait get one of their own.
            if self.pool.waiting(backend) == 0 || self.pool.open(backend) < self.pool.quota(backend) {
                return false;
            }
            let s = &self.sessions[session];
            let (has_untold, may_ask) = (s.is_held_by_untold(), s.pins.reasons().intersects(Reasons::SOFT));
            let until = since.plus_ms(QUESTIONS_MS);
            if may_ask && until > self.now {
                self.timers.set(&mut self.sweep, until, crate::timers::Owner::Core);
                return false;
            }
            self.questioners.pop_front();
            let asks_conditions = may_ask && s.previous.may_have_more && !s.facts.is_mariadb();
            if asks_conditions || has_untold {
                self.sessions[session].phase = Phase::Asking;
                if asks_conditions {
                    self.ask_conditions(session, link);
                }
                if has_untold {
                    self.ask_user_variables(session, link);
                }
                return true;
            }
            self.unpin(session, Reasons::SOFT);
            self.links[link].undisturbed = false;
            self.give_back(session);
            return true;
        }
        false
    }

    /// Puts bytes on a wire's queue.
    pub(crate) fn say(&mut self, wire: Key<Wire>, bytes: &[u8]) {
        let Some(entry) = self.wires.get_mut(wire).filter(|w| !w.closing) else { return };
        entry.out.push_bytes(&mut self.blocks, bytes);
        self.touch(wire);
    }

    /// Marks a wire for the flush at the end of the turn.
    pub(crate) fn touch(&mut self, wire: Key<Wire>) {
        let Some(entry) = self.wires.get_mut(wire) else { return };
        if !std::mem::replace(&mut entry.woken, true) {
            self.touched.push(wire);
        }
    }

    fn flush_touched(&mut self) {
        while let Some(key) = self.touched.pop() {
            let Some(wire) = self.wires.get_mut(key) else { continue };
            wire.woken = false;
            if wire.closing {
                continue;
            }
            let wire = if wire.layers.is_none() {
                wire
            } else {
                self.seal(key);
                &mut self.wires[key]
            };
            if wire.outbox().is_empty() {
                if wire.close_when_sent && wire.out.is_empty() {
                    self.close_wire(key);
                }
                continue;
            }
            self.actions.push_back(Action::Send { wire: key.into() });
        }
    }

    /// Bytes have left: reads that were held back for this queue go on.
    pub(crate) fn wire_drained(&mut self, key: Key<Wire>) {
        let wire = &self.wires[key];
        if wire.closing {
            return;
        }
        if wire.close_when_sent && wire.queued_bytes() == 0 {
            return self.close_wire(key);
        }
        if wire.queued_bytes() <= QUEUE_BYTES_LOW {
            let feeder = match wire.owner {
                Owner::Client(session) => self.sessions.get(session).and_then(|s| s.lease).map(|l| self.links[l].wire),
                Owner::Backend(link) => match self.links.get(link).and_then(|l| l.lessee) {
                    Some(Lessee::Session(session)) => self.sessions.get(session).map(|s| s.wire),
                    _ => None,
                },
                Owner::Nobody => None,
            };
            if let Some(feeder) = feeder {
                self.resume(feeder);
            }
        }
        if let Owner::Client(session) = self.wires[key].owner
            && self.sessions.get(session).is_some_and(|s| !s.inbound.is_empty())
        {
            self.runnable.push_back(session);
        }
    }

    /// Stops reading from `feeder` while the wire that it feeds has too much to send.
    pub(crate) fn hold_back(&mut self, fed: Key<Wire>, feeder: Key<Wire>) {
        if self.wires.get(fed).is_some_and(|w| w.queued_bytes() > QUEUE_BYTES_HIGH) {
            self.pause(feeder);
        }
    }

    pub(crate) fn pause(&mut self, key: Key<Wire>) {
        let Some(wire) = self.wires.get_mut(key).filter(|w| !w.closing) else { return };
        if !std::mem::replace(&mut wire.paused, true) {
            self.actions.push_back(Action::Pause { wire: key.into() });
        }
    }

    pub(crate) fn resume(&mut self, key: Key<Wire>) {
        let Some(wire) = self.wires.get_mut(key).filter(|w| !w.closing) else { return };
        if std::mem::replace(&mut wire.paused, false) {
            if wire.compressed().is_some_and(|compressed| compressed.is_due()) {
                self.unpacking.push(key);
            }
            self.actions.push_back(Action::Resume { wire: key.into() });
        }
    }

    /// Closes now; what is still queued is lost.
    pub(crate) fn close_wire(&mut self, key: Key<Wire>) {
        let Some(wire) = self.wires.get_mut(key) else { return };
        if !std::mem::replace(&mut wire.closing, true) {
            wire.owner = Owner::Nobody;
            if !wire.known {
                return self.handle_closed(self.now, key.into());
            }
            self.actions.push_back(Action::Close { wire: key.into() });
        }
    }

    /// Closes when everything queued has left.
    pub(crate) fn close_wire_when_sent(&mut self, key: Key<Wire>) {
        let Some(wire) = self.wires.get_mut(key) else { return };
        wire.owner = Owner::Nobody;
        if wire.ended && wire.queued_bytes() == 0 {
            return self.close_wire(key);
        }
        wire.close_when_sent = true;
        self.touch(key);
        self.partings.push_back((self.now, key));
    }

    /// Closes wires whose peer has had its time to read the last words.
    pub(crate) fn end_partings(&mut self) {
        while let Some((since, wire)) = self.partings.front().copied() {
            if since.plus_ms(FAREWELL_MS) > self.now && self.wires.get(wire).is_some_and(|w| !w.closing) {
                return;
            }
            self.partings.pop_front();
            self.close_wire(wire);
        }
    }

    /// True while the backend has not taken enough of what the client sends through: a long command, a file. Then it is
    /// `wire_drained` that lets the client go on.
    fn feeds_a_full_queue(&self, session: Key<Session>) -> bool {
        let link = self.sessions.get(session).and_then(|s| s.lease).and_then(|link| self.links.get(link));
        link.and_then(|l| self.wires.get(l.wire)).is_some_and(|wire| wire.queued_bytes() > QUEUE_BYTES_LOW)
    }

    /// Bytes from a session's client are wanted again, or not for now.
    pub(crate) fn balance_inbound(&mut self, session: Key<Session>) {
        let Some(s) = self.sessions.get(session) else { return };
        let (wire, waiting) = (s.wire, s.inbound.len());
        if waiting > crate::limits::INBOUND_BYTES_HIGH {
            return self.pause(wire);
        }
        let is_paused = self.wires.get(wire).is_some_and(|w| w.paused);
        if is_paused && waiting <= crate::limits::INBOUND_BYTES_HIGH / 2 && !self.feeds_a_full_queue(session) {
            self.resume(wire);
        }
    }
}
