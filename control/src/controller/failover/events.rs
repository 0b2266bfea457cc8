//! The timeline: what happened when while the primary moved, as events for the log, metrics and `weir ctl events`.

use super::sight::Sight;
use super::verdict::Cause;
use super::witness;
use crate::controller::record::Phase;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;
use weir_net::gtid::GtidSet;

/// One thing that happened. Times are from the first sign of the trouble, or from the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: Kind,
    pub epoch: u64,
    pub text: String,
    /// Of the last event of a move: its parts.
    pub parts: Option<Parts>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing moves, and why.
    Waits,
    FailoverBegan(Cause),
    SwitchoverBegan,
    /// The former primary takes no writes.
    Fenced,
    Chosen,
    /// So many transactions that nobody here has.
    Lost(u64),
    /// The new primary takes writes.
    Opened,
    GivenUp,
    Diverged,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Waits => "waits",
            Kind::FailoverBegan(_) => "failover_began",
            Kind::SwitchoverBegan => "switchover_began",
            Kind::Fenced => "fenced",
            Kind::Chosen => "chosen",
            Kind::Lost(_) => "lost",
            Kind::Opened => "opened",
            Kind::GivenUp => "given_up",
            Kind::Diverged => "diverged",
        }
    }

    pub fn is_trouble(self) -> bool {
        matches!(self, Kind::Waits | Kind::FailoverBegan(_) | Kind::Lost(_) | Kind::GivenUp | Kind::Diverged)
    }
}

/// How long each part of a move took, in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// From the first sign to the record without a primary; of a switchover: the drain.
    pub detect_ms: u64,
    /// To the former one being fenced.
    pub fence_ms: u64,
    /// To the record with the new one; of a switchover: catching up.
    pub choose_ms: u64,
    /// To the new one taking writes: applying what it had received, and opening.
    pub open_ms: u64,
}

impl Parts {
    pub fn total_ms(&self) -> u64 {
        self.detect_ms + self.fence_ms + self.choose_ms + self.open_ms
    }
}

#[derive(Debug, Default)]
pub struct Timeline {
    events: VecDeque<Event>,
    under_way: Option<Move>,
    epoch: u64,
}

/// A move that has begun.
#[derive(Debug)]
struct Move {
    sign: Instant,
    vacant: Option<Instant>,
    fenced: Option<Instant>,
    named: Option<Instant>,
}

impl Timeline {
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// A failover begins; `sign` is when the primary was first seen dead.
    pub fn begin(&mut self, now: Instant, sign: Instant, sight: &Sight, primary: &str, cause: Cause) {
        // One that follows another before that has ended is one move to those who wait.
        let sign = self.under_way.as_ref().map_or(sign, |under_way| under_way.sign);
        self.under_way = Some(Move { sign, vacant: None, fenced: None, named: None });
        let seen_ms = now.saturating_duration_since(sign).as_millis();
        let mut text = match cause {
            Cause::Deposed => format!("'{primary}' is primary no more, first seen {seen_ms} ms ago"),
            _ => format!("'{primary}' is dead ({}), first seen {seen_ms} ms ago", cause.name()),
        };
        let gates = witness::say(now, sight, primary);
        if !gates.is_empty() {
            text += &format!("; {gates}");
        }
        self.tell(Kind::FailoverBegan(cause), text, None);
    }

    pub fn handle_phase(&mut self, now: Instant, sight: &Sight) {
        self.epoch = sight.epoch();
        match &sight.record.phase {
            Phase::Forming => {}
            Phase::Handover { primary, heir } => {
                self.under_way = Some(Move { sign: now, vacant: None, fenced: None, named: None });
                self.tell(Kind::SwitchoverBegan, format!("from '{primary}' to '{heir}'"), None);
            }
            Phase::Interregnum { .. } => {
                let under_way =
                    self.under_way.get_or_insert(Move { sign: now, vacant: None, fenced: None, named: None });
                under_way.vacant.get_or_insert(now);
            }
            Phase::Steady { .. } => match &mut self.under_way {
                Some(under_way) if under_way.vacant.is_some() => under_way.named = Some(now),
                Some(_) => {
                    self.under_way = None;
                    self.tell(Kind::GivenUp, sight.record.reason.clone(), None);
                }
                None => {}
            },
        }
    }

    /// The new primary may have opened.
    pub fn handle_sight(&mut self, now: Instant, sight: &Sight) {
        self.epoch = sight.epoch();
        let Some(primary) = sight.record.primary() else { return };
        let Some(named) = self.under_way.as_ref().and_then(|under_way| under_way.named) else { return };
        let is_open = sight.member(primary).is_some_and(|seen| seen.is_sound() && seen.is_writable);
        if !is_open {
            return;
        }
        let Some(Move { sign, vacant, fenced, .. }) = self.under_way.take() else { return };
        let vacant = vacant.unwrap_or(named);
        let fenced = fenced.unwrap_or(vacant).min(named);
        let ms = |from: Instant, to: Instant| to.saturating_duration_since(from).as_millis() as u64;
        let parts = Parts {
            detect_ms: ms(sign, vacant),
            fence_ms: ms(vacant, fenced),
            choose_ms: ms(fenced, named),
            open_ms: ms(named, now),
        };
        let text = format!("'{primary}' takes writes, {} ms after the first sign", parts.total_ms());
        self.tell(Kind::Opened, text, Some(parts));
    }

    pub fn fenced(&mut self, now: Instant) {
        let Some(under_way) = self.under_way.as_mut().filter(|under_way| under_way.fenced.is_none()) else { return };
        under_way.fenced = Some(now);
        self.tell(Kind::Fenced, "the former primary takes no writes".to_string(), None);
    }

    pub fn chosen(&mut self, now: Instant, name: &str, lost: &GtidSet) {
        let since =
            self.under_way.as_ref().map_or(Duration::ZERO, |under_way| now.saturating_duration_since(under_way.sign));
        self.tell(Kind::Chosen, format!("'{name}', {} ms after the first sign", since.as_millis()), None);
        if !lost.is_empty() {
            self.tell(Kind::Lost(lost.count()), format!("{} transactions: {lost}", lost.count()), None);
        }
    }

    pub fn diverged(&mut self, name: &str, extra: &GtidSet) {
        self.tell(Kind::Diverged, format!("'{name}' has {} transactions of its own: {extra}", extra.count()), None);
    }

    pub fn complaint(&mut self, _now: Instant, why: &str) {
        self.tell(Kind::Waits, why.to_string(), None);
    }

    fn tell(&mut self, kind: Kind, text: String, parts: Option<Parts>) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(Event { kind, epoch: self.epoch, text, parts });
    }
}

/// Events that nobody has taken yet.
const EVENTS_MAX: usize = 256;
