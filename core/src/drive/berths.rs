//! The kernel's ring of provided buffers: which of the core's blocks it may write the next bytes to.
//!
//! ```text
//!   Blocks ── lend ──► berth (a buffer id) ──► kernel's ring ──► a completion names the id ──► take ──► block
//! ```
//! Invariant: a berth is free or holds one lent block; `afloat` blocks are in the kernel's ring, never more than it has
//! entries. Only a few blocks are lent at a time, so that resident memory follows use and not the sum of all blocks, and so that
//! the same few come round while they are still in the cache: the kernel takes them in the order in which they were given. When
//! they do not suffice for a turn, more are lent, and fewer again when they have sufficed for long.

use crate::block::Blocks;
use io_uring::types::BufRingEntry;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

pub struct Berths {
    ring: NonNull<BufRingEntry>,
    layout: Layout,
    entries: u16,
    tail: u16,
    /// The block in each berth; NOBODY when free.
    blocks: Vec<u32>,
    free: Vec<u16>,
    /// Blocks that are never lent, so that the world can still write something of its own.
    reserve: usize,
    /// As many are to be afloat.
    wanted: usize,
    /// Refills since they last did not suffice.
    calm: u32,
}

impl Berths {
    /// A ring for a world that has `blocks` of them.
    pub fn new(blocks: usize) -> Berths {
        let entries = blocks.next_power_of_two().clamp(ENTRIES_MIN, ENTRIES_MAX);
        let layout = Layout::array::<BufRingEntry>(entries).and_then(|l| l.align_to(4096)).expect("a small size");
        // SAFETY: the layout has a size above zero.
        let ring = unsafe { alloc_zeroed(layout) };
        let Some(ring) = NonNull::new(ring.cast::<BufRingEntry>()) else { handle_alloc_error(layout) };
        let entries = entries as u16;
        let free = (0..entries).rev().collect();
        Berths {
            ring,
            layout,
            entries,
            tail: 0,
            blocks: vec![NOBODY; entries as usize],
            free,
            reserve: blocks / RESERVE_SHARE,
            wanted: AFLOAT_MIN.min(usize::from(entries)),
            calm: 0,
        }
    }

    /// Tells the kernel of the ring.
    ///
    /// # Safety
    /// `self` outlives the io_uring behind `submitter`, and so do the blocks that are lent by [`Berths::refill`].
    pub unsafe fn register(&self, submitter: &io_uring::Submitter<'_>) -> io::Result<()> {
        // SAFETY: page-aligned memory of that many entries, which lives as our caller says.
        unsafe { submitter.register_buf_ring_with_flags(self.ring.as_ptr() as u64, self.entries, GROUP, 0) }
    }

    /// Blocks in the kernel's ring.
    pub fn afloat(&self) -> usize {
        self.entries as usize - self.free.len()
    }

    /// A receive found no buffer.
    pub fn run_dry(&mut self) {
        // Several of one turn say it once.
        if self.calm > 0 {
            self.wanted = (self.wanted * 2).min(usize::from(self.entries));
            self.calm = 0;
        }
    }

    /// Lends blocks until as many are afloat as are wanted, or no block is left.
    pub fn refill(&mut self, blocks: &mut Blocks) {
        let before = self.tail;
        self.calm += 1;
        if self.calm == CALM_REFILLS {
            self.calm = 1;
            self.wanted = (self.wanted / 2).max(AFLOAT_MIN).min(usize::from(self.entries));
        }
        while self.afloat() < self.wanted && blocks.free_count() > self.reserve {
            let (Some(berth), Some(block)) = (self.free.pop(), blocks.lend()) else {
                unreachable!("both were just seen")
            };
            self.blocks[berth as usize] = block;
            self.put(berth, blocks.start_of(block), blocks.block_bytes() as u32);
        }
        if self.tail != before {
            // SAFETY: the tail lies over the reserved field of entry 0 (io_uring_register(2), IORING_REGISTER_PBUF_RING);
            // only we write it, the kernel reads it.
            let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring.as_ptr()).cast_mut()) };
            tail.store(self.tail, Ordering::Release);
        }
    }

    fn put(&mut self, berth: u16, at: *mut u8, len: u32) {
        let slot = usize::from(self.tail & (self.entries - 1));
        // SAFETY: the slot is inside of the ring, and the kernel reads no slot at or past the tail.
        let entry = unsafe { &mut *self.ring.as_ptr().add(slot) };
        entry.set_addr(at as u64);
        entry.set_len(len);
        entry.set_bid(berth);
        self.tail = self.tail.wrapping_add(1);
    }

    /// The block that the kernel has taken from this berth. It is still lent: land it or give it back.
    pub fn take(&mut self, berth: u16) -> u32 {
        let block = std::mem::replace(&mut self.blocks[usize::from(berth)], NOBODY);
        assert!(block != NOBODY, "the kernel names a buffer that it was given, once");
        self.free.push(berth);
        block
    }
}

impl Drop for Berths {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout; `register`'s caller promised that the kernel is done with it.
        unsafe { dealloc(self.ring.as_ptr().cast(), self.layout) }
    }
}

/// The number of our only buffer group.
pub const GROUP: u16 = 0;

const NOBODY: u32 = u32::MAX;

/// The kernel wants a power of two. With 16 KiB blocks at most 8 MiB per core lie with the kernel.
const ENTRIES_MIN: usize = 4;
const ENTRIES_MAX: usize = 512;

/// Blocks with the kernel while they suffice.
const AFLOAT_MIN: usize = 128;
/// After so many refills without a receive in want of a buffer, half as many are wanted.
const CALM_REFILLS: u32 = 10_000;

/// One block of so many stays with the world.
const RESERVE_SHARE: usize = 16;
