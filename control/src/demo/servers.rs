//! The demo's servers once they run: one that somebody kills is started again after a while, as an init system would.
//!
//! Invariant: they are started where they stopped; what they are to be then is their tablets' affair.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::lab::{Cluster, Server, limits};

pub struct Servers {
    stop: Arc<AtomicBool>,
    /// Of each: until when it stays down, or why it does not come up.
    away: Arc<Mutex<Vec<Option<Away>>>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Away {
    Until(Instant),
    Failed(String),
}

impl Servers {
    /// On a thread of its own: a start takes seconds.
    pub fn tend(cluster: &Arc<Cluster>) -> Servers {
        let away = Arc::new(Mutex::new(vec![None; cluster.nodes().len()]));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (cluster, away, stop) = (cluster.clone(), away.clone(), stop.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    for (at, node) in cluster.nodes().iter().enumerate() {
                        let before = away.lock().unwrap_or_else(PoisonError::into_inner)[at].clone();
                        let now = look(node, before, Instant::now());
                        away.lock().unwrap_or_else(PoisonError::into_inner)[at] = now;
                    }
                    thread::sleep(limits::LOOK_PAUSE);
                }
            })
        };
        Servers { stop, away, thread: Some(thread) }
    }

    /// For the screen: who is away. None: nobody.
    pub fn line(&self, now: Instant) -> Option<String> {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<String> = (1..).zip(away.iter()).filter_map(|(number, away)| show(number, away, now)).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn look(node: &Server, before: Option<Away>, now: Instant) -> Option<Away> {
    match before {
        _ if node.is_running() => None,
        None => Some(Away::Until(now + AWAY)),
        Some(Away::Until(until)) if until <= now => node.start().err().map(|error| Away::Failed(error.to_string())),
        before => before,
    }
}

fn show(number: usize, away: &Option<Away>, now: Instant) -> Option<String> {
    match away.as_ref()? {
        Away::Until(until) => {
            let left = until.saturating_duration_since(now).as_millis().div_ceil(1_000);
            Some(match left {
                0 => format!("the server of db{number} starts"),
                _ => format!("the server of db{number} back in {left} s"),
            })
        }
        Away::Failed(why) => Some(format!("the server of db{number} does not start: {why}")),
    }
}

/// How long one that was killed stays away: long enough to see that another one leads.
const AWAY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_names_who_is_away() {
        let now = Instant::now();
        let until = Some(Away::Until(now + Duration::from_millis(1_500)));
        assert_eq!(show(2, &until, now).unwrap(), "the server of db2 back in 2 s");
        assert_eq!(show(2, &until, now + AWAY).unwrap(), "the server of db2 starts");
        let failed = Some(Away::Failed("the port is taken".to_owned()));
        assert_eq!(show(1, &failed, now).unwrap(), "the server of db1 does not start: the port is taken");
        assert_eq!(show(1, &None, now), None);
    }
}
