//! Configures the ClickHouse server, external or embedded.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Secret;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClickHouseConfig {
    pub url: String,
    pub database: String,
    /// A cluster of `system.clusters`, over whose servers the tables are spread; without it, the
    /// server has them alone.
    pub cluster: Option<String>,
    pub user: String,
    pub password: Secret,
    pub password_file: Option<PathBuf>,
    /// Authorities that the server's certificate must come from, as PEM. Without it, those of the
    /// web are trusted.
    pub ca_file: Option<PathBuf>,
    /// Days for which raw events are kept, counted from their own time; 0 keeps them for ever.
    pub raw_retention_days: u32,
}

impl Default for ClickHouseConfig {
    fn default() -> Self {
        Self {
            url: "http://localhost:8123".into(),
            database: "keywatch".into(),
            cluster: None,
            user: "default".into(),
            password: Secret::default(),
            password_file: None,
            ca_file: None,
            raw_retention_days: 30,
        }
    }
}
