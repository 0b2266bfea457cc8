//! Load: sessions through a gate that write while the primary's role moves, and what each was told of every write.
//!
//! Invariant: a session connects once, and a lost connection is a fault. A write is in the books before it is sent. An autocommit
//! write must be acknowledged, or nobody may know (2013); a transaction may also be told to begin again (1213).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use weir_control::client::{Client, ClientError, Options, Reply, Rows};

pub const TABLE: &str = "CREATE TABLE load_t (session INT, n BIGINT, KEY (session, n))";

/// What the client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Done,
    NotRun,
    Unknown,
}

pub struct Load {
    over: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    /// Why sessions have ended too early.
    failed: Arc<Mutex<Vec<String>>>,
    sessions: Vec<JoinHandle<Result<Vec<Told>, String>>>,
}

impl Load {
    /// `options` name the schema. Even sessions write by autocommit, odd ones in transactions of two statements.
    pub fn start(options: &Options, sessions: u32) -> Load {
        let (over, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let failed = Arc::new(Mutex::new(Vec::new()));
        let one = |session: u32| {
            let (options, over, acknowledged) = (options.clone(), over.clone(), acknowledged.clone());
            let failed: Arc<Mutex<Vec<String>>> = failed.clone();
            let tell = move |why: String| {
                failed.lock().expect("nobody panics with it").push(why.clone());
                why
            };
            thread::spawn(move || {
                let client = Client::connect(&options);
                let mut client = client.map_err(|error| tell(format!("session {session}: {error}")))?;
                let mut told = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let last = write(&mut client, session, told.len());
                    let last = last.map_err(|why| tell(format!("session {session}, write {}: {why}", told.len())))?;
                    acknowledged.fetch_add(u64::from(last == Told::Done), Ordering::Relaxed);
                    told.push(last);
                    thread::sleep(PAUSE);
                }
                Ok(told)
            })
        };
        Load { sessions: (0..sessions).map(one).collect(), over, acknowledged, failed: failed.clone() }
    }

    /// Waits for so many acknowledged writes more; says how long the first one took.
    ///
    /// # Panics
    /// If that takes longer than `limit`, or a session has failed.
    pub fn goes_on(&self, more: u64, limit: Duration) -> Duration {
        let (began, before) = (Instant::now(), self.acknowledged.load(Ordering::Relaxed));
        let mut first = None;
        loop {
            let count = self.acknowledged.load(Ordering::Relaxed) - before;
            if count > 0 {
                first.get_or_insert_with(|| began.elapsed());
            }
            if count >= more {
                return first.unwrap_or_default();
            }
            let failed = self.failed.lock().expect("nobody panics with it").join("; ");
            assert!(failed.is_empty(), "{failed}");
            assert!(began.elapsed() < limit, "{count} writes in {} ms", began.elapsed().as_millis());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends it, and compares with what `server` has. Returns how many writes were told as done, not run, unknown.
    ///
    /// # Panics
    /// If a session failed, or a row is missing, there twice, or there though it was said not to be.
    pub fn judge(self, server: &mut Client, schema: &str) -> [usize; 3] {
        self.over.store(true, Ordering::Relaxed);
        let mut counts = [0; 3];
        for (session, thread) in self.sessions.into_iter().enumerate() {
            let told = thread.join().expect("a session panicked").unwrap_or_else(|why| panic!("{why}"));
            let question = format!("SELECT n, COUNT(*) FROM {schema}.load_t WHERE session={session} GROUP BY n");
            let reply = server.query(question).and_then(Reply::success).unwrap();
            let rows = reply.rows().map(Rows::texts).unwrap_or_default();
            let number =
                |row: &[Option<String>], at: usize| row[at].as_ref().and_then(|text| text.parse::<usize>().ok());
            let mut times = vec![0; told.len()];
            for row in &rows {
                times[number(row, 0).unwrap()] = number(row, 1).unwrap();
            }
            // A transaction has two rows of its number.
            let whole = 1 + session % 2;
            for (n, (told, times)) in told.iter().zip(times).enumerate() {
                let is_right = match told {
                    Told::Done => times == whole,
                    Told::NotRun => times == 0,
                    Told::Unknown => times == 0 || times == whole,
                };
                assert!(is_right, "session {session}, write {n}: told {told:?}, and {times} rows are there");
                counts[*told as usize] += 1;
            }
        }
        counts
    }
}

fn write(client: &mut Client, session: u32, n: usize) -> Result<Told, String> {
    let insert = format!("INSERT INTO load_t VALUES ({session}, {n})");
    if session.is_multiple_of(2) {
        return match judge(client.query(&insert))? {
            Told::NotRun => Err("an autocommit write was given up".to_owned()),
            told => Ok(told),
        };
    }
    for statement in ["BEGIN", &insert, &insert, "COMMIT"] {
        let told = judge(client.query(statement))?;
        if told != Told::Done {
            judge(client.query("ROLLBACK"))?;
            // Without its COMMIT nothing of it lasts.
            return Ok(if statement == "COMMIT" { told } else { Told::NotRun });
        }
        thread::sleep(PAUSE);
    }
    Ok(Told::Done)
}

fn judge(reply: Result<Reply, ClientError>) -> Result<Told, String> {
    let reply = reply.map_err(|error| format!("the connection was lost: {error}"))?;
    match reply.error() {
        None => Ok(Told::Done),
        Some(error) if error.code == 1213 => Ok(Told::NotRun),
        Some(error) if error.code == 2013 && error.message.contains("unknown") => Ok(Told::Unknown),
        Some(error) => Err(error.to_string()),
    }
}

/// Between two statements of one session.
const PAUSE: Duration = Duration::from_millis(2);
