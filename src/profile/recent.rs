//! A bounded memory of recent things, by hash.

use std::hash::BuildHasher;

use indexmap::IndexMap;

use crate::event::AccessEvent;

/// What the same request has in common in two records: its id, or without one its nonce or
/// signature and its address, and its time. A replayed request has an id and a time of its own.
/// `None` of a request that cannot be recognized.
pub fn request_identity(event: &AccessEvent, hasher: &impl BuildHasher) -> Option<u64> {
    let signed = event.nonce.map(|nonce| nonce.fingerprint).or(event.signature);
    Some(match (&event.request_id, signed) {
        (Some(id), _) => hasher.hash_one((&event.key_id, id, event.time)),
        (None, Some(signed)) => {
            hasher.hash_one((&event.key_id, signed, event.client_ip, event.time))
        }
        (None, None) => return None,
    })
}

/// Remembers at least the last `capacity` values.
///
/// Two generations: entries go into the young one; when that is full it becomes the old one,
/// and the former old one is dropped whole. Bounded by twice `capacity` entries, with no
/// per-entry expiry and no clock: partitions that are hours apart share it.
#[derive(Debug)]
pub struct Recent<V> {
    young: Generation<V>,
    old: Generation<V>,
    capacity: usize,
}

/// Entries in the order they came, so that what is new since a snapshot is the end of it.
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

    /// Remembers `value` under `key` unless something is there already, which is then returned.
    pub fn first_or_insert(&mut self, key: u64, value: V) -> Option<V> {
        if let Some(first) = self.young.entries.get(&key).or_else(|| self.old.entries.get(&key)) {
            return Some(*first);
        }
        if self.young.entries.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.entries.insert(key, value);
        None
    }

    /// Whether `key` is remembered, and still will be after so many others.
    pub fn keeps(&self, key: u64, others: usize) -> bool {
        let room = self.capacity.saturating_sub(self.young.entries.len());
        self.young.entries.contains_key(&key) && others < self.capacity
            || others <= room && self.old.entries.contains_key(&key)
    }

    /// Entries in the old and the young generation.
    pub fn lengths(&self) -> (usize, usize) {
        (self.old.entries.len(), self.young.entries.len())
    }

    /// What came since this was called last, in order.
    pub fn take_unsaved(&mut self) -> impl Iterator<Item = (u64, V)> {
        self.old.take_unsaved().chain(self.young.take_unsaved())
    }

    /// Makes [`Self::take_unsaved`] begin at the oldest entry again.
    pub fn save_all_again(&mut self) {
        (self.old.saved, self.young.saved) = (0, 0);
    }

    /// The memory whose [`Self::lengths`] are these and whose last entries, in order, are the
    /// last of `entries`. `None` when they are too few.
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
            assert!(recent.young.entries.len() + recent.old.entries.len() <= 20);
        }
    }

    /// However often it is saved, and however many generations go by in between.
    #[test]
    fn what_was_saved_restores_the_same_memory() {
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
