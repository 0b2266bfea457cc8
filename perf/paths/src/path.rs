//! A path: one way through the gate that is walked again and again, with what has to be there before and after each walk.

pub trait Path {
    /// Not counted.
    fn prepare(&mut self) {}

    /// Counted.
    fn walk(&mut self);

    /// Not counted.
    fn finish(&mut self) {}
}
