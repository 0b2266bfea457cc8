//! SIGINT and SIGTERM as a question: has one come?
//!
//! Invariant: the handler only sets a flag. A second signal ends the process at once, for those in a hurry; the
//! children die with it.

use std::sync::atomic::{AtomicBool, Ordering};

static CAME: AtomicBool = AtomicBool::new(false);

/// From now on these signals wait to be asked for.
pub fn listen() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: a sigaction of zeros is a valid one with an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = note as extern "C" fn(i32) as usize;
        // The next one of its kind finds the default action again.
        action.sa_flags = libc::SA_RESETHAND | libc::SA_RESTART;
        // SAFETY: `action` is filled and outlives the call; the handler does nothing but an atomic store.
        unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
    }
}

pub fn came() -> bool {
    CAME.load(Ordering::Relaxed)
}

extern "C" fn note(_signal: i32) {
    CAME.store(true, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_noted_once_and_does_not_kill() {
        listen();
        assert!(!came());
        // SAFETY: raise sends the signal to this thread, whose handler was just set.
        unsafe { libc::raise(libc::SIGTERM) };
        assert!(came());
    }
}
