//! The relay: kills of clients on their way from one gate to the others (S30), and the tags by which gates are told apart.
//!
//! ```text
//!   gate A ── Kill ──► ask ── whose tag is it? ──► Kill ──► gate B
//!   gate A ◄─ Killed ── answer, leave ◄──────────────────── Killed
//! ```
//! Invariants: a kill is answered once, and with "done" only when a gate said so. Of the gates that are here no two have the same
//! tag for new clients, and a tag of one that has just left is given to nobody: its clients may still be there, or their ids be
//! remembered. It is pure; the leader's relay begins empty, and learns of the gates by their hellos.

use super::limits;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;
use weir_core::mail::{Kill, KillOutcome};

/// One gate's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seat(u64);

/// What goes to one gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letter {
    Tag(u8),
    Kill { token: u64, kill: Kill },
    Killed { token: u64, outcome: KillOutcome },
}

/// What a gate says first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    pub life: u64,
    pub name: String,
    /// The last one is that of new clients.
    pub tags: Vec<u8>,
}

#[derive(Debug)]
pub struct Relay {
    began: Instant,
    seats: BTreeMap<Seat, Hello>,
    gone: Vec<(Hello, Instant)>,
    asked: BTreeMap<u64, Asked>,
    last: u64,
    /// The tag that was given last: the next one is behind it, so that a tag comes again as late as can be.
    tag_last: u8,
}

#[derive(Debug)]
struct Asked {
    by: Seat,
    /// The asker's own.
    token: u64,
    waits: BTreeSet<Seat>,
    outcome: KillOutcome,
    until: Instant,
}

impl Relay {
    /// `seed`: where tags begin, so that another leader gives others.
    pub fn new(now: Instant, seed: u8) -> Relay {
        Relay { began: now, seats: BTreeMap::new(), gone: Vec::new(), asked: BTreeMap::new(), last: 0, tag_last: seed }
    }

    /// A gate is here; it is told its tag first.
    pub fn join(&mut self, now: Instant, mut hello: Hello) -> (Seat, Vec<(Seat, Letter)>) {
        let same = self.seats.iter().find(|(_, other)| other.life == hello.life).map(|(seat, _)| *seat);
        let mut letters = same.map(|seat| self.leave(now, seat)).unwrap_or_default();
        self.gone.retain(|(gone, until)| gone.life != hello.life && now < *until);
        let tag = match hello.tags.last() {
            Some(tag) if *tag != 0 && !self.is_given(*tag) => *tag,
            Some(_) | None => self.free_tag(),
        };
        if hello.tags.last() != Some(&tag) {
            hello.tags.push(tag);
        }
        self.last += 1;
        let seat = Seat(self.last);
        self.seats.insert(seat, hello);
        letters.push((seat, Letter::Tag(tag)));
        (seat, letters)
    }

    /// Its stream is over. Its clients may still be there.
    pub fn leave(&mut self, now: Instant, seat: Seat) -> Vec<(Seat, Letter)> {
        let Some(hello) = self.seats.remove(&seat) else { return Vec::new() };
        let why = format!("the gate at {} has left", hello.name);
        self.gone.retain(|(_, until)| now < *until);
        if self.gone.len() >= limits::GATES_MAX {
            self.gone.remove(0);
        }
        self.gone.push((hello, now + limits::GATE_KEPT));
        self.asked.retain(|_, asked| asked.by != seat);
        let waiting: Vec<u64> =
            self.asked.iter().filter(|(_, asked)| asked.waits.contains(&seat)).map(|(token, _)| *token).collect();
        let mut left = |token| self.answer(seat, token, KillOutcome::Unknown(why.as_str().into()));
        waiting.into_iter().flat_map(&mut left).collect()
    }

    /// A gate looks for a client that it has not.
    pub fn ask(&mut self, now: Instant, by: Seat, token: u64, kill: Kill) -> Vec<(Seat, Letter)> {
        // Whoever waited so long has given up.
        self.asked.retain(|_, asked| now < asked.until);
        let answer = |outcome| vec![(by, Letter::Killed { token, outcome })];
        if self.asked.values().filter(|asked| asked.by == by).count() >= limits::KILLS_MAX {
            return answer(KillOutcome::Unknown("too many kills are under way".into()));
        }
        let tag = (kill.connection_id >> 24) as u8;
        let others = self.seats.iter().filter(|(seat, hello)| **seat != by && hello.tags.contains(&tag));
        let waits: BTreeSet<Seat> = others.map(|(seat, _)| *seat).collect();
        if waits.is_empty() {
            return answer(self.of_nobody(now, by, tag));
        }
        self.last += 1;
        let number = self.last;
        let letters = waits.iter().map(|seat| (*seat, Letter::Kill { token: number, kill: kill.clone() })).collect();
        let (outcome, until) = (KillOutcome::NoSuchThread, now + limits::KILL_LIMIT);
        self.asked.insert(number, Asked { by, token, waits, outcome, until });
        letters
    }

    /// A gate's word on a client that may have been its own.
    pub fn answer(&mut self, of: Seat, number: u64, outcome: KillOutcome) -> Vec<(Seat, Letter)> {
        let Some(asked) = self.asked.get_mut(&number) else { return Vec::new() };
        if !asked.waits.remove(&of) {
            return Vec::new();
        }
        if weight(&outcome) > weight(&asked.outcome) {
            asked.outcome = outcome;
        }
        if !asked.waits.is_empty() {
            return Vec::new();
        }
        let Some(Asked { by, token, outcome, .. }) = self.asked.remove(&number) else { return Vec::new() };
        vec![(by, Letter::Killed { token, outcome })]
    }

    /// None of the others here has this tag.
    fn of_nobody(&self, now: Instant, by: Seat, tag: u8) -> KillOutcome {
        let has_left = |(gone, until): &&(Hello, Instant)| now < *until && gone.tags.contains(&tag);
        if let Some((gone, _)) = self.gone.iter().find(has_left) {
            return KillOutcome::Unknown(format!("the gate at {} has just left", gone.name).into());
        }
        if self.seats.get(&by).is_some_and(|hello| hello.tags.contains(&tag)) {
            return KillOutcome::NoSuchThread;
        }
        match now < self.began + limits::GATE_KEPT {
            true => KillOutcome::Unknown("the controller has just begun to lead, and may not know its gate yet".into()),
            false => KillOutcome::NotOfAGate,
        }
    }

    fn free_tag(&mut self) -> u8 {
        for _ in 0..u8::MAX {
            self.tag_last = self.tag_last.wrapping_add(1).max(1);
            if !self.is_taken(self.tag_last) {
                break;
            }
        }
        // With more gates than tags some share one, and are asked together.
        self.tag_last
    }

    /// Another one's new clients have it.
    fn is_given(&self, tag: u8) -> bool {
        self.known().any(|hello| hello.tags.last() == Some(&tag))
    }

    /// Some client may have it.
    fn is_taken(&self, tag: u8) -> bool {
        self.known().any(|hello| hello.tags.contains(&tag))
    }

    fn known(&self) -> impl Iterator<Item = &Hello> {
        self.seats.values().chain(self.gone.iter().map(|(hello, _)| hello))
    }
}

/// Of several gates' words the one that counts.
pub fn weight(outcome: &KillOutcome) -> u8 {
    match outcome {
        KillOutcome::NotOfAGate => 0,
        KillOutcome::NoSuchThread => 1,
        KillOutcome::Unknown(_) => 2,
        KillOutcome::NotOwner => 3,
        KillOutcome::Done => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn kill(connection_id: u32) -> Kill {
        Kill { connection_id, query_only: true, asker: Some(Box::from(&b"app"[..])) }
    }

    fn join(relay: &mut Relay, now: Instant, life: u64, tags: &[u8]) -> (Seat, u8) {
        let hello = Hello { life, name: format!("g{life}"), tags: tags.to_vec() };
        let (seat, letters) = relay.join(now, hello);
        match letters.last() {
            Some((to, Letter::Tag(tag))) if *to == seat => (seat, *tag),
            other => panic!("{other:?}"),
        }
    }

    fn only(letters: Vec<(Seat, Letter)>) -> (Seat, Letter) {
        assert_eq!(letters.len(), 1, "{letters:?}");
        letters.into_iter().next().unwrap()
    }

    fn outcome(letters: Vec<(Seat, Letter)>) -> KillOutcome {
        match only(letters) {
            (_, Letter::Killed { outcome, .. }) => outcome,
            other => panic!("{other:?}"),
        }
    }

    fn is_unknown(outcome: &KillOutcome, what: &str) -> bool {
        matches!(outcome, KillOutcome::Unknown(why) if why.contains(what))
    }

    #[test]
    fn no_two_gates_have_one_tag_and_each_keeps_its_own() {
        let now = Instant::now();
        let mut relay = Relay::new(now, 254);
        let (first, tag) = join(&mut relay, now, 1, &[7]);
        assert_eq!(tag, 7);
        assert_eq!(join(&mut relay, now, 2, &[7]).1, 255);
        assert_eq!(join(&mut relay, now, 3, &[]).1, 1, "0 is the servers'");
        assert_eq!(join(&mut relay, now, 4, &[0]).1, 2);
        // The same one again, whose old stream nobody has missed yet.
        assert_eq!(join(&mut relay, now, 1, &[7]).1, 7);
        assert!(relay.leave(now, first).is_empty(), "it has another seat");
        assert_eq!(relay.seats.len(), 4);
        // Of one that has left, for a while.
        let (gone, _) = join(&mut relay, now, 5, &[9]);
        relay.leave(now, gone);
        assert_ne!(join(&mut relay, now, 6, &[9]).1, 9);
        assert_eq!(join(&mut relay, now + limits::GATE_KEPT, 7, &[9]).1, 9);
        // More gates than tags.
        (100..400).for_each(|life| assert_ne!(join(&mut relay, now, life, &[]).1, 0));
    }

    #[test]
    fn a_kill_goes_to_its_gate_and_its_outcome_back() {
        let now = Instant::now();
        let mut relay = Relay::new(now, 0);
        let ((one, _), (two, _), (three, _)) =
            (join(&mut relay, now, 1, &[1]), join(&mut relay, now, 2, &[2]), join(&mut relay, now, 3, &[3]));
        let (to, Letter::Kill { token, kill: passed }) = only(relay.ask(now, one, 50, kill(0x0200_0007))) else {
            panic!("no kill")
        };
        assert_eq!((to, passed), (two, kill(0x0200_0007)));
        assert!(relay.answer(three, token, KillOutcome::Done).is_empty(), "nobody asked it");
        let answer = Letter::Killed { token: 50, outcome: KillOutcome::NotOwner };
        assert_eq!(only(relay.answer(two, token, KillOutcome::NotOwner)), (one, answer));
        assert!(relay.answer(two, token, KillOutcome::Done).is_empty(), "it was answered");
        assert!(relay.asked.is_empty());
        // Its own tag, and nobody else's.
        assert_eq!(outcome(relay.ask(now, one, 51, kill(0x0100_0007))), KillOutcome::NoSuchThread);
        // Nobody's: a leader that has just begun may not know its gate.
        assert!(is_unknown(&outcome(relay.ask(now, one, 52, kill(0x0900_0007))), "just begun"));
        let later = now + limits::GATE_KEPT;
        assert_eq!(outcome(relay.ask(later, one, 53, kill(0x0900_0007))), KillOutcome::NotOfAGate);
    }

    #[test]
    fn gates_of_one_tag_are_all_asked() {
        let now = Instant::now();
        let mut relay = Relay::new(now, 0);
        let (asker, _) = join(&mut relay, now, 1, &[1]);
        // Before a leader was there both had taken 2.
        let ((one, _), (two, tag)) = (join(&mut relay, now, 2, &[2]), join(&mut relay, now, 3, &[2]));
        assert_ne!(tag, 2);
        let check = |relay: &mut Relay, words: [KillOutcome; 2], expected: KillOutcome| {
            let letters = relay.ask(now, asker, 1, kill(0x0200_0001));
            assert_eq!(letters.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [one, two]);
            let Letter::Kill { token, .. } = letters[0].1 else { panic!("no kill") };
            let [first, second] = words;
            assert!(relay.answer(one, token, first).is_empty());
            assert_eq!(outcome(relay.answer(two, token, second)), expected);
        };
        let unknown = || KillOutcome::Unknown("w".into());
        check(&mut relay, [KillOutcome::NoSuchThread, KillOutcome::Done], KillOutcome::Done);
        check(&mut relay, [KillOutcome::NotOwner, KillOutcome::NoSuchThread], KillOutcome::NotOwner);
        check(&mut relay, [unknown(), KillOutcome::NoSuchThread], unknown());
        check(&mut relay, [KillOutcome::Done, unknown()], KillOutcome::Done);
    }

    #[test]
    fn a_gate_that_leaves_leaves_nobody_waiting() {
        let now = Instant::now();
        let mut relay = Relay::new(now - limits::GATE_KEPT, 0);
        let ((one, _), (two, _)) = (join(&mut relay, now, 1, &[1]), join(&mut relay, now, 2, &[2]));
        relay.ask(now, one, 1, kill(0x0200_0001));
        let left = outcome(relay.leave(now, two));
        assert!(is_unknown(&left, "g2 has left"), "{left:?}");
        // Its clients may live on, cut off from us; after a while they are taken for gone.
        assert!(is_unknown(&outcome(relay.ask(now, one, 2, kill(0x0200_0001))), "g2 has just left"));
        let later = now + limits::GATE_KEPT;
        assert_eq!(outcome(relay.ask(later, one, 3, kill(0x0200_0001))), KillOutcome::NotOfAGate);
        // It comes back.
        let (two, tag) = join(&mut relay, later, 2, &[2]);
        assert_eq!((tag, only(relay.ask(later, one, 4, kill(0x0200_0001))).0), (2, two));
        // The asker leaves: nobody is told.
        relay.leave(later, one);
        assert!(relay.asked.is_empty());
    }

    #[test]
    fn kills_under_way_are_counted_and_given_up() {
        let now = Instant::now();
        let mut relay = Relay::new(now, 0);
        let ((one, _), (two, _)) = (join(&mut relay, now, 1, &[1]), join(&mut relay, now, 2, &[2]));
        for token in 0..limits::KILLS_MAX as u64 {
            assert_eq!(only(relay.ask(now, one, token, kill(0x0200_0001))).0, two);
        }
        assert!(is_unknown(&outcome(relay.ask(now, one, 99, kill(0x0200_0001))), "too many"));
        // Another gate's do not count, and those that nobody waits for any more neither.
        assert_eq!(only(relay.ask(now, two, 1, kill(0x0100_0001))).0, one);
        assert_eq!(only(relay.ask(now + limits::KILL_LIMIT, one, 1, kill(0x0200_0001))).0, two);
        assert_eq!(relay.asked.len(), 1);
        assert!(relay.ask(now + Duration::from_millis(1), one, 2, kill(0x0200_0001)).len() == 1);
    }
}
