//! Configures where reports of leaked keys are taken.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeaksConfig {
    /// Address of `POST /v1/leaks`.
    pub listen: SocketAddr,
    /// The public keys that reports are signed with, in the form of GitHub's
    /// `/meta/public_keys/secret_scanning`. Read again when it is replaced.
    pub public_keys_file: PathBuf,
}

impl Default for LeaksConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9466)), public_keys_file: PathBuf::new() }
    }
}
