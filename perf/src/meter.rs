//! What a process costs: CPU time and resident memory, as the kernel counts them.
//!
//! Invariant: reading costs the process nothing, and works for processes of the same user or any other. CPU time is
//! that of all threads, also of those that have ended, in nanoseconds: the process's CPU clock, which is finer than the
//! ticks in `stat` and, unlike `task/*/schedstat`, forgets no thread. Workers of an io_uring are threads of the process
//! and so are in it.

use std::fs;
use std::io;

/// CPU time of a process since its start, in nanoseconds.
pub fn cpu_ns(pid: u32) -> io::Result<u64> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: the clock's number is written to a place that lives through the call.
    let error = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is written to a place that lives through the call.
    if unsafe { libc::clock_gettime(clock, &mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// CPU time of several processes together. One that is gone counts as nothing more.
pub fn cpu_ns_of_all(pids: &[u32]) -> u64 {
    pids.iter().map(|pid| cpu_ns(*pid).unwrap_or(0)).sum()
}

/// Resident memory of a process, in bytes.
pub fn rss_bytes(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The most that it has ever been, in bytes.
pub fn peak_bytes(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "VmHWM:")
}

fn status_bytes(pid: u32, name: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    // A process that has ended but was not waited for has no memory.
    Ok(kib.unwrap_or(0) * 1024)
}

/// Raises the limit of open files to what may be had without root, and returns it.
pub fn raise_files_max() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is written to a place that lives through the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the limit is read from a place that lives through the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

/// The same, but raises the limit itself if it is below what is needed, which root may do up to the kernel's own.
pub fn raise_files_to(needed: u64) -> io::Result<u64> {
    let files_max = raise_files_max()?;
    if files_max >= needed {
        return Ok(files_max);
    }
    let limit = libc::rlimit { rlim_cur: needed, rlim_max: needed };
    // SAFETY: the limit is read from a place that lives through the call.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } {
        0 => Ok(needed),
        // Not allowed: the limit stays as it is, and the caller sees that it is too low.
        _ => Ok(files_max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_memory_are_seen() {
        let me = std::process::id();
        let before = cpu_ns(me).unwrap();
        let pages = vec![1u8; 16 << 20];
        let sum: u64 = pages.iter().map(|byte| u64::from(*byte)).sum();
        assert_eq!(sum, 16 << 20);
        assert!(cpu_ns(me).unwrap() > before);
        assert!(cpu_ns_of_all(&[me, me]) > 2 * before);
        assert!(rss_bytes(me).unwrap() > 16 << 20);
    }

    #[test]
    fn limits_of_files() {
        let files_max = raise_files_max().unwrap();
        assert_eq!(raise_files_to(files_max).unwrap(), files_max);
        // Above what the kernel gives even to root.
        assert_eq!(raise_files_to(u64::MAX - 1).unwrap(), files_max);
    }

    #[test]
    fn a_process_that_is_not_there() {
        // Above the largest id that the kernel gives out.
        let nobody = 1 << 23;
        assert!(cpu_ns(nobody).is_err());
        assert_eq!(cpu_ns_of_all(&[nobody]), 0);
        assert!(rss_bytes(nobody).is_err());
    }
}
