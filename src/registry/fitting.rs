//! Checks a registration against the others: no raw key of another key, no rotation in a circle.

use std::collections::HashMap;

use super::{RegisteredKey, Stored};
use crate::event::{KeyHash, KeyId};

/// More rotations in a row are a mistake, and following them would take long.
pub const LONGEST_CHAIN: usize = 1_000;

/// The registrations that are stored, and those that were taken since.
pub(super) struct Fitting<'a> {
    stored: &'a Stored,
    taken: HashMap<KeyId, RegisteredKey>,
    /// The keys that were taken, in their order.
    order: Vec<KeyId>,
    hashes: HashMap<KeyHash, KeyId>,
}

impl<'a> Fitting<'a> {
    pub fn new(stored: &'a Stored) -> Self {
        let hash = |key: &RegisteredKey| Some((key.key_hash?, key.key_id.clone()));
        let hashes = stored.values().filter_map(hash).collect();
        Self { stored, hashes, taken: HashMap::new(), order: Vec::new() }
    }

    pub fn get(&self, key_id: &KeyId) -> Option<&RegisteredKey> {
        self.taken.get(key_id).or_else(|| self.stored.get(key_id))
    }

    /// Takes a registration, if it fits.
    pub fn take(&mut self, mut key: RegisteredKey) -> Result<(), String> {
        // A file without hashes, exported from elsewhere, must not part a key from its raw form.
        key.key_hash = key.key_hash.or_else(|| self.get(&key.key_id).and_then(|it| it.key_hash));
        if let Some(hash) = key.key_hash
            && let Some(other) = self.other_with(hash, &key.key_id)
        {
            return Err(format!("the key {other} has the same raw key"));
        }
        self.check_rotation(&key)?;
        if let Some(hash) = key.key_hash {
            self.hashes.insert(hash, key.key_id.clone());
        }
        let key_id = key.key_id.clone();
        if self.taken.insert(key_id.clone(), key).is_none() {
            self.order.push(key_id);
        }
        Ok(())
    }

    fn other_with(&self, hash: KeyHash, key_id: &KeyId) -> Option<&KeyId> {
        let other = self.hashes.get(&hash).filter(|other| *other != key_id)?;
        let has_it = self.get(other).is_some_and(|key| key.key_hash == Some(hash));
        has_it.then_some(other)
    }

    /// Follows the rotations from the key. They must end, and not where they began.
    fn check_rotation(&self, key: &RegisteredKey) -> Result<(), String> {
        let mut next = key.rotated_to.as_ref();
        for _ in 0..LONGEST_CHAIN {
            match next {
                None => return Ok(()),
                Some(id) if *id == key.key_id => {
                    let first = key.rotated_to.as_deref().unwrap_or_default();
                    return Err(format!(
                        "field `rotated_to`: {first} is rotated back to {id}, in a circle"
                    ));
                }
                Some(id) => next = self.get(id).and_then(|key| key.rotated_to.as_ref()),
            }
        }
        Err(format!("field `rotated_to`: more than {LONGEST_CHAIN} rotations follow each other"))
    }

    /// The keys that were taken, in their order.
    pub fn into_taken(mut self) -> impl Iterator<Item = RegisteredKey> {
        self.order.into_iter().filter_map(move |key_id| self.taken.remove(&key_id))
    }
}
