//! Looks up the owners of keys, for the channel that asks them.

use std::path::Path;
use std::sync::Arc;

use crate::config::{Config, DecodeConfig};
use crate::decode::KeyHasher;
use crate::deliver::OwnerBook;
use crate::event::{EventTime, KeyId};
use crate::registry::Registry;
use crate::store::Store;
use crate::workflow::{Act, Asked, Kind, Use};

/// The registry of the store, behind the file that counts before it.
pub struct Owners {
    store: Arc<Store>,
    file: Option<std::path::PathBuf>,
    decode: DecodeConfig,
}

impl Owners {
    /// Opens nothing: questions are few, and the file is read for each of them as it is then.
    pub fn new(config: &Config, store: &Arc<Store>) -> Self {
        let (file, decode) = (config.detect.registry_file.clone(), config.decode.clone());
        Self { store: Arc::clone(store), file, decode }
    }

    /// The owner by the file. `None`: the file does not name the key.
    async fn of_file(&self, key_id: &str) -> Result<Option<String>, String> {
        let Some(path) = self.file.clone() else { return Ok(None) };
        let (decode, key_id) = (self.decode.clone(), KeyId::new(key_id));
        let read = move || owner_in(&path, &decode, &key_id);
        tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?
    }
}

fn owner_in(path: &Path, decode: &DecodeConfig, key_id: &KeyId) -> Result<Option<String>, String> {
    let hasher = KeyHasher::new(decode).map_err(|error| error.to_string())?;
    let registry = Registry::read(path, &|raw| hasher.hash(raw));
    let registry = registry.map_err(|error| error.to_string())?;
    Ok(registry.get(key_id).map(|key| key.owner.to_string()))
}

impl OwnerBook for Owners {
    async fn asked_at(&self, incident: &str) -> Result<Option<u32>, String> {
        let acts = self.store.acts_of(&[incident]).await.map_err(|error| error.to_string())?;
        let asked = acts.iter().find(|act| act.kind == Kind::AskOwner);
        Ok(asked.map(|act| act.seen.revision))
    }

    async fn questions(&self) -> Result<Vec<Asked>, String> {
        self.store.questions_to_owners().await.map_err(|error| error.to_string())
    }

    async fn owner_of(&self, key_id: &str) -> Result<Option<String>, String> {
        if let Some(owner) = self.of_file(key_id).await? {
            return Ok(Some(owner));
        }
        let registered = self.store.registration(key_id).await;
        let (_, key) = registered.map_err(|error| error.to_string())?;
        Ok(key.map(|key| key.owner.to_string()))
    }

    async fn use_at(&self, key_id: &str, time: EventTime) -> Result<Option<Use>, String> {
        self.store.proven_use(key_id, time).await.map_err(|error| error.to_string())
    }

    async fn note(&self, act: Act) -> Result<(), String> {
        self.store.record_acts(&[act]).await.map_err(|error| error.to_string())
    }
}
