//! The hub: the one word that holds now, and those who watch it.
//!
//! Invariant: there is one word at a time; who reads slowly skips words and then reads the newest. Nobody is waited for.

use super::membership::{Enrolment, Membership};
use super::word::{Care, Word};
use crate::monitor::Sight;
use tokio::sync::watch;
use tokio::time::Instant;

#[derive(Clone)]
pub struct Hub {
    word: watch::Sender<Word>,
}

impl Hub {
    pub fn new(word: Word) -> Hub {
        Hub { word: watch::Sender::new(word) }
    }

    pub fn handle_sight(&self, sight: Sight) {
        let mut before = None;
        self.word.send_if_modified(|word| {
            before = Some(word.standing);
            word.handle(sight)
        });
        let word = self.word.borrow();
        if before != Some(word.standing) {
            let state = word.standing.name();
            match word.standing.is_sound() {
                true => tracing::info!(event = "tablet_state", state, "the server is {state}"),
                false => tracing::warn!(
                    event = "tablet_state",
                    state,
                    why = word.why,
                    advice = word.advice,
                    "the server is {state}: {}",
                    word.why
                ),
            }
        }
    }

    pub fn handle_membership(&self, now: Instant, membership: &Membership) {
        let mut before = None;
        self.word.send_if_modified(|word| {
            before = Some((word.enrolment, word.primary.clone()));
            word.enrol(now, membership)
        });
        let Some((enrolment, primary)) = before else { return };
        if enrolment == Enrolment::Registered && membership.enrolment(now) == Enrolment::NotRegistered {
            let why = membership.why();
            tracing::warn!(event = "lease_over", epoch = membership.epoch(), "the lease is over: {why}");
        }
        if membership.primary().unwrap_or_default() != primary {
            let (duty, epoch) = (membership.duty().name(), membership.epoch());
            let primary = membership.primary().unwrap_or("nobody");
            tracing::info!(event = "duty", duty, epoch, primary, "the topology names {primary} as primary");
        }
    }

    /// From the steward.
    pub fn handle_care(&self, care: Care) {
        self.word.send_if_modified(|word| word.handle_care(care));
    }

    pub fn word(&self) -> Word {
        self.word.borrow().clone()
    }

    pub fn subscribe(&self) -> watch::Receiver<Word> {
        self.word.subscribe()
    }
}
