//! Holds the registry of keys: who owns them, what they may do, and until when.

mod change;
mod deeds;
mod fitting;
mod import;
mod key;
mod lesson;
mod networks;
mod read;
mod row;

use std::path::Path;

use foldhash::HashMap;

use crate::event::{KeyHash, KeyId};

pub use self::change::{FeedPosition, KeyChange, KeyEvent, KeyEventKind, KeyNews, Leak, Step};
pub use self::deeds::{Deed, DeedKind, Deeds};
pub use self::fitting::LONGEST_CHAIN;
pub use self::import::{Import, Known, Refused, Repeats, Stored};
pub use self::key::{KeyStatus, RegisteredKey};
pub use self::lesson::{Lesson, LessonKind, Topics};
pub use self::networks::Networks;
pub use self::read::RegistryError;
pub use self::row::{Entry, Row, Told};

/// Hashes a raw key under the pepper. `None`: there is no pepper.
pub type Hasher<'a> = &'a dyn Fn(&str) -> Option<KeyHash>;

/// All registered keys. With an empty registry, registry rules judge nothing.
///
/// A key that the registry file names counts as the file says. The table in ClickHouse adds the
/// keys that the file does not name. Reports of leaks come from the table and count for all keys.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    file: Keys,
    table: Keys,
    leaks: HashMap<KeyId, Leak>,
    deeds: Deeds,
}

/// The keys of one origin.
#[derive(Clone, Debug, Default)]
struct Keys {
    by_id: HashMap<KeyId, RegisteredKey>,
    /// The key that a key replaced. An entry counts only while the old key still names the new one.
    predecessors: HashMap<KeyId, KeyId>,
    /// Whether any key was ever a canary. Most installations have none, and each request asks.
    has_canaries: bool,
}

impl Keys {
    fn insert(&mut self, key: RegisteredKey) {
        if let Some(next) = &key.rotated_to {
            self.predecessors.insert(next.clone(), key.key_id.clone());
        }
        self.has_canaries |= key.is_canary();
        self.by_id.insert(key.key_id.clone(), key);
    }
}

impl Registry {
    /// Reads a registry file: CSV with a header line when its name ends in `.csv`, otherwise one
    /// JSON object per line. If a key occurs twice, the later line counts.
    ///
    /// # Errors
    /// Fails for an unreadable file, or a line that is not a registration. The error names the line
    /// and the field.
    pub fn read(path: &Path, hasher: Hasher<'_>) -> Result<Self, RegistryError> {
        let mut registry = Self::default();
        registry.set_file(read::read(path, hasher)?);
        Ok(registry)
    }

    /// Replaces the keys of the file.
    pub fn set_file(&mut self, keys: Vec<RegisteredKey>) {
        self.file = Keys::default();
        keys.into_iter().for_each(|key| self.file.insert(key));
    }

    /// Takes over changes of the table, in their order.
    pub fn learn(&mut self, news: &KeyNews) {
        self.table.by_id.reserve(news.keys.len());
        news.keys.iter().for_each(|key| self.table.insert(key.clone()));
        for leak in &news.leaks {
            self.leaks.insert(leak.key_id.clone(), leak.clone());
        }
        news.deeds.iter().for_each(|deed| self.deeds.learn(deed));
    }

    /// What was done to keys. It counts for all of them, wherever they are registered.
    pub const fn deeds(&self) -> &Deeds {
        &self.deeds
    }

    pub fn get(&self, key_id: &KeyId) -> Option<&RegisteredKey> {
        self.file.by_id.get(key_id).or_else(|| self.table.by_id.get(key_id))
    }

    /// The key, if it is a canary.
    pub fn canary(&self, key_id: &KeyId) -> Option<&RegisteredKey> {
        if !self.file.has_canaries && !self.table.has_canaries {
            return None;
        }
        self.get(key_id).filter(|key| key.is_canary())
    }

    /// The latest report that this key has leaked.
    pub fn leak(&self, key_id: &KeyId) -> Option<&Leak> {
        // Most installations have none, and this is asked for every request.
        if self.leaks.is_empty() { None } else { self.leaks.get(key_id) }
    }

    /// The key that `successor` replaced, if both belong to the same owner and tenant. Whoever can
    /// create a key in another's name must not be taken for its holder.
    pub fn predecessor(&self, successor: &KeyId) -> Option<&RegisteredKey> {
        let new = self.get(successor)?;
        let named = self.file.predecessors.get(successor);
        let old = self.get(named.or_else(|| self.table.predecessors.get(successor))?)?;
        let is_same = !new.owner.is_empty() && old.owner == new.owner && old.tenant == new.tenant;
        (is_same && old.rotated_to.as_ref() == Some(successor)).then_some(old)
    }

    /// The hashes of raw keys whose public id is registered.
    pub fn hashes(&self) -> impl Iterator<Item = (KeyHash, &KeyId)> {
        let keys = self.table.by_id.values().chain(self.file.by_id.values());
        keys.filter_map(|key| Some((key.key_hash?, &key.key_id)))
    }

    /// The number of registered keys.
    pub fn len(&self) -> usize {
        let only_in_table = self.table.by_id.keys().filter(|id| !self.file.by_id.contains_key(*id));
        self.file.by_id.len() + only_in_table.count()
    }

    pub fn is_empty(&self) -> bool {
        self.file.by_id.is_empty() && self.table.by_id.is_empty()
    }
}

impl Registry {
    /// The keys of a registry file, in its order.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn keys_of_file(
        path: &Path,
        hasher: Hasher<'_>,
    ) -> Result<Vec<RegisteredKey>, RegistryError> {
        read::read(path, hasher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, owner: &str, rotated_to: Option<&str>) -> RegisteredKey {
        RegisteredKey {
            key_id: id.into(),
            owner: owner.into(),
            rotated_to: rotated_to.map(Into::into),
            ..RegisteredKey::default()
        }
    }

    fn news(keys: &[RegisteredKey]) -> KeyNews {
        KeyNews { number: 1, keys: keys.to_vec(), ..KeyNews::default() }
    }

    #[test]
    fn the_file_counts_for_the_keys_that_it_names() {
        let mut registry = Registry::default();
        registry.learn(&news(&[key("a", "table", None), key("b", "table", None)]));
        registry.set_file(vec![key("a", "file", None)]);
        let owner = |registry: &Registry, id: &str| {
            registry.get(&id.into()).map(|key| key.owner.to_string()).unwrap_or_default()
        };
        assert_eq!(owner(&registry, "a"), "file");
        assert_eq!(owner(&registry, "b"), "table");
        registry.learn(&news(&[key("a", "changed", None), key("b", "changed", None)]));
        assert_eq!(owner(&registry, "a"), "file");
        assert_eq!(owner(&registry, "b"), "changed");
        registry.set_file(Vec::new());
        assert_eq!(owner(&registry, "a"), "changed");
        assert_eq!(registry.len(), 2);
    }

    #[test]
    fn a_predecessor_is_of_the_same_owner_and_still_names_its_successor() {
        let mut registry = Registry::default();
        let predecessor = |registry: &Registry, id: &str| {
            registry.predecessor(&id.into()).map(|key| key.key_id.to_string())
        };
        registry.learn(&news(&[key("old", "ann", Some("new")), key("new", "ann", None)]));
        assert_eq!(predecessor(&registry, "new").as_deref(), Some("old"));
        registry.learn(&news(&[key("new", "eve", None)]));
        assert_eq!(predecessor(&registry, "new"), None, "another owner");
        registry.learn(&news(&[key("new", "", None), key("old", "", Some("new"))]));
        assert_eq!(predecessor(&registry, "new"), None, "nobody's");
        registry.learn(&news(&[key("new", "ann", None), key("old", "ann", None)]));
        assert_eq!(predecessor(&registry, "new"), None, "no longer named");
    }
}
