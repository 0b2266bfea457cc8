//! A session's seat: what its account may use of the gate, and whether its statement has its turn.
//!
//! ```text
//!   login ─► seat: one of connections_max                        decide ─► turn: one of running_max ─► … ─► rest: the turn ends
//!               └─ 1226                                             └─ Waiting(Turn) ─ 1226 ─┘
//! ```
//! A turn is had by a statement (`COM_QUERY`, `COM_STMT_EXECUTE`) from before it looks for a connection until its session rests. A
//! transaction that rests has none. Statements of a session that holds a connection count and never wait: they hold what others may
//! wait for, and those would keep the turns for ever.
//!
//! Invariant: a session without an allowance has no seat, and costs a branch. A turn that was given is ended, whatever becomes of
//! the session: `rest` and `end_session` are the two ends of a command.

use crate::allowance::Allowance;
use crate::engine::{Action, Engine};
use crate::mail::{CoreId, Mail};
use crate::session::previous::ABOUT_PREVIOUS;
use crate::session::refuse::Refusal;
use crate::session::{Phase, Request, Session, Wait};
use crate::slots::Key;
use crate::tally::usage::{InLine, Joined, Usage};
use std::collections::VecDeque;
use std::sync::Arc;
use weir_net::command::Command;

#[derive(Debug)]
pub struct Seat {
    allowance: Arc<Allowance>,
    usage: Arc<Usage>,
    turn: Turn,
}

/// Those that have come for sessions of a core, and how many have been asked for.
#[derive(Debug, Default)]
pub struct Turns {
    given: VecDeque<(Key<Session>, u64, Arc<Usage>)>,
    asked: u64,
}

impl Turns {
    /// Another one for each attempt, whatever comes of it.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    None,
    /// By this number.
    Awaited(u64),
    Had,
}

impl Seat {
    pub fn weight(&self) -> u32 {
        self.allowance.weight
    }
}

impl Engine {
    /// Its account is proven: what it may use from here on. The seat of the account before is given up.
    pub(crate) fn take_seat(&mut self, session: Key<Session>) -> Result<(), Refusal> {
        self.leave_seat(session);
        let settings = self.snapshot.settings.clone();
        let user = self.accounts.get(self.sessions[session].account).user.clone();
        let Some(allowance) = settings.allowances.of(&user) else {
            self.sessions[session].times = settings.times;
            return Ok(());
        };
        let usage = self.tally.usage(&user);
        let limit = allowance.connections_max;
        if !usage.connect(limit) {
            self.counters.account_connections_refused += 1;
            let user = String::from_utf8_lossy(&user).into_owned();
            return Err(Refusal::AccountConnections { user, limit });
        }
        usage.set_running_max(allowance.running_max);
        let s = &mut self.sessions[session];
        s.times = allowance.times(settings.times);
        s.seat = Some(Box::new(Seat { allowance: allowance.clone(), usage, turn: Turn::None }));
        Ok(())
    }

    fn leave_seat(&mut self, session: Key<Session>) {
        self.end_turn(session);
        if let Some(seat) = self.sessions[session].seat.take() {
            seat.usage.disconnect();
        }
    }

    /// The session is gone, and with it all that it used.
    pub(crate) fn seat_left(&mut self, session: Key<Session>, seat: &Seat) {
        self.turn_ends(session, seat.turn, &seat.usage);
        seat.usage.disconnect();
    }

    /// Other limits hold: who is here keeps its connection.
    pub(crate) fn adopt_allowances(&mut self) {
        self.adopt_weights();
        let settings = self.snapshot.settings.clone();
        for session in self.sessions.keys() {
            let Some(s) = self.sessions.get_mut(session) else { continue };
            if matches!(s.phase, Phase::Greet(_) | Phase::Verify(_)) {
                s.times = settings.times;
                continue;
            }
            let user = self.accounts.get(s.account).user.clone();
            let allowance = settings.allowances.of(&user);
            s.times = allowance.map_or(settings.times, |allowance| allowance.times(settings.times));
            match (&mut s.seat, allowance) {
                (None, None) => {}
                (Some(seat), allowance) => {
                    seat.allowance = allowance.cloned().unwrap_or_default();
                    seat.usage.set_running_max(seat.allowance.running_max);
                    let usage = seat.usage.clone();
                    self.pass_turns_on(&usage);
                }
                (None, Some(allowance)) => {
                    let usage = self.tally.usage(&user);
                    usage.connect(0);
                    usage.set_running_max(allowance.running_max);
                    s.seat = Some(Box::new(Seat { allowance: allowance.clone(), usage, turn: Turn::None }));
                }
            }
        }
    }

    /// The command may run; None: it waits for its turn, or has been refused.
    pub(crate) fn take_turn(&mut self, session: Key<Session>, request: Box<Request>) -> Option<Box<Request>> {
        let s = &mut self.sessions[session];
        let Some(seat) = s.seat.as_mut() else { return Some(request) };
        let counts = matches!(request.command, Command::Query | Command::StmtExecute);
        if seat.allowance.running_max == 0 || !counts || seat.turn == Turn::Had {
            return Some(request);
        }
        if s.lease.is_some() || request.asks().intersects(ABOUT_PREVIOUS) {
            seat.usage.force();
            seat.turn = Turn::Had;
            return Some(request);
        }
        let (core, number) = (self.core, self.restraint.turns.next_number());
        let joined = match seat.usage.begin() {
            true => Joined::Runs,
            false => seat.usage.join(in_line(core, session, number), seat.allowance.waiting_max),
        };
        match joined {
            Joined::Runs => {
                seat.turn = Turn::Had;
                Some(request)
            }
            Joined::Waits => {
                seat.turn = Turn::Awaited(number);
                let within = seat.allowance.wait_ms_max.unwrap_or(self.snapshot.settings.wait_ms_max);
                let until = request.since.plus_ms(within);
                self.counters.turns_waited += 1;
                s.phase = Phase::Waiting(request, Wait::Turn);
                self.arm_session(session, until);
                None
            }
            Joined::Full => {
                self.counters.turns_refused += 1;
                let why = self.turn_refusal(session, None);
                self.refuse(session, request, &why);
                None
            }
        }
    }

    pub(crate) fn turn_timed_out(&mut self, session: Key<Session>, waited_ms: u64) -> Refusal {
        if let Some(why) = self.lane_timed_out(session) {
            return why;
        }
        self.counters.turns_timed_out += 1;
        self.turn_refusal(session, Some(waited_ms))
    }

    fn turn_refusal(&self, session: Key<Session>, waited_ms: Option<u64>) -> Refusal {
        let s = &self.sessions[session];
        let (limit, waiting_max) =
            s.seat.as_ref().map_or((0, 0), |seat| (seat.allowance.running_max, seat.allowance.waiting_max));
        Refusal::AccountRunning { user: self.user_of(s), limit, waiting_max, waited_ms }
    }

    /// False: none has come.
    pub(crate) fn give_a_turn(&mut self) -> bool {
        let Some((session, number, usage)) = self.restraint.turns.given.pop_front() else { return false };
        self.turn_given(session, number, &usage);
        true
    }

    /// A turn has come for this session, if it still waits for this one.
    pub(crate) fn turn_given(&mut self, session: Key<Session>, number: u64, usage: &Arc<Usage>) {
        if let Some(s) = self.sessions.get_mut(session)
            && let Some(seat) = s.seat.as_mut().filter(|seat| seat.turn == Turn::Awaited(number))
        {
            seat.turn = Turn::Had;
            match std::mem::replace(&mut s.phase, Phase::Ready) {
                Phase::Waiting(request, Wait::Turn) => self.decide(session, request),
                other => s.phase = other,
            }
            return;
        }
        if let Some(s) = self.sessions.get_mut(session)
            && let Some(lanes) = s.lanes.as_mut().filter(|lanes| lanes.awaits(number))
        {
            lanes.take_awaited();
            match std::mem::replace(&mut s.phase, Phase::Ready) {
                Phase::Waiting(request, Wait::Turn) => self.decide(session, request),
                other => s.phase = other,
            }
            return;
        }
        usage.end();
        self.pass_turns_on(usage);
    }

    /// The session rests.
    #[inline]
    pub(crate) fn end_turn(&mut self, session: Key<Session>) {
        if let Some(lanes) = self.sessions[session].lanes.take() {
            self.leave_lanes(session, *lanes);
        }
        let Some(seat) = &mut self.sessions[session].seat else { return };
        let turn = std::mem::replace(&mut seat.turn, Turn::None);
        if turn != Turn::None {
            let usage = seat.usage.clone();
            self.turn_ends(session, turn, &usage);
        }
    }

    fn turn_ends(&mut self, session: Key<Session>, turn: Turn, usage: &Arc<Usage>) {
        match turn {
            Turn::None => {}
            // One that is on the way already comes back by `turn_given`.
            Turn::Awaited(number) => {
                usage.leave(in_line(self.core, session, number));
            }
            Turn::Had => {
                usage.end();
                self.pass_turns_on(usage);
            }
        }
    }

    pub(crate) fn pass_turns_on(&mut self, usage: &Arc<Usage>) {
        while let Some(InLine { core, index, generation, number }) = usage.next() {
            let (session, usage) = (Key::new(index, generation), usage.clone());
            if core == self.core {
                self.restraint.turns.given.push_back((session, number, usage));
            } else {
                self.actions.push_back(Action::Post { core, mail: Mail::Turn { session, number, usage } });
            }
        }
    }
}

pub(crate) fn in_line(core: CoreId, session: Key<Session>, number: u64) -> InLine {
    InLine { core, index: session.index, generation: session.generation, number }
}
