//! A doubly linked list through the entries of a table: O(1) to put in and to take out from anywhere, no allocation.
//!
//! Invariant: an entry is on at most one list per level; walking from either end meets the same `len` entries.

/// One entry's neighbours on the list that it is on at some level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    previous: u32,
    next: u32,
}

impl Links {
    pub const NONE: Links = Links { previous: NIL, next: NIL };
}

/// What a list can run through: an entry with a pair of links for each level.
pub(crate) trait Linked {
    fn links(&self, level: usize) -> &Links;
    fn links_mut(&mut self, level: usize) -> &mut Links;
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    first: u32,
    last: u32,
    len: u32,
}

impl List {
    pub const EMPTY: List = List { first: NIL, last: NIL, len: 0 };

    pub fn len(&self) -> u32 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn first(&self) -> Option<u32> {
        (self.first != NIL).then_some(self.first)
    }

    pub fn last(&self) -> Option<u32> {
        (self.last != NIL).then_some(self.last)
    }

    pub fn push_front<T: Linked>(&mut self, table: &mut [T], level: usize, index: u32) {
        *table[index as usize].links_mut(level) = Links { previous: NIL, next: self.first };
        match self.first {
            NIL => self.last = index,
            first => table[first as usize].links_mut(level).previous = index,
        }
        self.first = index;
        self.len += 1;
    }

    pub fn push_back<T: Linked>(&mut self, table: &mut [T], level: usize, index: u32) {
        *table[index as usize].links_mut(level) = Links { previous: self.last, next: NIL };
        match self.last {
            NIL => self.first = index,
            last => table[last as usize].links_mut(level).next = index,
        }
        self.last = index;
        self.len += 1;
    }

    /// Takes out an entry that is on this list.
    pub fn remove<T: Linked>(&mut self, table: &mut [T], level: usize, index: u32) {
        let Links { previous, next } = *table[index as usize].links(level);
        match previous {
            NIL => self.first = next,
            other => table[other as usize].links_mut(level).next = next,
        }
        match next {
            NIL => self.last = previous,
            other => table[other as usize].links_mut(level).previous = previous,
        }
        *table[index as usize].links_mut(level) = Links::NONE;
        self.len -= 1;
    }

    pub fn iter<'a, T: Linked>(&self, table: &'a [T], level: usize) -> impl Iterator<Item = u32> + use<'a, T> {
        walk(self.first, move |index| table[index as usize].links(level).next)
    }

    pub fn iter_back<'a, T: Linked>(&self, table: &'a [T], level: usize) -> impl Iterator<Item = u32> + use<'a, T> {
        walk(self.last, move |index| table[index as usize].links(level).previous)
    }

    /// The entry at `position` from the front, reached from the nearer end.
    pub fn nth<T: Linked>(&self, table: &[T], level: usize, position: u32) -> Option<u32> {
        let from_back = self.len.checked_sub(position)?.checked_sub(1)?;
        if position <= from_back {
            self.iter(table, level).nth(position as usize)
        } else {
            self.iter_back(table, level).nth(from_back as usize)
        }
    }
}

fn walk(start: u32, step: impl Fn(u32) -> u32) -> impl Iterator<Item = u32> {
    std::iter::successors((start != NIL).then_some(start), move |index| {
        let following = step(*index);
        (following != NIL).then_some(following)
    })
}

const NIL: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    struct Entry([Links; 1]);

    impl Linked for Entry {
        fn links(&self, level: usize) -> &Links {
            &self.0[level]
        }
        fn links_mut(&mut self, level: usize) -> &mut Links {
            &mut self.0[level]
        }
    }

    #[test]
    fn both_walks_agree_whatever_is_taken_out() {
        for taken in 0..5 {
            let mut table: Vec<Entry> = (0..5).map(|_| Entry([Links::NONE])).collect();
            let mut list = List::EMPTY;
            for index in [2, 3, 4] {
                list.push_back(&mut table, 0, index);
            }
            for index in [1, 0] {
                list.push_front(&mut table, 0, index);
            }
            list.remove(&mut table, 0, taken);
            let expected: Vec<u32> = (0..5).filter(|i| *i != taken).collect();
            let mut backwards: Vec<u32> = list.iter_back(&table, 0).collect();
            backwards.reverse();
            assert_eq!(list.iter(&table, 0).collect::<Vec<_>>(), expected);
            assert_eq!(backwards, expected);
            for (position, index) in expected.iter().enumerate() {
                assert_eq!(list.nth(&table, 0, position as u32), Some(*index));
            }
            assert_eq!(list.nth(&table, 0, 4), None);
        }
    }

    #[test]
    fn the_last_entry_leaves_an_empty_list() {
        let mut table = vec![Entry([Links::NONE])];
        let mut list = List::EMPTY;
        list.push_front(&mut table, 0, 0);
        list.remove(&mut table, 0, 0);
        assert!(list.is_empty());
        assert_eq!((list.first(), list.last(), list.nth(&table, 0, 0)), (None, None, None));
    }
}
