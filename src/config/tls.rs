//! Configures the encryption of an endpoint.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Both files or neither: without them, the endpoint is not encrypted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate and those between it and its authority, as PEM.
    pub certificate_file: Option<PathBuf>,
    /// The private key, as PEM.
    pub key_file: Option<PathBuf>,
}

impl TlsConfig {
    pub fn is_on(&self) -> bool {
        self.certificate_file.is_some()
    }
}
