//! A table of things with ids that die: an index that is reused and a generation that is not.
//!
//! Invariant: a key finds its thing or nothing, never a later tenant of the same index.

use std::marker::PhantomData;

/// The key of a `T` in [`Slots<T>`].
pub struct Key<T> {
    pub index: u32,
    pub generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    pub fn new(index: u32, generation: u32) -> Key<T> {
        Key { index, generation, of: PhantomData }
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Key<T> {}
impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.generation == other.generation
    }
}
impl<T> Eq for Key<T> {}
impl<T> std::hash::Hash for Key<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.index, self.generation).hash(state);
    }
}
impl<T> std::fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}.{}", self.index, self.generation)
    }
}

pub struct Slots<T> {
    entries: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn insert(&mut self, value: T) -> Key<T> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push((0, None));
            self.entries.len() as u32 - 1
        });
        let entry = &mut self.entries[index as usize];
        entry.1 = Some(value);
        Key::new(index, entry.0)
    }

    #[inline(always)]
    pub fn get(&self, key: Key<T>) -> Option<&T> {
        match self.entries.get(key.index as usize) {
            Some((generation, Some(value))) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    #[inline(always)]
    pub fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        match self.entries.get_mut(key.index as usize) {
            Some((generation, Some(value))) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    pub fn remove(&mut self, key: Key<T>) -> Option<T> {
        let (generation, value) = self.entries.get_mut(key.index as usize)?;
        if *generation != key.generation {
            return None;
        }
        let value = value.take()?;
        *generation = generation.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Key<T>, &T)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(index, (generation, value))| Some((Key::new(index as u32, *generation), value.as_ref()?)))
    }

    pub fn keys(&self) -> Vec<Key<T>> {
        self.iter().map(|(key, _)| key).collect()
    }
}

impl<T> std::ops::Index<Key<T>> for Slots<T> {
    type Output = T;
    #[inline(always)]
    fn index(&self, key: Key<T>) -> &T {
        self.get(key).expect("a live key")
    }
}

impl<T> std::ops::IndexMut<Key<T>> for Slots<T> {
    #[inline(always)]
    fn index_mut(&mut self, key: Key<T>) -> &mut T {
        self.get_mut(key).expect("a live key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_finds_a_later_tenant() {
        let mut slots = Slots::default();
        let first = slots.insert("a");
        assert_eq!(slots.remove(first), Some("a"));
        let second = slots.insert("b");
        assert_eq!(second.index, first.index);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots[second], "b");
        assert_eq!(slots.len(), 1);
    }
}
