//! Holds the registry of keys: who owns them, what they may do, and until when.

mod read;

use std::collections::HashMap;
use std::path::Path;

use compact_str::CompactString;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::event::{EventTime, KeyId};

pub use self::read::RegistryError;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyStatus {
    #[default]
    Active,
    Retired,
    Suspended,
    Revoked,
}

/// One key's registration. Only `key_id` is required.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RegisteredKey {
    pub key_id: KeyId,
    #[serde(default)]
    pub owner: CompactString,
    #[serde(default)]
    pub tenant: CompactString,
    #[serde(default)]
    pub environment: CompactString,
    #[serde(default)]
    pub scopes: Vec<CompactString>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_cidrs: Vec<IpNet>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<EventTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<EventTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<EventTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_to: Option<KeyId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ends_at: Option<EventTime>,
    #[serde(default)]
    pub status: KeyStatus,
}

/// All registered keys. With an empty registry, registry rules judge nothing.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    keys: HashMap<KeyId, RegisteredKey>,
}

impl Registry {
    /// Reads a registry file: CSV with a header line when its name ends in `.csv`, otherwise one
    /// JSON object per line. If a key occurs twice, the later line counts.
    ///
    /// # Errors
    /// Fails for an unreadable file, or a line that is not a registration. The error names the line
    /// and the field.
    pub fn read(path: &Path) -> Result<Self, RegistryError> {
        let keys = read::read(path)?.into_iter();
        Ok(Self { keys: keys.map(|key| (key.key_id.clone(), key)).collect() })
    }

    pub fn get(&self, key_id: &KeyId) -> Option<&RegisteredKey> {
        self.keys.get(key_id)
    }
}
