//! Configures how log records are read.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Secret;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecodeConfig {
    /// Log format: `keywatch`, a preset (`keywatch formats list`), `custom`, or, for logs in files
    /// that are replayed, `auto`.
    pub format: String,
    /// Secret key of the HMAC that replaces raw API keys. At least 16 characters
    /// when logs carry `api_key`.
    pub pepper: Secret,
    pub pepper_file: Option<PathBuf>,
    /// Networks of the proxies that are believed when they say for whom they ask. Empty: the address
    /// that the gateway saw is the client's.
    pub trusted_proxies: Vec<String>,
    /// Larger records are rejected.
    pub max_record_bytes: usize,
    /// Events further ahead of the wall clock than this are rejected as `future_time`.
    pub max_future_seconds: u64,
    /// The mapping of the format `custom`, in the language of `keywatch formats show NAME`.
    pub mapping: Option<toml::Table>,
}

impl Default for DecodeConfig {
    fn default() -> Self {
        Self {
            format: "keywatch".into(),
            pepper: Secret::default(),
            pepper_file: None,
            trusted_proxies: Vec::new(),
            max_record_bytes: 1 << 20,
            max_future_seconds: 86_400,
            mapping: None,
        }
    }
}
