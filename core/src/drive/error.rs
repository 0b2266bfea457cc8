//! Why a gate can't start its cores, each with one sentence that says what to do about it.

use crate::drive::listen::ListenAddress;
use std::fmt;
use std::io;

#[derive(Debug)]
pub enum StartError {
    /// The options name no core.
    NoCores,
    /// The process may not run on this CPU.
    CoreNotAvailable {
        cpu: usize,
        available: Vec<usize>,
    },
    /// The kernel, or whoever guards it, gives us no io_uring.
    UringForbidden {
        why: Forbidden,
    },
    /// `RLIMIT_MEMLOCK` in bytes, and what it must be.
    LockedMemory {
        limit: u64,
        needed: u64,
    },
    PortTaken {
        address: ListenAddress,
    },
    Listen {
        address: ListenAddress,
        error: io::Error,
    },
    /// A core's thread could not be set up.
    Core {
        cpu: usize,
        error: String,
    },
    /// Something else that the kernel refused.
    Machine {
        what: &'static str,
        error: io::Error,
    },
}

#[derive(Debug)]
pub enum Forbidden {
    /// The sysctl `kernel.io_uring_disabled` has this value.
    Sysctl(u32),
    /// A seccomp filter, as containers have them.
    Filter,
    /// The kernel is older than 6.1, or built without it.
    Kernel,
    Other(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::NoCores => f.write_str("no CPU was given to run on: name at least one"),
            StartError::CoreNotAvailable { cpu, available } => {
                write!(f, "CPU {cpu} is not available to this process: choose among {available:?}")
            }
            StartError::UringForbidden { why } => write!(f, "io_uring is not available: {why}"),
            StartError::LockedMemory { limit, needed } => write!(
                f,
                "the limit of locked memory is {limit} bytes and must be at least {needed}: raise it with \
                 'ulimit -l {}' or LimitMEMLOCK={needed} in the systemd unit",
                needed / 1024
            ),
            StartError::PortTaken { address } => {
                write!(f, "{address} is taken by another process: stop it, or listen on another address")
            }
            StartError::Listen { address, error } => {
                write!(f, "cannot listen on {address} ({error}): choose an address of this machine that we may bind")
            }
            StartError::Core { cpu, error } => {
                write!(f, "the core on CPU {cpu} cannot start: {error}")
            }
            StartError::Machine { what, error } => write!(f, "{what} failed: {error}"),
        }
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Forbidden::Sysctl(value) => write!(
                f,
                "kernel.io_uring_disabled is {value}; allow it with 'sysctl kernel.io_uring_disabled=0', or (when it \
                 is 1) put our group into kernel.io_uring_group"
            ),
            Forbidden::Filter => f.write_str(
                "a seccomp filter forbids it, as container runtimes' default profiles do; run with a profile that \
                 allows io_uring_setup, io_uring_enter and io_uring_register",
            ),
            Forbidden::Kernel => f.write_str("Linux 6.1 or later with CONFIG_IO_URING is needed; boot a newer kernel"),
            Forbidden::Other(error) => write!(f, "the kernel refused to set up a ring ({error}); see its log"),
        }
    }
}

impl std::error::Error for StartError {}
