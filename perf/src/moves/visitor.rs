//! Visitors: clients that come, read, write and go, over and over. Not one of them may be refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use weir_control::client::{Client, Options};

use super::books::Books;
use super::stage::{CLOCK, Stage};

pub fn start(stage: &Stage, count: usize, books: &Arc<Books>, over: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let one = |at: usize| {
        let (options, books, over) = (stage.client_options(), books.clone(), over.clone());
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                match visit(&options) {
                    Ok(()) => drop(books.visits.fetch_add(1, Ordering::Relaxed)),
                    Err(why) => books.is_wrong(format!("visitor {at}: {why}")),
                }
                thread::sleep(PAUSE);
            }
        })
    };
    (0..count).map(one).collect()
}

fn visit(options: &Options) -> Result<(), String> {
    let mut client = Client::connect(options).map_err(|error| format!("no connection: {error}"))?;
    client.run(CLOCK).map(drop).map_err(|error| error.to_string())
}

const PAUSE: Duration = Duration::from_millis(20);
