//! The events of a gate: the last ones, for `SHOW WEIR EVENTS`.
//!
//! Invariant: at most [`EVENTS_MAX`] are kept, the oldest go first; texts are cut to [`TEXT_BYTES_MAX`]. What is said here is in the log
//! too: this is for who has no log at hand.

use std::collections::VecDeque;
use std::time::SystemTime;
use tokio::time::Instant;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub at: SystemTime,
    pub kind: &'static str,
    pub subject: String,
    pub text: String,
}

#[derive(Debug, Default)]
pub struct Events {
    ring: VecDeque<Event>,
    /// Where writes go, as of the last word.
    primary: Option<String>,
    /// Since when there is none, and who was the last one.
    lost: Option<(Instant, String)>,
    /// Refused logins that were told already.
    refused_told: u64,
    /// The epoch that was told last.
    epoch_told: u64,
    /// Failovers that have ended, and the time that there was no primary in them.
    failovers: u64,
    absent_ms: u64,
    changes: u64,
}

impl Events {
    pub fn note(&mut self, kind: &'static str, subject: &str, text: impl Into<String>) {
        let mut text: String = text.into();
        if text.len() > TEXT_BYTES_MAX {
            let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            text.truncate(end);
            text.push('…');
        }
        if self.ring.len() >= EVENTS_MAX {
            self.ring.pop_front();
        }
        self.ring.push_back(Event { at: SystemTime::now(), kind, subject: subject.to_string(), text });
    }

    /// Oldest first.
    pub fn each(&self) -> impl Iterator<Item = &Event> {
        self.ring.iter()
    }

    /// Who takes writes now. Tells when that changes, and how long there was nobody.
    pub fn handle_primary(&mut self, now: Instant, primary: Option<&str>) {
        match (self.primary.take(), primary) {
            (Some(before), None) => {
                self.note("failover_began", &before, "no primary takes statements any more");
                self.lost = Some((now, before));
            }
            (None, Some(next)) => match self.lost.take() {
                Some((since, before)) => {
                    let pause_ms = now.duration_since(since).as_millis();
                    self.failovers += 1;
                    self.absent_ms = self.absent_ms.saturating_add(pause_ms as u64);
                    self.changes += u64::from(before != next);
                    let text = format!("{next} is primary after {before}; for {pause_ms} ms there was none");
                    self.note("failover_ended", next, text);
                }
                None => self.note("primary_found", next, "is primary"),
            },
            (Some(before), Some(next)) if before != next => {
                self.changes += 1;
                self.note(
                    "primary_changed",
                    next,
                    format!("{next} is primary after {before}, without a pause seen here"),
                );
            }
            _ => {}
        }
        self.primary = primary.map(ToString::to_string);
    }

    /// Name, value and explanation, as `Counters::each` has them.
    pub fn counters(&self) -> [(&'static str, u64, &'static str); 3] {
        [
            ("failovers", self.failovers, "Times that there was no primary for a while, and one again."),
            ("primary_changes", self.changes, "Times that another backend became the primary."),
            ("primary_absent_ms", self.absent_ms, "Time without a primary, in failovers that have ended."),
        ]
    }

    /// What the controllers say, once for each epoch.
    pub fn handle_epoch(&mut self, epoch: u64, cluster: &str, text: String) {
        if epoch > self.epoch_told {
            self.epoch_told = epoch;
            self.note("epoch", cluster, text);
        }
    }

    /// So many logins were refused since the start: told in sum, since a guesser would fill the ring.
    pub fn handle_refused(&mut self, refused: u64) {
        let more = refused.saturating_sub(self.refused_told);
        if more > 0 {
            self.refused_told = refused;
            let text = format!("{more} since this was told last, {refused} since the start");
            self.note("logins_refused", "clients", text);
        }
    }
}

/// Events kept: some hundred KiB at most.
const EVENTS_MAX: usize = 500;

/// Bytes of a text: a reason with names and addresses fits.
const TEXT_BYTES_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn kinds(events: &Events) -> Vec<&'static str> {
        events.each().map(|event| event.kind).collect()
    }

    #[test]
    fn the_ring_is_bounded_and_texts_are_cut() {
        let mut events = Events::default();
        (0..EVENTS_MAX + 3).for_each(|n| events.note("k", &n.to_string(), "ü".repeat(TEXT_BYTES_MAX)));
        assert_eq!((events.each().count(), &*events.each().next().unwrap().subject), (EVENTS_MAX, "3"));
        assert!(events.each().all(|event| event.text.len() <= TEXT_BYTES_MAX + 3 && event.text.ends_with('…')));
    }

    #[test]
    fn a_failover_is_told_with_its_pause() {
        let (mut events, now) = (Events::default(), Instant::now());
        for (ms, primary) in
            [(0, None), (1, Some("a")), (2, Some("a")), (10, None), (20, None), (260, Some("b")), (300, Some("c"))]
        {
            events.handle_primary(now + Duration::from_millis(ms), primary);
        }
        assert_eq!(kinds(&events), ["primary_found", "failover_began", "failover_ended", "primary_changed"]);
        let ended = events.each().nth(2).unwrap();
        assert_eq!((&*ended.subject, &*ended.text), ("b", "b is primary after a; for 250 ms there was none"));
        assert_eq!(events.counters().map(|(_, value, _)| value), [1, 2, 250]);
    }

    #[test]
    fn sums_and_epochs_are_told_once() {
        let mut events = Events::default();
        [0, 3, 3, 5].iter().for_each(|refused| events.handle_refused(*refused));
        assert_eq!(kinds(&events), ["logins_refused"; 2]);
        assert!(events.each().last().unwrap().text.starts_with("2 since"));
        [7, 7, 6, 8].iter().for_each(|epoch| events.handle_epoch(*epoch, "main", String::new()));
        assert_eq!(kinds(&events)[2..], ["epoch"; 2]);
    }
}
