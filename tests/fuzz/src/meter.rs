//! The meter: how much memory a property takes, counted where it is allocated.
//!
//! Invariant: `live` is what this thread has allocated minus what it has freed since `start`, `peak` its maximum. Memory
//! that one thread frees for another is counted wrong; properties have one thread.
//! A fuzzer sees memory only when gigabytes are gone; this sees a login of 200 bytes that keeps a mebibyte.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counted. Only what makes it the global allocator is metered.
#[derive(Debug)]
pub struct Meter;

thread_local! {
    static LIVE: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// Begins a measurement on this thread.
pub fn start() {
    LIVE.set(0);
    PEAK.set(0);
}

/// The most bytes that were live at once since `start`, on this thread. 0 when the meter is not the allocator.
pub fn peak_bytes() -> usize {
    usize::try_from(PEAK.get()).unwrap_or(0)
}

fn count(bytes: i64) {
    // Only at the end of a thread, when its cells are gone, are there none.
    let _ = LIVE.try_with(|live| {
        let now = live.get() + bytes;
        live.set(now);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now)));
    });
}

// SAFETY: every call goes on to the system's allocator as it came; counting touches two cells that never allocate.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.realloc(memory, layout, size) }
    }
}
