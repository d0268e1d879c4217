//! Configures how registrations of keys arrive, beside `keywatch keys`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Secret, TlsConfig};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistryConfig {
    /// A Kafka topic of registrations and events, at the brokers of `source.kafka`.
    pub topic: Option<String>,
    /// Address of `POST /v1/keys` and `POST /v1/keys/{id}/events`.
    pub listen: Option<SocketAddr>,
    /// Callers must send `Authorization: Bearer TOKEN`.
    pub token: Secret,
    pub token_file: Option<PathBuf>,
    /// Further tokens by name: `sha256:` and the hash of each.
    pub tokens: BTreeMap<String, String>,
    /// Names of this endpoint besides its address.
    pub hosts: Vec<String>,
    pub tls: TlsConfig,
}
