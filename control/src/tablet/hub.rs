//! The hub: the one word that holds now, and those who watch it.
//!
//! Invariant: there is one word at a time; who reads slowly skips words and then reads the newest. Nobody is waited for.

use super::word::{Care, Word};
use crate::monitor::Sight;
use tokio::sync::watch;

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

    /// False: an older one than was heard of. From the controller.
    pub fn raise_epoch(&self, epoch: u64) -> bool {
        let mut is_taken = false;
        self.word.send_if_modified(|word| {
            is_taken = word.raise_epoch(epoch);
            is_taken
        });
        is_taken
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
