//! Maps hashes of raw keys to public ids, so that requests of one key are one key: those that the
//! log names by the raw key and those that it names by the public id.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use parking_lot::RwLock;

use super::pseudonym::Pseudonyms;
use super::{DecodeError, check_pepper};
use crate::config::DecodeConfig;
use crate::event::{KeyHash, KeyId};

/// The public ids that the registry knows. Clones share one table.
#[derive(Clone, Default)]
pub struct PublicIds(Arc<RwLock<HashMap<KeyHash, KeyId>>>);

impl PublicIds {
    /// Adds pairs. A later pair of a hash counts.
    pub fn extend<'a>(&self, pairs: impl Iterator<Item = (KeyHash, &'a KeyId)>) {
        self.0.write().extend(pairs.map(|(hash, key_id)| (hash, key_id.clone())));
    }

    /// Replaces all pairs.
    pub fn replace<'a>(&self, pairs: impl Iterator<Item = (KeyHash, &'a KeyId)>) {
        let mut next = HashMap::new();
        next.extend(pairs.map(|(hash, key_id)| (hash, key_id.clone())));
        *self.0.write() = next;
    }

    /// The id of the key: the public one if it is known, else the hash itself.
    pub fn key_id(&self, hash: KeyHash) -> KeyId {
        let known = self.0.read().get(&hash).cloned();
        known.unwrap_or_else(|| hash.to_key_id())
    }

    /// The public id, if `key_id` is the hash of a key that has one. Logs of a gateway that hashes
    /// keys by the same pepper name keys so.
    pub(super) fn public(&self, key_id: KeyId) -> KeyId {
        match KeyHash::parse(&key_id) {
            Some(hash) => self.0.read().get(&hash).cloned().unwrap_or(key_id),
            None => key_id,
        }
    }
}

/// Hashes raw keys as the decoder does.
pub struct KeyHasher(Option<Pseudonyms>);

impl KeyHasher {
    /// # Errors
    /// The pepper is too short.
    pub fn new(config: &DecodeConfig) -> Result<Self, DecodeError> {
        let pepper = config.pepper.reveal();
        check_pepper(pepper)?;
        Ok(Self((!pepper.is_empty()).then(|| Pseudonyms::new(pepper))))
    }

    /// `None` without a pepper.
    pub fn hash(&self, raw: &str) -> Option<KeyHash> {
        self.0.as_ref().map(|pseudonyms| pseudonyms.key_hash(raw))
    }
}
