//! `Delay`: replication that is late on purpose, made while reads are judged, and undone.
//!
//! Invariant: after [`undo`] every applier runs without a delay. The delays take turns over the replicas, so that they
//! are late by different amounts, and both at once now and then, so that no replica is in time.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::register::SCHEMA;
use super::scene::Scene;
use crate::client::Client;
use crate::error::Fault;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// Nobody is delayed, and there is so little to do that replicas keep up: what a level costs.
    Calm,
    /// Nobody is delayed, but everybody is as busy as can be, so that replicas are late by themselves.
    Busy,
    /// The appliers stop and go on, in turn.
    Applier,
    /// `SOURCE_DELAY=1`, in turn.
    SourceDelay,
    /// A large table is copied by `ALTER TABLE`; the appliers do nothing else meanwhile.
    Ddl,
}

impl Delay {
    pub const ALL: [Self; 5] = [Self::Calm, Self::Busy, Self::Applier, Self::SourceDelay, Self::Ddl];

    pub fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Busy => "busy",
            Self::Applier => "applier",
            Self::SourceDelay => "source-delay",
            Self::Ddl => "ddl",
        }
    }

    /// Whether replicas are late on purpose.
    pub fn is_made(self) -> bool {
        !matches!(self, Self::Calm | Self::Busy)
    }

    /// Makes it until it is over.
    pub fn make(self, scene: &Scene, over: &Over) -> Result<(), Fault> {
        let replicas = || scene.replicas().map(|number| scene.node(number)).collect::<Result<Vec<_>, _>>();
        match self {
            Self::Calm | Self::Busy => Ok(()),
            Self::Applier => stop_and_start(&mut replicas()?, over),
            Self::SourceDelay => delay(&mut replicas()?, over),
            Self::Ddl => copy_tables(&mut scene.node(0)?, over),
        }
    }
}

impl FromStr for Delay {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|delay| delay.name() == name);
        found.ok_or_else(|| format!("known are {}, and all", Self::ALL.map(Self::name).join(", ")))
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Told from outside: the delay has to end.
#[derive(Debug, Default)]
pub struct Over(AtomicBool);

impl Over {
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Sleeps so long, or until it is over.
    pub fn sleep(&self, time: Duration) {
        let deadline = Instant::now() + time;
        while !self.is_set() && Instant::now() < deadline {
            thread::sleep(SLEEP_STEP.min(deadline.saturating_duration_since(Instant::now())));
        }
    }
}

/// Lets every applier run, without a delay.
pub fn undo(scene: &Scene) -> Result<(), Fault> {
    for number in scene.replicas() {
        set_delay(&mut scene.node(number)?, 0)?;
    }
    Ok(())
}

fn stop_and_start(replicas: &mut [Client], over: &Over) -> Result<(), Fault> {
    for turn in 0.. {
        let chosen = in_turn(turn, replicas.len());
        for at in chosen.clone() {
            replicas[at].query("STOP REPLICA SQL_THREAD")?;
        }
        // From the blink of an eye to most of a second.
        over.sleep(Duration::from_millis([150, 400, 30, 700][turn % 4]));
        for at in chosen {
            replicas[at].query("START REPLICA SQL_THREAD")?;
        }
        if over.is_set() {
            break;
        }
        over.sleep(Duration::from_millis([200, 50, 300][turn % 3]));
    }
    Ok(())
}

fn delay(replicas: &mut [Client], over: &Over) -> Result<(), Fault> {
    for turn in 0.. {
        let chosen = in_turn(turn, replicas.len());
        for (at, replica) in replicas.iter_mut().enumerate() {
            set_delay(replica, u32::from(chosen.contains(&at)))?;
        }
        if over.is_set() {
            break;
        }
        over.sleep(Duration::from_millis(2_500));
    }
    Ok(())
}

fn copy_tables(primary: &mut Client, over: &Over) -> Result<(), Fault> {
    primary.query(&format!("USE {SCHEMA}"))?;
    while !over.is_set() {
        primary.query("ALTER TABLE side FORCE, ALGORITHM=COPY")?;
        over.sleep(Duration::from_millis(300));
    }
    Ok(())
}

/// One after the other, then all.
fn in_turn(turn: usize, count: usize) -> std::ops::Range<usize> {
    match turn % (count + 1) {
        at if at < count => at..at + 1,
        _ => 0..count,
    }
}

fn set_delay(replica: &mut Client, seconds: u32) -> Result<(), Fault> {
    for statement in [
        "STOP REPLICA SQL_THREAD",
        &format!("CHANGE REPLICATION SOURCE TO SOURCE_DELAY={seconds}"),
        "START REPLICA SQL_THREAD",
    ] {
        replica.query(statement)?;
    }
    Ok(())
}

const SLEEP_STEP: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_reach_each_and_all() {
        let turns: Vec<_> = (0..4).map(|turn| in_turn(turn, 2)).collect();
        assert_eq!(turns, [0..1, 1..2, 0..2, 0..1]);
        assert_eq!("ddl".parse(), Ok(Delay::Ddl));
        assert!("late".parse::<Delay>().is_err());
    }

    #[test]
    fn sleep_ends_when_it_is_over() {
        let over = Over::default();
        over.sleep(Duration::from_millis(1));
        assert!(!over.is_set());
        over.set();
        let begin = Instant::now();
        over.sleep(Duration::from_secs(60));
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
}
