//! Writers: clients of a gate that write numbered rows, and remember which were acknowledged and which errors they saw.
//!
//! Invariant: a number is written once; a row that was acknowledged and is on no server is lost, whatever anybody says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use weir_control::client::{Client, Options};

#[derive(Default)]
struct Books {
    acknowledged: Mutex<BTreeSet<u64>>,
    errors: Mutex<BTreeMap<String, u64>>,
    last: AtomicU64,
    is_held: AtomicBool,
    under_way: AtomicU64,
}

pub struct Writers {
    books: Arc<Books>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    /// Into `w.t (v)`.
    pub fn start(options: &Options, count: usize) -> Writers {
        let (books, over) = (Arc::<Books>::default(), Arc::<AtomicBool>::default());
        let threads = (0..count).map(|_| {
            let (books, over, options) = (books.clone(), over.clone(), options.clone());
            thread::spawn(move || write(&options, &books, &over))
        });
        Writers { threads: threads.collect(), books, over }
    }

    /// Acknowledged by now.
    pub fn count(&self) -> usize {
        self.books.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits until so many more are acknowledged; how long that took.
    pub fn progress(&self, more: usize, limit: Duration) -> Result<Duration, String> {
        let (began, wanted) = (Instant::now(), self.count() + more);
        while self.count() < wanted {
            if began.elapsed() > limit {
                return Err(format!("no {more} writes within {} s: {:?}", limit.as_secs(), self.errors()));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(began.elapsed())
    }

    /// Nothing is under way from now on: a server that is killed then holds nothing that nobody was told of, which would
    /// make it diverge.
    pub fn hold(&self) {
        self.books.is_held.store(true, Ordering::SeqCst);
        while self.books.under_way.load(Ordering::SeqCst) > 0 {
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn release(&self) {
        self.books.is_held.store(false, Ordering::SeqCst);
    }

    pub fn errors(&self) -> BTreeMap<String, u64> {
        self.books.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was acknowledged, and the errors.
    pub fn end(self) -> (BTreeSet<u64>, BTreeMap<String, u64>) {
        self.over.store(true, Ordering::Relaxed);
        for writer in self.threads {
            let _ = writer.join();
        }
        let acknowledged = self.books.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let errors = self.books.errors.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (acknowledged, errors)
    }
}

/// One connection to the end: losing it is an error, told without a code.
fn write(options: &Options, books: &Books, over: &AtomicBool) {
    let note =
        |what: String| *books.errors.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
    let mut client = match Client::connect(options) {
        Ok(client) => client,
        Err(error) => return note(format!("no connection: {error}")),
    };
    while !over.load(Ordering::Relaxed) {
        books.under_way.fetch_add(1, Ordering::SeqCst);
        if books.is_held.load(Ordering::SeqCst) {
            books.under_way.fetch_sub(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(2));
            continue;
        }
        let number = books.last.fetch_add(1, Ordering::Relaxed);
        let outcome = client.run(format!("INSERT INTO w.t (v, filler) VALUES ({number}, REPEAT('x', 100))"));
        books.under_way.fetch_sub(1, Ordering::SeqCst);
        match outcome {
            Ok(_) => {
                books.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
            }
            Err(error) => match error.code() {
                Some(code) => note(code.to_string()),
                None => return note(format!("connection lost: {error}")),
            },
        }
        thread::sleep(Duration::from_millis(10));
    }
}
