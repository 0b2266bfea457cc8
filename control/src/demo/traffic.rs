//! The demo's clients: a few sessions through the gate that read, write, and read their own writes back.
//!
//! Invariant: bounded. Each session asks one thing at a time, at most so often per second, and nothing that it writes
//! makes the data grow.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::session::{Session, Silence};
use super::shop::{self, Dice};
use crate::lab::Mysql;
use crate::lab::client::Login;

/// What the sessions have done since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub reads: u64,
    pub writes: u64,
    /// Reads that did not see the session's own last write.
    pub stale: u64,
    pub errors: u64,
    pub last_error: String,
    /// Time that reads took, summed.
    pub read_us: u64,
}

pub struct Traffic {
    board: Arc<Board>,
    sessions: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Board {
    stop: AtomicBool,
    reads: AtomicU64,
    writes: AtomicU64,
    stale: AtomicU64,
    errors: AtomicU64,
    read_us: AtomicU64,
    last_error: Mutex<String>,
}

impl Traffic {
    /// `rate_max` is statements per second of all sessions together; at 0 there are none.
    pub fn start(mysql: &Mysql, login: &Login, rate_max: u32) -> Traffic {
        let board = Arc::new(Board::default());
        let count = SESSIONS.min(rate_max);
        let sessions = (1..=count).map(|number| {
            let pause = Duration::from_secs_f64(f64::from(count) / f64::from(rate_max));
            let (board, mysql, login) = (Arc::clone(&board), mysql.clone(), login.clone());
            thread::spawn(move || Customer::new(number, pause).live(&mysql, &login, &board))
        });
        Traffic { sessions: sessions.collect(), board }
    }

    pub fn tally(&self) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            reads: read(&self.board.reads),
            writes: read(&self.board.writes),
            stale: read(&self.board.stale),
            errors: read(&self.board.errors),
            read_us: read(&self.board.read_us),
            last_error: self.board.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.board.stop.store(true, Ordering::Relaxed);
        for session in self.sessions.drain(..) {
            let _ = session.join();
        }
    }
}

/// One session's turns. Its number is the one customer whose cart it writes, so that it knows what must be read.
struct Customer {
    number: u32,
    items: u32,
    dice: Dice,
    pause: Duration,
}

/// What to ask next; each question answers with one line.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Read(String),
    /// A write and a read of what was written.
    WriteAndRead {
        text: String,
        expected: String,
    },
}

impl Customer {
    fn new(number: u32, pause: Duration) -> Customer {
        Customer { number, items: 0, dice: Dice(u64::from(number)), pause }
    }

    fn live(&mut self, mysql: &Mysql, login: &Login, board: &Board) {
        let mut session: Option<Session> = None;
        let mut next = Instant::now();
        while !board.stop.load(Ordering::Relaxed) {
            let turn = self.turn();
            let result = match &mut session {
                Some(session) => Ok(session),
                None => board.open(mysql, login).map(|opened| session.insert(opened)),
            };
            match result.and_then(|session| board.play(session, &turn)) {
                Ok(()) => {}
                Err(Silence::Stopped) => break,
                Err(Silence::Refused(why)) => {
                    session = None;
                    board.errors.fetch_add(1, Ordering::Relaxed);
                    *board.last_error.lock().unwrap_or_else(PoisonError::into_inner) = why;
                    next = Instant::now() + ERROR_PAUSE;
                }
            }
            let statements = if matches!(turn, Turn::Read(_)) { 1 } else { 2 };
            // Time lost is not made up for: a stall must not end in a burst.
            next = (next + self.pause * statements).max(Instant::now());
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    fn turn(&mut self) -> Turn {
        let customer = self.dice.below(shop::CUSTOMERS) + 1;
        let product = self.dice.below(shop::PRODUCTS) + 1;
        match self.dice.below(6) {
            0 => {
                self.items = self.items.wrapping_add(1) % 1_000_000;
                let (number, items) = (self.number, self.items);
                let text = format!(
                    "UPDATE carts SET items={items} WHERE customer_id={number}; \
                     SELECT items FROM carts WHERE customer_id={number};"
                );
                Turn::WriteAndRead { text, expected: items.to_string() }
            }
            1 => Turn::Read(format!(
                "SELECT COUNT(*), SUM(o.amount * p.price) FROM orders o JOIN products p ON p.id=o.product_id \
                 WHERE o.customer_id={customer};"
            )),
            2 => Turn::Read(format!("SELECT COUNT(*) FROM orders WHERE product_id={product};")),
            3 => Turn::Read(format!("SELECT name, price FROM products WHERE id={product};")),
            _ => Turn::Read(format!("SELECT name, city FROM customers WHERE id={customer};")),
        }
    }
}

impl Board {
    /// Logs in before the first turn, so that no read's time contains it.
    fn open(&self, mysql: &Mysql, login: &Login) -> Result<Session, Silence> {
        let mut session = Session::open(mysql, login, shop::DATABASE)?;
        session.ask("SELECT 1;", 1, &self.stop)?;
        Ok(session)
    }

    fn play(&self, session: &mut Session, turn: &Turn) -> Result<(), Silence> {
        let started = Instant::now();
        match turn {
            Turn::Read(text) => {
                session.ask(text, 1, &self.stop)?;
                self.read_us.fetch_add(started.elapsed().as_micros() as u64, Ordering::Relaxed);
                self.reads.fetch_add(1, Ordering::Relaxed);
            }
            Turn::WriteAndRead { text, expected } => {
                let answer = session.ask(text, 1, &self.stop)?;
                self.writes.fetch_add(1, Ordering::Relaxed);
                if answer.first() != Some(expected) {
                    self.stale.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }
}

/// Sessions: enough to see them shared out, few beside the servers on two cores.
const SESSIONS: u32 = 4;
/// Pause after an error, so that a dead gate is not hammered.
const ERROR_PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_read_and_write_and_expect_their_own_last_write() {
        let mut customer = Customer::new(3, Duration::ZERO);
        let turns: Vec<Turn> = (0..600).map(|_| customer.turn()).collect();
        let writes: Vec<&Turn> = turns.iter().filter(|turn| !matches!(turn, Turn::Read(_))).collect();
        assert!((50..150).contains(&writes.len()), "{}", writes.len());
        let Turn::WriteAndRead { text, expected } = writes[9] else { unreachable!() };
        assert_eq!(expected, "10");
        let sql = "UPDATE carts SET items=10 WHERE customer_id=3; SELECT items FROM carts WHERE customer_id=3;";
        assert_eq!(text, sql);
    }
}
