//! Remembers recent values by a hash, in bounded memory.

use std::hash::BuildHasher;

use indexmap::IndexMap;

use crate::event::AccessEvent;

/// Hash that identifies a request, so that a redelivered record is recognised.
///
/// It is made of the request id, or else the nonce or the signature, and of further fields that
/// records of different requests rarely share. The request id alone does not suffice, because
/// clients and proxies reuse ids. `None` for a record with neither of them.
pub fn request_identity(event: &AccessEvent, hasher: &impl BuildHasher) -> Option<u64> {
    let signed = event.nonce.map(|nonce| nonce.fingerprint).or(event.signature);
    Some(match (&event.request_id, signed) {
        (Some(id), _) => hasher.hash_one((
            (&event.key_id, id, event.time, event.client_ip),
            (&event.method, &event.path, event.status, signed, &event.user_agent),
            (event.bytes_in, event.bytes_out, event.latency_ms.map(f32::to_bits)),
        )),
        (None, Some(signed)) => {
            hasher.hash_one((&event.key_id, signed, event.client_ip, event.time))
        }
        (None, None) => return None,
    })
}

/// A map of at least the last `capacity` values, and at most twice as many.
///
/// Entries go into the young generation. When it is full, it becomes the old one, and the former
/// old one is dropped. Entries do not expire by time, because partitions whose clocks are hours
/// apart share the map.
#[derive(Debug)]
pub struct Recent<V> {
    young: Generation<V>,
    old: Generation<V>,
    capacity: usize,
}

/// Entries in the order of their insertion, so that the unsaved entries are at the end.
#[derive(Debug)]
struct Generation<V> {
    entries: IndexMap<u64, V, foldhash::fast::FixedState>,
    saved: usize,
}

impl<V> Default for Generation<V> {
    fn default() -> Self {
        Self { entries: IndexMap::default(), saved: 0 }
    }
}

impl<V: Copy> Generation<V> {
    fn take_unsaved(&mut self) -> impl Iterator<Item = (u64, V)> {
        let from = std::mem::replace(&mut self.saved, self.entries.len());
        let unsaved = self.entries.get_range(from..).into_iter().flatten();
        unsaved.map(|(key, value)| (*key, *value))
    }
}

impl<V: Copy> Recent<V> {
    pub fn new(capacity: usize) -> Self {
        Self { young: Generation::default(), old: Generation::default(), capacity }
    }

    pub fn get(&self, key: u64) -> Option<V> {
        self.young.entries.get(&key).or_else(|| self.old.entries.get(&key)).copied()
    }

    /// Inserts `value` unless `key` has a value already. Returns the existing value.
    pub fn first_or_insert(&mut self, key: u64, value: V) -> Option<V> {
        if let Some(first) = self.get(key) {
            return Some(first);
        }
        if self.young.entries.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.entries.insert(key, value);
        None
    }

    /// Whether `key` is in the map, and stays there while `others` further keys are inserted.
    pub fn keeps(&self, key: u64, others: usize) -> bool {
        let room = self.capacity.saturating_sub(self.young.entries.len());
        self.young.entries.contains_key(&key) && others < self.capacity
            || others <= room && self.old.entries.contains_key(&key)
    }

    /// Number of entries in the old and in the young generation.
    pub fn lengths(&self) -> (usize, usize) {
        (self.old.entries.len(), self.young.entries.len())
    }

    /// Returns the entries that were inserted since the last call, in order.
    pub fn take_unsaved(&mut self) -> impl Iterator<Item = (u64, V)> {
        self.old.take_unsaved().chain(self.young.take_unsaved())
    }

    /// Makes the next [`Self::take_unsaved`] return all entries.
    pub fn save_all_again(&mut self) {
        (self.old.saved, self.young.saved) = (0, 0);
    }

    /// Restores a map with these [`Self::lengths`] from the last of `entries`, which are in order.
    /// `None` if there are too few entries.
    pub fn restore(
        capacity: usize,
        (old, young): (usize, usize),
        entries: &[(u64, V)],
    ) -> Option<Self> {
        let generation = |entries: &[(u64, V)]| {
            let entries: IndexMap<_, _, _> = entries.iter().copied().collect();
            Generation { saved: entries.len(), entries }
        };
        let (rest, young) = entries.split_at_checked(entries.len().checked_sub(young)?)?;
        let (_, old) = rest.split_at_checked(rest.len().checked_sub(old)?)?;
        Some(Self { young: generation(young), old: generation(old), capacity })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn remembers_as_many_as_its_capacity_and_the_first_value_of_each() {
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
            assert!(recent.young.entries.len() + recent.old.entries.len() <= 20);
        }
    }

    /// The result does not depend on how often the map is saved, nor on the generations in between.
    #[test]
    fn saved_entries_restore_the_same_map() {
        for saved_every in [1, 3, 7, 25, 60] {
            let mut recent = Recent::new(10);
            let mut log = Vec::new();
            for step in 0..200u64 {
                recent.first_or_insert(step * 7 % 83, step);
                if step % saved_every == 0 {
                    log.extend(recent.take_unsaved());
                    let restored = Recent::restore(10, recent.lengths(), &log).unwrap();
                    assert_eq!(restored.young.entries, recent.young.entries);
                    assert_eq!(restored.old.entries, recent.old.entries);
                }
            }
        }
        assert!(Recent::restore(10, (0, 1), &[] as &[(u64, ())]).is_none());
    }
}
