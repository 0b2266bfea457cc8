//! What waits to be sent on one wire: pieces in order, most of them chunks that arrived on another wire.
//!
//! Invariant: `bytes` is the sum of the pieces' lengths. Bytes already lent to the driver stay at the front until `consume`. Nothing is
//! behind the first piece when there is none: one piece, which is what most commands and replies are, costs no allocation.

use crate::block::{Blocks, Chunk};
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub struct Queue {
    first: Option<Chunk>,
    more: VecDeque<Chunk>,
    bytes: usize,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    #[inline]
    pub fn push(&mut self, blocks: &mut Blocks, chunk: Chunk) {
        if self.first.is_none() && !chunk.is_empty() && blocks.may_stay(&chunk) {
            self.bytes += chunk.len();
            self.first = Some(chunk);
        } else {
            self.push_behind(blocks, chunk);
        }
    }

    fn push_behind(&mut self, blocks: &mut Blocks, chunk: Chunk) {
        if chunk.is_empty() {
            return blocks.release(chunk);
        }
        self.bytes += chunk.len();
        let chunk = match self.last_mut() {
            Some(last) => match blocks.join(last, chunk) {
                Ok(()) => return,
                Err(chunk) => chunk,
            },
            None => chunk,
        };
        if let Some(kept) = blocks.gather(self.last_mut(), chunk) {
            match &self.first {
                None => self.first = Some(kept),
                Some(_) => self.more.push_back(kept),
            }
        }
    }

    fn last_mut(&mut self) -> Option<&mut Chunk> {
        self.more.back_mut().or(self.first.as_mut())
    }

    fn pieces(&self) -> impl Iterator<Item = &Chunk> {
        self.first.iter().chain(&self.more)
    }

    fn pop(&mut self) -> Option<Chunk> {
        let next = self.more.pop_front();
        std::mem::replace(&mut self.first, next)
    }

    /// Copies bytes in.
    pub fn push_bytes(&mut self, blocks: &mut Blocks, bytes: &[u8]) {
        if !bytes.is_empty() {
            let chunk = blocks.write(bytes);
            self.push(blocks, chunk);
        }
    }

    /// The pieces in order, for a vectored send.
    pub fn slices<'a>(&'a self, blocks: &'a Blocks) -> impl Iterator<Item = &'a [u8]> {
        self.pieces().map(move |chunk| blocks.bytes(chunk))
    }

    pub fn first(&self) -> Option<&Chunk> {
        self.first.as_ref()
    }

    /// Copies out `len` bytes from `from` on; fewer when there are fewer.
    pub fn copy_to(&self, blocks: &Blocks, from: usize, len: usize, out: &mut Vec<u8>) {
        let mut skip = from;
        let mut left = len;
        for slice in self.slices(blocks) {
            if skip >= slice.len() {
                skip -= slice.len();
                continue;
            }
            let part = &slice[skip..slice.len().min(skip + left)];
            out.extend_from_slice(part);
            left -= part.len();
            skip = 0;
            if left == 0 {
                return;
            }
        }
    }

    /// So many bytes from `from` on, if they are all there.
    pub fn read<const N: usize>(&self, blocks: &Blocks, from: usize) -> Option<[u8; N]> {
        let first = self.first.as_ref().map(|chunk| blocks.bytes(chunk)).unwrap_or_default();
        if let Some(bytes) = first.get(from..from + N) {
            return bytes.try_into().ok();
        }
        let mut copy = Vec::with_capacity(N);
        self.copy_to(blocks, from, N, &mut copy);
        copy.try_into().ok()
    }

    /// Overwrites bytes in place, `at` bytes from the front.
    pub fn patch(&mut self, blocks: &mut Blocks, at: usize, bytes: &[u8]) {
        let mut skip = at;
        let mut left = bytes;
        for chunk in self.pieces() {
            if skip >= chunk.len() {
                skip -= chunk.len();
                continue;
            }
            let room = &mut blocks.bytes_mut(chunk)[skip..];
            let n = room.len().min(left.len());
            room[..n].copy_from_slice(&left[..n]);
            left = &left[n..];
            skip = 0;
            if left.is_empty() {
                return;
            }
        }
    }

    /// The first `n` bytes have been used up.
    pub fn consume(&mut self, blocks: &mut Blocks, n: usize) {
        assert!(n <= self.bytes, "no more can be taken than was queued");
        self.bytes -= n;
        let mut left = n;
        while left > 0 {
            let front = self.first.as_mut().expect("bytes counts the pieces");
            if front.len() > left {
                return front.advance(left);
            }
            left -= front.len();
            if let Some(chunk) = self.pop() {
                blocks.release(chunk);
            }
        }
    }

    /// Moves the first `n` bytes to the end of `to`.
    pub fn move_to(&mut self, blocks: &mut Blocks, n: usize, to: &mut Queue) {
        assert!(n <= self.bytes);
        self.bytes -= n;
        let mut left = n;
        while left > 0 {
            let front = self.first.as_mut().expect("bytes counts the pieces");
            if front.len() > left {
                let part = blocks.share(front, 0..left);
                front.advance(left);
                return to.push(blocks, part);
            }
            left -= front.len();
            if let Some(chunk) = self.pop() {
                to.push(blocks, chunk);
            }
        }
    }

    /// Adds the first `n` bytes to the end of `to` and keeps them here too.
    pub fn share_front_to(&self, blocks: &mut Blocks, n: usize, to: &mut Queue) {
        assert!(n <= self.bytes);
        let mut left = n;
        for chunk in self.pieces() {
            if left == 0 {
                return;
            }
            let part = blocks.share(chunk, 0..chunk.len().min(left));
            left -= part.len();
            to.push(blocks, part);
        }
    }

    /// Adds the bytes from `from` on to the end of `to` and keeps them here too.
    pub fn share_to(&self, blocks: &mut Blocks, from: usize, to: &mut Queue) {
        let mut skip = from;
        for chunk in self.pieces() {
            if skip >= chunk.len() {
                skip -= chunk.len();
                continue;
            }
            let part = blocks.share(chunk, skip..chunk.len());
            skip = 0;
            to.push(blocks, part);
        }
    }

    pub fn clear(&mut self, blocks: &mut Blocks) {
        self.consume(blocks, self.bytes);
        self.more.shrink_to(8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S50: bytes that wait hold half of the blocks at most, whatever their number.
    #[test]
    fn slow_peers_leave_blocks_for_the_others() {
        let mut blocks = Blocks::new(8, 64);
        let mut queues: Vec<Queue> = (0..4).map(|_| Queue::default()).collect();
        for n in 0..10_000usize {
            let block = blocks.lend().expect("a block is left for who comes next");
            // SAFETY: the block was lent to us and one byte fits.
            unsafe { blocks.start_of(block).write(n as u8) };
            let chunk = blocks.landed(block, 1);
            // As a long command: in at one queue, and at once on to another.
            let mut inbound = Queue::default();
            inbound.push(&mut blocks, chunk);
            inbound.move_to(&mut blocks, 1, &mut queues[n % 4]);
            // A send may read the first pieces all the while.
            assert!(queues[n % 4].slices(&blocks).next().is_some_and(|first| first[0] == (n % 4) as u8));
        }
        assert!(blocks.free_count() >= 3);
        for (which, queue) in queues.iter_mut().enumerate() {
            assert!(queue.pieces().count() < 8, "{} pieces", queue.pieces().count());
            let bytes: Vec<u8> = queue.slices(&blocks).flatten().copied().collect();
            let wanted: Vec<u8> = (0..10_000usize).filter(|n| n % 4 == which).map(|n| n as u8).collect();
            assert_eq!(bytes, wanted);
            queue.clear(&mut blocks);
        }
        assert_eq!((blocks.free_count(), blocks.heap_bytes()), (8, 0));
    }

    #[test]
    fn pieces_leave_in_order_and_blocks_go_home() {
        let mut blocks = Blocks::new(4, 64);
        let mut queue = Queue::default();
        queue.push_bytes(&mut blocks, &[1; 50]);
        let heap = blocks.adopt(vec![2; 30]);
        queue.push(&mut blocks, heap);
        queue.push_bytes(&mut blocks, &[3; 64]);
        queue.push_bytes(&mut blocks, &[4; 10]);
        let all: Vec<u8> = queue.slices(&blocks).flatten().copied().collect();
        assert_eq!(all.len(), 154);
        let mut part = Vec::new();
        queue.copy_to(&blocks, 40, 60, &mut part);
        assert_eq!(part, all[40..100]);
        let mut twin = Queue::default();
        queue.share_to(&mut blocks, 45, &mut twin);
        let shared: Vec<u8> = twin.slices(&blocks).flatten().copied().collect();
        assert_eq!(shared, all[45..]);
        let mut third = Queue::default();
        twin.move_to(&mut blocks, 20, &mut third);
        assert_eq!((twin.len(), third.len()), (all.len() - 65, 20));
        twin.clear(&mut blocks);
        third.clear(&mut blocks);
        for step in [1, 49, 10, 20, 70, 4] {
            let before: Vec<u8> = queue.slices(&blocks).flatten().copied().collect();
            queue.consume(&mut blocks, step);
            let after: Vec<u8> = queue.slices(&blocks).flatten().copied().collect();
            assert_eq!(before[step..], after[..]);
        }
        assert!(queue.is_empty());
        blocks.drop_pen();
        assert_eq!(blocks.free_count(), 4);
    }
}
