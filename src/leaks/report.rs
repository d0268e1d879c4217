//! Finds the keys that reports name, and stores the reports.

use std::collections::HashMap;
use std::path::Path;

use crate::config::Config;
use crate::decode::{DecodeError, KeyHasher};
use crate::event::{EventTime, KeyHash, KeyId};
use crate::registry::{KeyEvent, KeyEventKind, Registry, RegistryError};
use crate::store::{Author, Store, StoreError};
use crate::watched::Watched;

#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("a raw key is compared by its hash: set decode.pepper or decode.pepper_file")]
    NoPepper,
}

/// How a report names a key. It never holds the raw key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    Id(KeyId),
    Hash(KeyHash),
}

impl Named {
    /// Reads an id, or the hexadecimal digits of a hash.
    pub fn parse(text: &str) -> Self {
        match KeyHash::parse(text) {
            Some(hash) => Self::Hash(hash),
            None => Self::Id(KeyId::new(text)),
        }
    }

    /// The id, or the digits of the hash.
    pub fn text(&self) -> KeyId {
        match self {
            Self::Id(id) => id.clone(),
            Self::Hash(hash) => hash.to_key_id(),
        }
    }
}

/// Where a leak was found.
#[derive(Clone, Debug)]
pub struct Finding {
    pub named: Named,
    pub since: EventTime,
    pub source: String,
    pub url: String,
    pub text: String,
}

/// Takes reports.
pub struct Intake {
    store: Store,
    hasher: KeyHasher,
    /// Keys of the configured registry file, which the store does not have.
    file: Option<RegistryFile>,
}

impl Intake {
    /// # Errors
    /// The pepper is too short, or the registry file cannot be read.
    pub fn open(config: &Config) -> Result<Self, IntakeError> {
        let hasher = KeyHasher::new(&config.decode)?;
        let of_file = KeyHasher::new(&config.decode)?;
        let read = move |path: &Path| Registry::read(path, &|raw| of_file.hash(raw));
        let file = config.detect.registry_file.as_deref();
        let file = file.map(|path| Watched::open(path, read)).transpose()?;
        Ok(Self { store: Store::new(&config.clickhouse), hasher, file })
    }

    /// The name of a raw key, which the caller drops at once.
    ///
    /// # Errors
    /// There is no pepper.
    pub fn name_of(&self, raw: &str) -> Result<Named, IntakeError> {
        self.hasher.hash(raw).map(Named::Hash).ok_or(IntakeError::NoPepper)
    }

    /// Stores the reports of known keys. Returns the key of each report, in their order; `None` for
    /// a key that is neither registered nor was ever used.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take(
        &mut self,
        findings: &[Finding],
        author: Author<'_>,
    ) -> Result<Vec<Option<KeyId>>, StoreError> {
        let names: Vec<KeyId> = findings.iter().map(|finding| finding.named.text()).collect();
        let texts: Vec<&str> = names.iter().map(KeyId::as_str).collect();
        let stored = self.store.known_keys(&texts).await?;
        let in_file = keys_of_file(&mut self.file);
        let hashes: HashMap<KeyHash, &KeyId> =
            in_file.into_iter().flat_map(Registry::hashes).collect();
        let key = |finding: &Finding| {
            let in_file = match &finding.named {
                Named::Id(id) => in_file.and_then(|file| file.get(id)).map(|key| &key.key_id),
                Named::Hash(hash) => hashes.get(hash).copied(),
            };
            in_file.or_else(|| stored.get(finding.named.text().as_str())).cloned()
        };
        let keys: Vec<Option<KeyId>> = findings.iter().map(key).collect();
        let known = findings.iter().zip(&keys);
        let events: Vec<KeyEvent> =
            known.filter_map(|(finding, key)| Some(event(key.clone()?, finding))).collect();
        if !events.is_empty() {
            self.store.report_leaks(&events, author).await?;
        }
        Ok(keys)
    }
}

type RegistryFile = Watched<Registry, RegistryError>;

fn keys_of_file(file: &mut Option<RegistryFile>) -> Option<&Registry> {
    let file = file.as_mut()?;
    if let Err(error) = file.reload_if_replaced() {
        tracing::warn!(%error, "keeping the registered keys in use");
    }
    Some(&file.value)
}

fn event(key_id: KeyId, finding: &Finding) -> KeyEvent {
    let Finding { since, source, url, text, .. } = finding;
    KeyEvent {
        source: source.clone(),
        url: url.clone(),
        text: text.clone(),
        ..KeyEvent::new(key_id, KeyEventKind::Leaked, *since)
    }
}
