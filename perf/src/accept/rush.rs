//! `Rush`: many clients that come as fast as a door lets them in, each of whom asks once and stays.
//!
//! ```text
//! begun: | served, and stay | under way, at most so many | not yet begun |
//! ```
//! Invariant: every client that was begun is served, has failed or is under way; nobody leaves before the last one is
//! served. One that fails is counted and told, and the next one comes in its place.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::entrant::{Entrant, Turn};
use crate::client::Account;
use crate::error::Fault;
use crate::limits::{LATENCY_NS_MAX, READ_BYTES, REPLY_WAIT};
use crate::load::{Question, new_histogram};
use crate::poll::{Interest, Poll};

#[derive(Clone, Debug)]
pub struct RushOptions {
    pub clients: usize,
    /// Logins under way at once.
    pub at_once: usize,
    pub question: Question,
    /// Clients from one source address.
    pub per_source: usize,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Those who are there at the end.
    pub served: usize,
    pub errors: u64,
    pub first_error: Option<String>,
    /// From the first connect to the last answer.
    pub time: Duration,
    /// From a client's connect to its answer, in nanoseconds.
    pub latency: Histogram<u64>,
}

/// The clients stay until this is dropped.
pub struct Rush<'a> {
    account: &'a Account,
    options: &'a RushOptions,
    poll: Poll,
    entrants: Vec<Option<Entrant<'a>>>,
    under_way: usize,
    pub outcome: Outcome,
}

impl<'a> Rush<'a> {
    pub fn run(account: &'a Account, options: &'a RushOptions) -> Result<Self, Fault> {
        let mut rush = Self {
            account,
            options,
            poll: Poll::new().map_err(waiting)?,
            entrants: Vec::with_capacity(options.clients),
            under_way: 0,
            outcome: Outcome {
                served: 0,
                errors: 0,
                first_error: None,
                time: Duration::ZERO,
                latency: new_histogram(),
            },
        };
        let start = Instant::now();
        let (mut events, mut room) = (Vec::new(), Box::new([0; READ_BYTES]));
        loop {
            rush.begin_some();
            if rush.under_way == 0 {
                break;
            }
            rush.poll.wait(Some(REPLY_WAIT), &mut events).map_err(waiting)?;
            if events.is_empty() {
                rush.give_up();
                break;
            }
            for event in &events {
                rush.handle(event.token as usize, start, &mut room)?;
            }
        }
        rush.look_who_left(start, &mut room)?;
        Ok(rush)
    }

    /// As many as there is room for.
    fn begin_some(&mut self) {
        while self.under_way < self.options.at_once && self.entrants.len() < self.options.clients {
            let number = self.entrants.len();
            let source = source(number, self.options.per_source);
            let begun = Entrant::begin(self.account, source).and_then(|entrant| {
                self.poll.add(entrant.stream(), number as u64, Interest::Read)?;
                Ok(entrant)
            });
            match begun {
                Ok(entrant) => {
                    self.entrants.push(Some(entrant));
                    self.under_way += 1;
                }
                Err(error) => {
                    self.entrants.push(None);
                    self.fail(&Fault::io("connecting", error));
                }
            }
        }
    }

    fn handle(&mut self, number: usize, start: Instant, room: &mut [u8; READ_BYTES]) -> Result<(), Fault> {
        let Some(entrant) = self.entrants.get_mut(number).and_then(Option::take) else {
            return Ok(());
        };
        let was_served = entrant.is_served();
        match entrant.advance(&self.options.question, room) {
            Ok(Turn::Waits(entrant)) => self.entrants[number] = Some(entrant),
            Ok(Turn::Served(entrant, latency)) => {
                let latency_ns = (latency.as_nanos() as u64).min(LATENCY_NS_MAX);
                self.outcome.latency.saturating_record(latency_ns);
                self.outcome.served += 1;
                self.outcome.time = start.elapsed();
                self.under_way -= 1;
                self.entrants[number] = Some(entrant);
            }
            Err(fault) => {
                match was_served {
                    true => self.outcome.served -= 1,
                    false => self.under_way -= 1,
                }
                self.fail(&fault);
            }
        }
        Ok(())
    }

    /// Nobody has heard anything for a long time.
    fn give_up(&mut self) {
        let what = format!("{} clients heard nothing for {} s", self.under_way, REPLY_WAIT.as_secs());
        let missing = (self.options.clients - self.entrants.len()) as u64;
        self.outcome.errors += self.under_way as u64 + missing;
        self.outcome.first_error.get_or_insert(what);
        self.under_way = 0;
    }

    /// Finds those whom the door has dropped while others came.
    fn look_who_left(&mut self, start: Instant, room: &mut [u8; READ_BYTES]) -> Result<(), Fault> {
        let mut events = Vec::new();
        loop {
            self.poll.wait(Some(Duration::ZERO), &mut events).map_err(waiting)?;
            let mut left = 0;
            for event in &events {
                let number = event.token as usize;
                if self.entrants.get(number).is_some_and(|entrant| entrant.as_ref().is_some_and(Entrant::is_served)) {
                    self.handle(number, start, room)?;
                    left += 1;
                }
            }
            if left == 0 {
                return Ok(());
            }
        }
    }

    fn fail(&mut self, fault: &Fault) {
        self.outcome.errors += 1;
        self.outcome.first_error.get_or_insert_with(|| fault.to_string());
    }
}

/// The loopback has many addresses, and each has ports of its own. The first needs none that is said.
fn source(number: usize, per_source: usize) -> Option<Ipv4Addr> {
    match number / per_source.max(1) {
        0 => None,
        further => Some(Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + further as u32)),
    }
}

fn waiting(error: std::io::Error) -> Fault {
    Fault::io("waiting for clients", error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::null::NullBackend;
    use std::thread;

    fn account() -> Account {
        let mut backend = NullBackend::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = backend.address().unwrap();
        thread::spawn(move || backend.run());
        let text = |text: &str| text.to_owned();
        Account { address, user: text("app"), password: text("app"), schema: Some(text("sbtest")) }
    }

    fn options(clients: usize) -> RushOptions {
        RushOptions { clients, at_once: 7, question: Question::TextPoint { tables: 1, rows: 9 }, per_source: 20 }
    }

    #[test]
    fn all_are_served() {
        let (account, options) = (account(), options(50));
        let rush = Rush::run(&account, &options).unwrap();
        let outcome = &rush.outcome;
        assert_eq!((outcome.served, outcome.errors, outcome.latency.len()), (50, 0, 50), "{:?}", outcome.first_error);
        assert!(outcome.time > Duration::ZERO && outcome.time >= Duration::from_nanos(outcome.latency.max() / 2));
        let sources: Vec<String> = (rush.entrants.iter().flatten())
            .map(|entrant| entrant.stream().local_addr().unwrap().ip().to_string())
            .collect();
        assert_eq!(
            (sources[0].as_str(), sources[20].as_str(), sources[49].as_str()),
            ("127.0.0.1", "127.0.0.2", "127.0.0.3")
        );
    }

    #[test]
    fn refusals_are_counted_and_told() {
        let (account, mut options) = (account(), options(10));
        options.question = Question::Text("SIGNAL SQLSTATE '45000'".to_owned());
        let outcome = Rush::run(&account, &options).unwrap().outcome;
        assert_eq!((outcome.served, outcome.errors), (0, 10));
        assert!(outcome.first_error.unwrap().ends_with(" (1644)"));
        let nowhere = Account { address: "127.0.0.1:1".parse().unwrap(), ..account };
        let outcome = Rush::run(&nowhere, &options).unwrap().outcome;
        assert_eq!((outcome.served, outcome.errors), (0, 10));
        assert!(outcome.first_error.is_some());
    }

    /// A door that answers and then hangs up has served nobody.
    #[test]
    fn who_is_dropped_is_not_served() {
        let (account, options) = (account(), options(5));
        let mut rush = Rush::run(&account, &options).unwrap();
        for entrant in rush.entrants.iter().flatten().take(2) {
            entrant.stream().shutdown(std::net::Shutdown::Both).unwrap();
        }
        rush.look_who_left(Instant::now(), &mut Box::new([0; READ_BYTES])).unwrap();
        assert_eq!((rush.outcome.served, rush.outcome.errors), (3, 2));
        assert!(rush.outcome.first_error.unwrap().contains("was served, and then"));
    }

    #[test]
    fn sources() {
        assert_eq!(source(19, 20), None);
        assert_eq!(source(20, 20), Some(Ipv4Addr::new(127, 0, 0, 2)));
        assert_eq!(source(39, 20), Some(Ipv4Addr::new(127, 0, 0, 2)));
    }
}
