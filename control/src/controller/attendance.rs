//! The attendance: the gates' streams at the controller that leads, and the relay between them.
//!
//! Invariant: a gate has a seat from its hello to the end of its stream. One relay is one leadership's: who sat in an earlier
//! one is not asked, and its stream ends within a beat. Nobody waits for a gate that reads nothing: what finds no room is
//! answered as unknown.

use super::head::Head;
use super::relay::{Hello, Letter, Relay, Seat};
use super::{limits, service};
use crate::grpc::{kill, proto};
use proto::gate_order::Order;
use proto::gate_word::Word;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::{Status, Streaming};
use weir_core::mail::KillOutcome;

pub type Out = mpsc::Sender<Result<proto::GateOrder, Status>>;

#[derive(Clone)]
pub struct Attendance {
    head: Arc<Head>,
    room: Arc<Mutex<Option<Room>>>,
}

struct Room {
    /// The leadership's begin.
    since: Instant,
    relay: Relay,
    outs: BTreeMap<Seat, Out>,
}

impl Attendance {
    pub fn new(head: Arc<Head>) -> Attendance {
        Attendance { head, room: Arc::default() }
    }

    /// One gate's stream, to its end. `since`: of the leadership when it began.
    pub async fn attend(self, since: Instant, mut words: Streaming<proto::GateWord>, out: Out) {
        let hello = match tokio::time::timeout(limits::SILENT, words.message()).await {
            Ok(Ok(Some(proto::GateWord { word: Some(Word::Hello(hello)) }))) => hello,
            Ok(Ok(Some(_))) => {
                let _ = out.try_send(Err(Status::invalid_argument("the first word is to be a hello")));
                return;
            }
            Ok(Ok(None) | Err(_)) | Err(_) => return,
        };
        let hello = Hello { life: hello.life, name: hello.name, tags: newest(&hello.tags) };
        let seat = match self.join(since, hello, out.clone()) {
            Ok(seat) => seat,
            Err(status) => {
                let _ = out.try_send(Err(status));
                return;
            }
        };
        let mut beat = tokio::time::interval(limits::BEAT);
        loop {
            tokio::select! {
                word = words.message() => match word {
                    Ok(Some(word)) if self.is_ours(since) => self.handle_word(since, seat, word),
                    _ => break,
                },
                _ = beat.tick() => {
                    let over = match self.head.check_leader(Instant::now()) {
                        Ok(leads) if leads == since => None,
                        Ok(_) => Some(Status::unavailable(OVER)),
                        Err(refusal) => Some(service::status(refusal)),
                    };
                    // Whose letters fill the room hears of our life by them.
                    let is_over = over.is_some();
                    let _ = out.try_send(over.map_or(Ok(proto::GateOrder { order: None }), Err));
                    if is_over {
                        break;
                    }
                }
                () = out.closed() => break,
            }
        }
        self.leave(since, seat);
    }

    fn is_ours(&self, since: Instant) -> bool {
        self.head.check_leader(Instant::now()).is_ok_and(|now| now == since)
    }

    fn join(&self, since: Instant, hello: Hello, out: Out) -> Result<Seat, Status> {
        let mut room = self.room();
        let room = match &mut *room {
            Some(room) if room.since == since => room,
            Some(room) if room.since > since => return Err(Status::unavailable(OVER)),
            other => {
                let seed = RandomState::new().hash_one(0_u8) as u8;
                other.insert(Room { since, relay: Relay::new(Instant::now(), seed), outs: BTreeMap::new() })
            }
        };
        if room.outs.len() >= limits::GATES_MAX {
            return Err(Status::resource_exhausted(format!("{} gates are here already", limits::GATES_MAX)));
        }
        let (seat, letters) = room.relay.join(Instant::now(), hello);
        room.outs.insert(seat, out);
        room.deliver(letters);
        Ok(seat)
    }

    fn handle_word(&self, since: Instant, seat: Seat, word: proto::GateWord) {
        self.in_room(since, |room| match word.word {
            Some(Word::Kill(order)) => {
                let (token, kill) = kill::from_order(order);
                room.relay.ask(Instant::now(), seat, token, kill)
            }
            Some(Word::Killed(answer)) => {
                let (token, outcome) = kill::from_answer(answer);
                room.relay.answer(seat, token, outcome)
            }
            // A word of a newer version is none for us.
            Some(Word::Hello(_)) | None => Vec::new(),
        });
    }

    fn leave(&self, since: Instant, seat: Seat) {
        self.in_room(since, |room| {
            room.outs.remove(&seat);
            room.relay.leave(Instant::now(), seat)
        });
    }

    fn in_room(&self, since: Instant, work: impl FnOnce(&mut Room) -> Vec<(Seat, Letter)>) {
        if let Some(room) = self.room().as_mut().filter(|room| room.since == since) {
            let letters = work(room);
            room.deliver(letters);
        }
    }

    fn room(&self) -> MutexGuard<'_, Option<Room>> {
        // Nothing panics between two writes of it.
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    fn deliver(&mut self, letters: Vec<(Seat, Letter)>) {
        let mut left = letters;
        // An answer that finds no room is not answered again: so this ends.
        while let Some((seat, letter)) = left.pop() {
            let number = match &letter {
                Letter::Kill { token, .. } => Some(*token),
                Letter::Tag(_) | Letter::Killed { .. } => None,
            };
            let is_sent = self.outs.get(&seat).is_some_and(|out| out.try_send(Ok(to_proto(letter))).is_ok());
            if let Some(number) = number.filter(|_| !is_sent) {
                let unread = KillOutcome::Unknown("its gate reads nothing".into());
                left.extend(self.relay.answer(seat, number, unread));
            }
        }
    }
}

/// The last ones: the very last is that of new clients.
fn newest(tags: &[u32]) -> Vec<u8> {
    tags[tags.len().saturating_sub(TAGS_MAX)..].iter().filter_map(|tag| u8::try_from(*tag).ok()).collect()
}

fn to_proto(letter: Letter) -> proto::GateOrder {
    let order = match letter {
        Letter::Tag(tag) => Order::Tag(u32::from(tag)),
        Letter::Kill { token, kill } => Order::Kill(kill::order(token, kill)),
        Letter::Killed { token, outcome } => Order::Killed(kill::answer(token, outcome)),
    };
    proto::GateOrder { order: Some(order) }
}

const OVER: &str = "this leadership is over: try again";

/// Of one gate: it gets another one when a leader finds it taken, which is rare.
const TAGS_MAX: usize = 16;
