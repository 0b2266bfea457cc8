//! Statements about how fresh reads are: the session's level and its patience, hints, and reads that say what they show.

use weir_core::snapshot::Consistency;
use weir_net::flags::Capabilities;

use crate::sim::client::ask::{Ask, Want, is};
use crate::sim::client::mind::{Effect, Mind};
use crate::sim::client::script::{Feature, Script, Todo};
use crate::sim::random::Random;

pub const LEVELS: &[Consistency] =
    &[Consistency::Eventual, Consistency::Session, Consistency::Instance, Consistency::Global];

impl Script {
    pub(super) fn levels(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Option<Ask> {
        match random.below(20) {
            0..4 => Some(set_level(random, caps)),
            4 => Some(set_timeout(random, caps)),
            5..8 => self.planned(random, mind, caps, Todo::WriteValue),
            8..11 if !mind.in_transaction() => {
                self.todo.extend([Todo::Horizon, Todo::ReadValue, Todo::Horizon, Todo::Commit, Todo::Horizon]);
                let read_only = random.chance(70);
                self.planned(random, mind, caps, Todo::Begin { read_only })
            }
            _ => self.planned(random, mind, caps, Todo::Horizon),
        }
    }

    /// How much of the log a read shows, in the words of the read itself.
    pub(super) fn horizon(&mut self, random: &mut Random, mind: &Mind, caps: Capabilities) -> Ask {
        let (tag, wish) = (self.tag(), self.wish(random));
        let on_primary = !mind.in_transaction() && random.chance(20);
        let text = format!("SELECT {}'{tag}', n FROM db1.horizon WHERE id=1", hint_at(on_primary, wish));
        let mut ask = Ask::query(tag, caps, &text).rows(vec![vec![is(tag), Want::AtLeast(0)]]).read().touches();
        ask.wish = wish;
        ask.is_horizon = true;
        self.numbered(ask)
    }

    /// The level that a statement's own hint asks for.
    pub(super) fn wish(&self, random: &mut Random) -> Option<Consistency> {
        (self.has(Feature::Levels) && random.chance(40)).then(|| *random.pick(LEVELS))
    }

    /// The level of a read with this hint. Within a transaction that of its first statement holds.
    pub fn level(&self, mind: &Mind, wish: Option<Consistency>) -> Consistency {
        match &mind.transaction {
            Some(open) => open.promise.level,
            None => wish.or(mind.level).unwrap_or(self.rules.level),
        }
    }
}

/// The comment, with a space behind it.
pub(super) fn hint(wish: Option<Consistency>) -> String {
    hint_at(false, wish)
}

fn hint_at(on_primary: bool, wish: Option<Consistency>) -> String {
    let place = on_primary.then(|| "ROLE=PRIMARY ".to_string());
    let level = wish.map(|level| format!("READ_AFTER_WRITE_CONSISTENCY={} ", name(level)));
    let words: String = [place, level].into_iter().flatten().collect();
    if words.is_empty() { words } else { format!("/*vt+ {words}*/ ") }
}

pub fn name(level: Consistency) -> String {
    format!("{level:?}").to_uppercase()
}

/// The gate's own variables: no server hears of it, so no answer has a tag.
fn set_level(random: &mut Random, caps: Capabilities) -> Ask {
    let level = random.chance(85).then(|| *random.pick(LEVELS));
    let value = level.map_or_else(|| "DEFAULT".to_string(), name);
    let scope = *random.pick(&["", "SESSION ", "@@session."]);
    Ask::untagged(caps, &format!("SET {scope}read_after_write_consistency={value}")).effect(Effect::Level(level))
}

fn set_timeout(random: &mut Random, caps: Capabilities) -> Ask {
    let seconds = *random.pick(&["0", "0.001", "0.02", "0.3", "DEFAULT"]);
    Ask::untagged(caps, &format!("SET read_after_write_timeout={seconds}"))
}
