//! Configures the databases that locate an address.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnrichConfig {
    /// City databases (.mmdb; MaxMind or DB-IP schema). Several may be given, one for
    /// each address family.
    pub city_databases: Vec<PathBuf>,
    /// AS databases: .mmdb (MaxMind schema) or .csv (`first,last,asn,name`).
    pub asn_databases: Vec<PathBuf>,
    /// Interval at which the files are checked; a replaced database is read again.
    pub reload_seconds: u64,
    /// Places of addresses that count before those of databases; only a case that is replayed has
    /// them.
    #[serde(skip)]
    pub places: Option<PathBuf>,
}

impl Default for EnrichConfig {
    fn default() -> Self {
        Self {
            city_databases: Vec::new(),
            asn_databases: Vec::new(),
            reload_seconds: 60,
            places: None,
        }
    }
}
