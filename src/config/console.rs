//! Configures the console, the pages for people.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::TlsConfig;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsoleConfig {
    pub enabled: bool,
    /// A loopback address, unless `url` is given.
    pub listen: SocketAddr,
    /// The address under which people reach it from elsewhere. Everybody then needs an account.
    pub url: Option<String>,
    pub tls: TlsConfig,
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 9465));
        Self { enabled: true, listen, url: None, tls: TlsConfig::default() }
    }
}
