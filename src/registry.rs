//! What is registered about keys: who owns them, what they may do, until when.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use compact_str::CompactString;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::event::{EventTime, KeyId};

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

/// All registered keys. An empty registry judges nothing.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    keys: HashMap<KeyId, RegisteredKey>,
}

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("{path}: {reason}")]
    Read { path: String, reason: std::io::Error },
    #[error("{path}:{line}: {reason}; expected one JSON object with a key_id a line")]
    Parse { path: String, line: usize, reason: serde_json::Error },
}

impl Registry {
    /// Reads one JSON object a line. A key that comes twice: the later line counts.
    ///
    /// # Errors
    /// An unreadable file, or a line that is no registration, by number.
    pub fn read(path: &Path) -> Result<Self, RegistryError> {
        let name = || path.display().to_string();
        let text = fs::read_to_string(path)
            .map_err(|reason| RegistryError::Read { path: name(), reason })?;
        let mut keys = HashMap::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let key: RegisteredKey = serde_json::from_str(line)
                .map_err(|reason| RegistryError::Parse { path: name(), line: index + 1, reason })?;
            keys.insert(key.key_id.clone(), key);
        }
        Ok(Self { keys })
    }

    pub fn get(&self, key_id: &KeyId) -> Option<&RegisteredKey> {
        self.keys.get(key_id)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_id_is_required_and_errors_name_the_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "{\"key_id\":\"a\"}\n\n{\"key_id\":\"b\",\"status\":\"revoked\"}\n")
            .unwrap();
        let registry = Registry::read(file.path()).unwrap();
        assert_eq!(registry.get(&"b".into()).unwrap().status, KeyStatus::Revoked);
        fs::write(file.path(), "{\"key_id\":\"a\"}\n{}\n").unwrap();
        let error = Registry::read(file.path()).unwrap_err().to_string();
        assert!(error.contains(":2: missing field `key_id`"), "{error}");
    }
}
