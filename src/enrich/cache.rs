//! Caches recently used entries in bounded memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// A cache of two generations. When the young generation is full, it becomes the old one, and the
/// former old one is dropped. A used entry of the old generation moves to the young one.
///
/// The cache holds at most twice `limit` entries. Frequently used entries need one hash lookup.
pub(super) struct Cache<K, V> {
    young: HashMap<K, V, foldhash::fast::RandomState>,
    old: HashMap<K, V, foldhash::fast::RandomState>,
    limit: usize,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    pub fn new(limit: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), limit }
    }

    /// The value of `key`. An entry that is found stays in the cache longer.
    pub fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.limit {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn used_entries_stay_and_the_number_of_entries_is_bounded() {
        let mut cache = Cache::new(10);
        cache.insert(0, "used");
        for key in 1..1_000 {
            cache.insert(key, "once");
            assert_eq!(cache.get(&0), Some("used"), "after {key}");
            assert!(cache.young.len() + cache.old.len() <= 20);
        }
        assert_eq!(cache.get(&1), None);
        cache.clear();
        assert_eq!(cache.get(&0), None);
    }
}
