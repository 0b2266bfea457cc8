//! The witness: what this gate sees of the primary by itself.
//!
//! An acknowledged write is seen on the board where cores note their clients' GTIDs; a refusal or a dial that fails is what cores
//! tell as a suspicion. Both are there anyway, so it costs nothing on a query's path. Of tablets' words one is passed on: that the
//! primary is read-only. Controllers that are cut off from that tablet do not hear it, and a gate that does sends no write that could
//! be refused.

use crate::controller::outlook::{Outlook, Reach};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio::time::Instant;
use weir_core::board::{Board, Glance};
use weir_net::gtid::GtidSet;

/// Held by the control thread, and by the task that tells the controllers.
#[derive(Clone)]
pub struct Witness {
    state: Arc<Mutex<State>>,
    /// Grows when the reach is another one.
    changes: watch::Sender<u64>,
}

struct State {
    board: Arc<Board>,
    glance: Glance,
    written: Arc<GtidSet>,
    primary: Option<String>,
    /// None: nothing was seen yet.
    reach: Option<(Reach, Instant)>,
    answered: Option<Instant>,
    /// Its tablet says so now.
    is_read_only: bool,
}

impl Witness {
    pub fn new(board: Arc<Board>) -> Witness {
        let (mut glance, primary) = (Glance::default(), None);
        let written = board.written(&mut glance);
        let state = State { board, glance, written, primary, reach: None, answered: None, is_read_only: false };
        Witness { state: Arc::new(Mutex::new(state)), changes: watch::channel(0).0 }
    }

    /// Another one is primary: what was seen was of the one before.
    pub fn handle_primary(&self, primary: Option<&str>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.primary.as_deref() != primary {
            state.look();
            (state.primary, state.reach, state.answered) = (primary.map(str::to_string), None, None);
            state.is_read_only = false;
        }
    }

    /// A core was refused there, or could open no connection.
    pub fn handle_suspect(&self, now: Instant, backend: &str, reach: Reach) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.primary.as_deref() == Some(backend) {
            self.set(&mut state, now, reach);
        }
    }

    /// The primary's tablet, which is heard here, says whether the server is read-only.
    pub fn handle_word(&self, is_read_only: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut state.is_read_only, is_read_only) != is_read_only {
            self.changes.send_modify(|changes| *changes += 1);
        }
    }

    /// What is seen at this moment.
    pub fn outlook(&self, now: Instant) -> Option<Outlook> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.look() && state.primary.is_some() {
            state.answered = Some(now);
            self.set(&mut state, now, Reach::Answers);
        }
        if state.is_read_only && state.primary.is_some() {
            self.set(&mut state, now, Reach::ReadOnly);
        }
        let (reach, since) = state.reach?;
        let age = |at: Instant| u32::try_from(now.saturating_duration_since(at).as_millis()).unwrap_or(u32::MAX);
        let (since_ms, answered_ms) = (age(since), state.answered.map(age));
        Some(Outlook { primary: state.primary.clone()?, reach, since_ms, answered_ms })
    }

    /// Of the reach, for who tells it.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What a server says of itself counts from the last time that it said so: it may have been made writable again, and nobody has
    /// tried. What was not seen counts from the first sign on.
    fn set(&self, state: &mut State, now: Instant, reach: Reach) {
        let is_new = state.reach.is_none_or(|(before, _)| before != reach);
        if is_new || reach == Reach::ReadOnly {
            state.reach = Some((reach, now));
        }
        if is_new {
            self.changes.send_modify(|changes| *changes += 1);
        }
    }
}

impl State {
    /// Whether a write was acknowledged since the last look.
    fn look(&mut self) -> bool {
        let written = self.board.written(&mut self.glance);
        let is_new = !Arc::ptr_eq(&written, &self.written);
        self.written = written;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn write(board: &Board, number: u64) {
        let text = format!("3aecbfe0-e779-11f1-be4c-02fc00000001:{number}");
        board.note(&GtidSet::parse(text.as_bytes()).unwrap(), &GtidSet::new());
    }

    #[test]
    fn writes_answer_and_suspicions_are_of_the_primary_alone() {
        let (board, now) = (Arc::<Board>::default(), Instant::now());
        let witness = Witness::new(board.clone());
        let at = |ms: u64| now + Duration::from_millis(ms);
        write(&board, 1);
        assert_eq!(witness.outlook(at(0)), None, "nobody is primary");
        witness.handle_primary(Some("a"));
        witness.handle_suspect(at(1), "b", Reach::Silent);
        assert_eq!(witness.outlook(at(2)), None);
        write(&board, 2);
        let seen =
            |reach, since_ms, answered_ms| Some(Outlook { primary: "a".to_string(), reach, since_ms, answered_ms });
        assert_eq!(witness.outlook(at(10)), seen(Reach::Answers, 0, Some(0)));
        assert_eq!(witness.outlook(at(40)), seen(Reach::Answers, 30, Some(30)));
        let mut changes = witness.changes();
        changes.mark_unchanged();
        witness.handle_suspect(at(50), "a", Reach::Silent);
        assert!(changes.has_changed().unwrap());
        witness.handle_suspect(at(70), "a", Reach::Silent);
        assert_eq!(witness.outlook(at(90)), seen(Reach::Silent, 40, Some(80)), "from the first sign on");
        write(&board, 3);
        assert_eq!(witness.outlook(at(100)), seen(Reach::Answers, 0, Some(0)));
        witness.handle_suspect(at(101), "a", Reach::ReadOnly);
        witness.handle_suspect(at(103), "a", Reach::ReadOnly);
        assert_eq!(witness.outlook(at(105)), seen(Reach::ReadOnly, 2, Some(5)), "from the last word on");
        witness.handle_word(true);
        assert_eq!(witness.outlook(at(106)), seen(Reach::ReadOnly, 0, Some(6)), "it says so all the time");
        assert_eq!(witness.outlook(at(107)), seen(Reach::ReadOnly, 0, Some(7)));
        witness.handle_word(false);
        assert_eq!(witness.outlook(at(109)), seen(Reach::ReadOnly, 2, Some(9)));
        write(&board, 4);
        witness.handle_primary(Some("b"));
        assert_eq!(witness.outlook(at(110)), None, "what was written before is no word about it");
    }
}
