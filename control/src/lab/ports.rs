//! TCP ports for servers, below those that the kernel hands to outgoing connections.
//!
//! Invariant: a `Port` is ours while it lives. A lock file in the cache keeps other processes of this laboratory away
//! also while no server listens (a restart, a crash under test); a trial bind tells who else is there.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use super::cache::{self, Lock};
use super::{LabError, limits};

/// A port, and the right to it.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: Option<Lock>,
}

impl Port {
    pub fn number(&self) -> u16 {
        self.number
    }

    /// This very port, if nobody listens there.
    pub fn fixed(number: u16) -> Result<Port, LabError> {
        if number == 0 || !is_bindable(number) {
            return Err(LabError::PortTaken { port: number });
        }
        // Who names a port has the last word: an automatic choice elsewhere that is not listening yet would lose.
        let lock = Lock::attempt(&lock_path(&cache::folder()?, number))?;
        Ok(Port { number, _lock: lock })
    }

    /// This one, if nobody has it: people know it by heart. Else any free one.
    pub fn preferred(number: u16) -> Result<Port, LabError> {
        let lock = Lock::attempt(&lock_path(&cache::folder()?, number))?;
        if lock.is_some() && is_bindable(number) {
            return Ok(Port { number, _lock: lock });
        }
        let [port] = <[Port; 1]>::try_from(free(1)?).map_err(|_| LabError::NoPort { tried: 1 })?;
        Ok(port)
    }
}

/// So many free ports, for as long as they are kept.
pub fn free(count: usize) -> Result<Vec<Port>, LabError> {
    free_in(&cache::folder()?, count, range(local_range_start()))
}

fn free_in(cache: &Path, count: usize, (low, high): (u16, u16)) -> Result<Vec<Port>, LabError> {
    // Processes start at different places, so that they seldom meet; the lock settles it when they do.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let span = u32::from(high - low) + 1;
    let start = std::process::id().wrapping_mul(37);
    let mut ports = Vec::with_capacity(count);
    for _ in 0..limits::PORT_TRIES_MAX {
        if ports.len() == count {
            return Ok(ports);
        }
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % span;
        let number = low + offset as u16;
        if let Some(lock) = Lock::attempt(&lock_path(cache, number))?
            && is_bindable(number)
        {
            ports.push(Port { number, _lock: Some(lock) });
        }
    }
    Err(LabError::NoPort { tried: limits::PORT_TRIES_MAX })
}

fn lock_path(cache: &Path, number: u16) -> std::path::PathBuf {
    cache.join("ports").join(number.to_string())
}

/// Binding all addresses fails if somebody listens on any of them. The standard library sets `SO_REUSEADDR`, so that
/// connections which have ended don't count.
fn is_bindable(number: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, number)).is_ok()
}

/// Our range, moved below the kernel's if an administrator has lowered that.
fn range(local_start: Option<u16>) -> (u16, u16) {
    match local_start {
        Some(start) if start > limits::PORT_MIN + 1000 => (limits::PORT_MIN, limits::PORT_MAX.min(start - 1)),
        Some(start) if start > 4000 => (2000, start - 1),
        // The kernel hands out everything: then no port is safe, and the usual ones are as good as any.
        _ => (limits::PORT_MIN, limits::PORT_MAX),
    }
}

fn local_range_start() -> Option<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_stays_below_the_kernels() {
        assert_eq!(range(Some(32768)), (18_000, 32_000));
        assert_eq!(range(Some(25_000)), (18_000, 24_999));
        assert_eq!(range(Some(10_000)), (2_000, 9_999));
        assert_eq!(range(Some(1024)), (18_000, 32_000));
        assert_eq!(range(None), (18_000, 32_000));
    }

    #[test]
    fn ports_are_distinct_locked_and_given_back() {
        let dir = std::env::temp_dir().join(format!("weir-ports-test-{}", std::process::id()));
        let all = (18_000, 32_000);
        let ports = free_in(&dir, 5, all).unwrap();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        let first = numbers[0];
        numbers.dedup();
        assert_eq!(numbers.len(), 5);
        assert!(free_in(&dir, 1, (first, first)).is_err(), "its lock is held");
        drop(ports);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
        assert!(free_in(&dir, 1, (first, first)).is_err(), "somebody listens");
        drop(listener);
        assert_eq!(free_in(&dir, 1, (first, first)).unwrap()[0].number(), first);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
