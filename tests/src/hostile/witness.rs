//! The witness: an honest client that goes on all the while, knows every answer, and notes how long each took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::limits;
use crate::real::place::{ask, first_cell};
use crate::real::wire::{Account, Address, Wire};

/// Where its statements run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// Reads where the gate likes, writes at the primary.
    Any,
    /// Everything at the primary, because the replica is the hostile one.
    Primary,
}

/// Several of them at work, and one beside them who asks the primary itself: what makes that one wait is the machine's doing.
pub struct Witnesses {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Vec<Duration>, String>>>,
    direct: JoinHandle<Result<Vec<Duration>, String>>,
}

/// What they have seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub answers: usize,
    pub median: Duration,
    pub worst: Duration,
    /// The worst of the one without a gate.
    pub worst_direct: Duration,
}

/// The statements that make what the witnesses work on.
pub const SETUP: [&str; 2] = [
    "CREATE DATABASE IF NOT EXISTS weir_witness",
    "CREATE TABLE IF NOT EXISTS weir_witness.t (who INT PRIMARY KEY, n INT)",
];

impl Witnesses {
    /// `primary` is where the last one asks.
    pub fn start(address: &Address, primary: &Address, account: &Account, road: Road) -> Witnesses {
        let over = Arc::new(AtomicBool::new(false));
        let start = |address: &Address, road: Road, who: u32| {
            let (over, address, account) = (over.clone(), address.clone(), account.clone());
            thread::spawn(move || testify(&over, &address, &account, road, who))
        };
        let threads = (0..limits::WITNESSES).map(|who| start(address, road, who)).collect();
        let direct = start(primary, Road::Primary, limits::WITNESSES);
        Witnesses { threads, direct, over }
    }

    /// They stop; a wrong or missing answer is an error.
    pub fn stop(self) -> Result<Seen, String> {
        self.over.store(true, Ordering::Relaxed);
        let panicked = |_| "a witness panicked".to_owned();
        let direct = self.direct.join().map_err(panicked)?.map_err(|why| format!("without a gate: {why}"))?;
        let mut took = Vec::new();
        for thread in self.threads {
            took.extend(thread.join().map_err(panicked)??);
        }
        took.sort();
        let (Some(median), Some(worst)) = (took.get(took.len() / 2), took.last()) else {
            return Err("the witnesses got no answer at all".to_owned());
        };
        let worst_direct = direct.into_iter().max().unwrap_or_default();
        Ok(Seen { answers: took.len(), median: *median, worst: *worst, worst_direct })
    }
}

impl Seen {
    /// `delayed` is how long the gate was kept from running.
    pub fn check(&self, delayed: Duration) -> Result<(), String> {
        match self.worst <= limits::WITNESS_WORST + self.worst_direct + delayed && self.median <= limits::WITNESS_MEDIAN
        {
            true => Ok(()),
            false => Err(format!("the witnesses waited too long: {self:?}, and the gate was delayed {delayed:?}")),
        }
    }
}

fn testify(
    over: &AtomicBool,
    address: &Address,
    account: &Account,
    road: Road,
    who: u32,
) -> Result<Vec<Duration>, String> {
    let mut took = Vec::new();
    let mut n = 0;
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let mut wire = log_in(address, account).map_err(|why| format!("witness {who} logs in: {why}"))?;
        took.push(began.elapsed());
        for _ in 0..limits::WITNESS_TURNS_PER_LOGIN {
            n += 1;
            turn(&mut wire, road, who, n, &mut took).map_err(|why| format!("witness {who}, turn {n}: {why}"))?;
            thread::sleep(limits::WITNESS_PAUSE);
            if over.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    Ok(took)
}

/// Logs in as honest clients do, who try again when the gate says that it took too long: then so it did, and counts.
pub fn log_in(address: &Address, account: &Account) -> Result<Wire, String> {
    let deadline = Instant::now() + limits::LOGIN_WAIT;
    loop {
        match Wire::login(address, account) {
            Ok(wire) => return Ok(wire),
            Err(error) if error.to_string().starts_with(TOOK_TOO_LONG) && Instant::now() < deadline => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// The gate's error when a handshake's time is over, as [`crate::real::wire::refusal`] shows it.
const TOOK_TOO_LONG: &str = "1159 ";

/// A write and a read that must see it; now and then both in a transaction.
fn turn(wire: &mut Wire, road: Road, who: u32, n: u32, took: &mut Vec<Duration>) -> Result<(), String> {
    let lock = if road == Road::Primary { " FOR UPDATE" } else { "" };
    let mut statements = vec![
        format!("REPLACE INTO weir_witness.t VALUES ({who}, {n})"),
        format!("SELECT n, {n} * 2 FROM weir_witness.t WHERE who = {who}{lock}"),
    ];
    if n.is_multiple_of(3) {
        statements.insert(0, "BEGIN".to_owned());
        statements.push("COMMIT".to_owned());
    }
    let wanted = [n.to_string(), (n * 2).to_string()].map(|cell| Some(cell.into_bytes()));
    for statement in statements {
        let began = Instant::now();
        let rows = ask(wire, &statement)?.rows();
        took.push(began.elapsed());
        let is_right = match rows.as_slice() {
            [] => !statement.starts_with("SELECT"),
            [row] => *row == wanted,
            _ => false,
        };
        if !is_right {
            return Err(format!("{statement} answers {:?}, in {} rows", first_cell(&rows), rows.len()));
        }
    }
    Ok(())
}
