//! A bounded memory of recent things, by hash.

use std::collections::HashMap;

/// Remembers at least the last `capacity` values.
///
/// Two generations: entries go into the young one; when that is full it becomes the old one,
/// and the former old one is dropped whole. Bounded by twice `capacity` entries, with no
/// per-entry expiry and no clock: partitions that are hours apart share it.
#[derive(Debug)]
pub struct Recent<V> {
    young: HashMap<u64, V, foldhash::fast::FixedState>,
    old: HashMap<u64, V, foldhash::fast::FixedState>,
    capacity: usize,
}

impl<V: Copy> Recent<V> {
    pub fn new(capacity: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), capacity }
    }

    /// Remembers `value` under `key` unless something is there already, which is then returned.
    pub fn first_or_insert(&mut self, key: u64, value: V) -> Option<V> {
        if let Some(first) = self.young.get(&key).or_else(|| self.old.get(&key)) {
            return Some(*first);
        }
        if self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_as_many_as_its_capacity_and_the_first_of_each() {
        let mut recent = Recent::new(100);
        for key in 0..1_000 {
            assert_eq!(recent.first_or_insert(key, 'a'), None);
            for earlier in key.saturating_sub(99)..=key {
                assert_eq!(recent.first_or_insert(earlier, 'b'), Some('a'));
            }
        }
        assert_eq!(recent.first_or_insert(0, 'c'), None);
    }

    #[test]
    fn stays_within_twice_its_capacity() {
        let mut recent = Recent::new(10);
        for key in 0..1_000 {
            recent.first_or_insert(key, ());
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
    }
}
