//! The heap: an allocator whose steps are the same on every machine, and which counts.
//!
//! Sizes are powers of two from 16 bytes; what is freed goes to the list of its size, what is wanted comes from there or from the end of
//! a large piece of memory. Nothing is given back.
//!
//! Invariant: used by one thread. A second one would end the program.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering};

pub struct Heap {
    lists: UnsafeCell<Lists>,
    owner: AtomicU64,
}

struct Lists {
    /// The first free one of each size; each points to the next.
    free: [*mut u8; CLASSES],
    /// What is left of the large piece.
    at: *mut u8,
    left: usize,
    count: Count,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub allocations: u64,
    pub bytes: u64,
}

impl Count {
    pub fn since(&self, before: &Count) -> Count {
        Count { allocations: self.allocations - before.allocations, bytes: self.bytes - before.bytes }
    }

    pub fn add(&mut self, more: &Count) {
        self.allocations += more.allocations;
        self.bytes += more.bytes;
    }
}

// SAFETY: `lists` hands the lists to one thread alone.
unsafe impl Sync for Heap {}

impl Heap {
    pub const fn new() -> Heap {
        let lists =
            Lists { free: [null_mut(); CLASSES], at: null_mut(), left: 0, count: Count { allocations: 0, bytes: 0 } };
        Heap { lists: UnsafeCell::new(lists), owner: AtomicU64::new(0) }
    }

    pub fn count(&self) -> Count {
        self.lists().count
    }

    #[allow(clippy::mut_from_ref)]
    fn lists(&self) -> &mut Lists {
        let me = thread_mark();
        let owner = self.owner.load(Ordering::Relaxed);
        if owner != me {
            if owner != 0 {
                std::process::abort();
            }
            self.owner.store(me, Ordering::Relaxed);
        }
        // SAFETY: the program has one thread, which was just checked, and no call below calls back.
        unsafe { &mut *self.lists.get() }
    }
}

/// Differs from thread to thread, and costs no call.
fn thread_mark() -> u64 {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| std::ptr::from_ref(mark) as u64)
}

fn class(layout: &Layout) -> usize {
    let size = layout.size().max(layout.align()).max(SIZE_MIN).next_power_of_two();
    (size.trailing_zeros() - SIZE_MIN.trailing_zeros()) as usize
}

// SAFETY: a piece of a class has at least the size asked for, is aligned to its size, and is in one place at a time: with its owner, in
// a list, or in the rest of the large piece.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (class, lists) = (class(&layout), self.lists());
        lists.count.allocations += 1;
        lists.count.bytes += layout.size() as u64;
        let size = SIZE_MIN << class;
        if size > SIZE_MAX {
            // SAFETY: the caller's own layout. Blocks and tables: once, in the beginning.
            return unsafe { System.alloc(layout) };
        }
        let first = lists.free[class];
        if !first.is_null() {
            // SAFETY: what is in a list is free, and begins with a pointer to the next.
            lists.free[class] = unsafe { first.cast::<*mut u8>().read() };
            return first;
        }
        let skip = lists.at.align_offset(size);
        if lists.at.is_null() || skip + size > lists.left {
            // SAFETY: the size is not 0, and the alignment is a power of two.
            let fresh = unsafe { System.alloc(Layout::from_size_align_unchecked(LARGE, SIZE_MAX)) };
            if fresh.is_null() {
                return null_mut();
            }
            (lists.at, lists.left) = (fresh, LARGE);
            return self.carve(lists, 0, size);
        }
        self.carve(lists, skip, size)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let class = class(&layout);
        if SIZE_MIN << class > SIZE_MAX {
            // SAFETY: it came from there.
            return unsafe { System.dealloc(at, layout) };
        }
        let lists = self.lists();
        // SAFETY: at least 16 bytes, and nobody's any more.
        unsafe { at.cast::<*mut u8>().write(lists.free[class]) };
        lists.free[class] = at;
    }
}

impl Heap {
    fn carve(&self, lists: &mut Lists, skip: usize, size: usize) -> *mut u8 {
        // SAFETY: the caller has seen that so much is left.
        let piece = unsafe { lists.at.add(skip) };
        // SAFETY: as above.
        lists.at = unsafe { piece.add(size) };
        lists.left -= skip + size;
        piece
    }
}

const SIZE_MIN: usize = 16;
/// Larger ones are the system's.
const SIZE_MAX: usize = 1 << 16;
const CLASSES: usize = 64;
const LARGE: usize = 16 << 20;
