//! Choices and pieces drawn from the front of an input, so that every input means something.
//!
//! Invariant: an empty draw gives zeros and nothing, so a property always ends.

/// What is left of an input.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    left: &'a [u8],
}

impl<'a> Draw<'a> {
    pub fn new(bytes: &'a [u8]) -> Draw<'a> {
        Draw { left: bytes }
    }

    pub fn u8(&mut self) -> u8 {
        match self.left.split_first() {
            Some((first, left)) => {
                self.left = left;
                *first
            }
            None => 0,
        }
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes([self.u8(), self.u8(), self.u8(), self.u8()])
    }

    pub fn u64(&mut self) -> u64 {
        u64::from(self.u32()) | u64::from(self.u32()) << 32
    }

    /// A number below `bound`, which is at most 256, from one byte.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.u8()) % bound.max(1)
    }

    pub fn coin(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// So many bytes, fewer at the end.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (head, left) = self.left.split_at(len.min(self.left.len()));
        self.left = left;
        head
    }

    /// A length of one byte, and so many bytes.
    pub fn piece(&mut self) -> &'a [u8] {
        let len = usize::from(self.u8());
        self.take(len)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }

    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }
}
