//! `Crowd`: many clients that log in and then say nothing.
//!
//! Invariant: each is logged in when [`Crowd::gather`] returns, and leaves when the crowd is dropped.

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::client::{Account, Client};
use crate::error::Fault;
use crate::limits::CONNECTIONS_MAX;
use crate::load::new_histogram;

#[derive(Debug)]
pub struct Crowd {
    pub clients: Vec<Client>,
    /// From the first connect to the last login.
    pub time: Duration,
    /// Of one login, connect included, in nanoseconds.
    pub login: Histogram<u64>,
}

impl Crowd {
    /// Logs in so many, on a few threads, as fast as the other side lets them.
    pub fn gather(account: &Account, count: usize) -> Result<Self, Fault> {
        if count > CONNECTIONS_MAX {
            return Err(Fault::Usage(format!("at most {CONNECTIONS_MAX} clients")));
        }
        let start = Instant::now();
        let (clients, login) = share_out(count, |share| log_in(account, share))?;
        Ok(Self { clients, login, time: start.elapsed() })
    }
}

/// Clients and how long their logins took.
pub type Logins<C> = (Vec<C>, Histogram<u64>);

/// Has so many clients log in on a few threads.
pub fn share_out<C: Send>(
    count: usize,
    log_in: impl Fn(usize) -> Result<Logins<C>, Fault> + Sync,
) -> Result<Logins<C>, Fault> {
    let log_in = &log_in;
    let shares: Result<Vec<_>, Fault> = thread::scope(|scope| {
        let share = |number: usize| count * (number + 1) / THREADS - count * number / THREADS;
        let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || log_in(share(number)))).collect();
        let joined = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.collect()
    });
    let (mut all, mut login) = (Vec::with_capacity(count), new_histogram());
    for (clients, took) in shares? {
        all.extend(clients);
        // Both have the same bounds, so nothing can be out of them.
        let added = login.add(&took);
        debug_assert!(added.is_ok());
    }
    Ok((all, login))
}

fn log_in(account: &Account, count: usize) -> Result<Logins<Client>, Fault> {
    let mut login = new_histogram();
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        clients.push(Client::connect(account)?);
        login.saturating_record(start.elapsed().as_nanos() as u64);
    }
    Ok((clients, login))
}

const THREADS: usize = 4;
