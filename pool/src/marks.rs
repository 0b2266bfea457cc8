//! A set of backends that something has happened to since one of the pool's polls last found nothing to do there.
//!
//! Invariant: a poll may skip a backend only when it is not marked, so a mark too many costs a look and none is lost.

#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    words: Vec<u64>,
}

impl Marks {
    pub fn set(&mut self, backend: u16) {
        let word = usize::from(backend) / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (backend % 64);
    }

    /// Takes off the mark of a backend that was set before.
    pub fn clear(&mut self, backend: u16) {
        self.words[usize::from(backend) / 64] &= !(1 << (backend % 64));
    }

    pub fn first(&self) -> Option<u16> {
        let word = self.words.iter().position(|word| *word != 0)?;
        Some((word * 64) as u16 + self.words[word].trailing_zeros() as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_mark_comes_first() {
        let mut marks = Marks::default();
        for backend in [130, 0, 63, 64, 65_535] {
            marks.set(backend);
        }
        let mut seen = Vec::new();
        while let Some(backend) = marks.first() {
            marks.clear(backend);
            seen.push(backend);
        }
        assert_eq!(seen, [0, 63, 64, 130, 65_535]);
    }
}
