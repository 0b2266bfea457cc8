//! What the machine allows: CPUs, open files, locked memory, io_uring. Looked at once, before anything starts.

use crate::drive::error::{Forbidden, StartError};
use crate::drive::ring::Ring;
use std::io;
use std::mem::zeroed;

/// Checks everything that a core's start would stumble over, and raises the limit of open files to what is allowed.
pub fn check(cpus: &[usize]) -> Result<(), StartError> {
    if cpus.is_empty() {
        return Err(StartError::NoCores);
    }
    let available = available_cpus().map_err(|error| StartError::Machine { what: "sched_getaffinity", error })?;
    if let Some(cpu) = cpus.iter().copied().find(|cpu| !available.contains(cpu)) {
        return Err(StartError::CoreNotAvailable { cpu, available });
    }
    raise(libc::RLIMIT_NOFILE, u64::MAX).map_err(|error| StartError::Machine { what: "RLIMIT_NOFILE", error })?;
    let limit = raise(libc::RLIMIT_MEMLOCK, LOCKED_BYTES_MIN)
        .map_err(|error| StartError::Machine { what: "RLIMIT_MEMLOCK", error })?;
    if limit < LOCKED_BYTES_MIN {
        return Err(StartError::LockedMemory { limit, needed: LOCKED_BYTES_MIN });
    }
    // The ring itself needs no locked memory since Linux 5.12, so ENOMEM here is about real memory.
    Ring::new().map(drop).map_err(|error| StartError::UringForbidden { why: forbidden(error) })
}

/// The CPUs that this process may run on (its affinity mask, which cgroups and taskset narrow).
pub fn available_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: all zeroes is an empty set.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: a live set of the size given.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the numbers are below the set's size.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect())
}

/// Raises a soft limit to `wanted` or to the hard limit, whichever is lower, and returns what it is then.
fn raise(resource: libc::__rlimit_resource_t, wanted: u64) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a live rlimit.
    if unsafe { libc::getrlimit(resource, &raw mut limit) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let reach = wanted.min(limit.rlim_max);
    if limit.rlim_cur < reach {
        limit.rlim_cur = reach;
        // SAFETY: a live rlimit.
        if unsafe { libc::setrlimit(resource, &raw const limit) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

/// Files that this process may have open, which is also the most slots that a ring's table may have.
pub fn files_max() -> u32 {
    raise(libc::RLIMIT_NOFILE, 0).map_or(0, |limit| u32::try_from(limit).unwrap_or(u32::MAX))
}

fn forbidden(error: io::Error) -> Forbidden {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => match sysctl_disabled() {
            Some(value) if value > 0 => Forbidden::Sysctl(value),
            _ => Forbidden::Filter,
        },
        // A filter may also answer ENOSYS; the sysctl exists only where the kernel has io_uring.
        Some(libc::ENOSYS) if sysctl_disabled().is_some() => Forbidden::Filter,
        Some(libc::ENOSYS | libc::EINVAL) => Forbidden::Kernel,
        _ => Forbidden::Other(error),
    }
}

fn sysctl_disabled() -> Option<u32> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

/// glommio 0.9 refuses to start an executor below this limit of locked memory, whatever it needs (64 KiB per ring).
const LOCKED_BYTES_MIN: u64 = 512 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_told_from_one_without_the_cpu() {
        let available = available_cpus().unwrap();
        check(&available).unwrap();
        let missing = available.iter().max().unwrap() + 1;
        let error = check(&[missing]).unwrap_err();
        assert!(matches!(error, StartError::CoreNotAvailable { .. }));
        assert!(error.to_string().contains(&format!("CPU {missing} is not available")));
        assert!(matches!(check(&[]), Err(StartError::NoCores)));
    }

    #[test]
    fn each_refusal_of_a_ring_says_what_to_do() {
        for (errno, says) in [(libc::EPERM, "seccomp"), (libc::EINVAL, "6.1"), (libc::EMFILE, "refused")] {
            let why = forbidden(io::Error::from_raw_os_error(errno));
            let text = StartError::UringForbidden { why }.to_string();
            assert!(text.contains(says) || text.contains("io_uring_disabled"), "{text}");
        }
    }
}
