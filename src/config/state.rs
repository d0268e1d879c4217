//! How often what the engine remembers is saved.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateConfig {
    /// State is saved this often, ...
    pub snapshot_seconds: u64,
    /// ... or after this many events, whichever comes first. A restart scores again what came
    /// after the last time.
    pub snapshot_events: u64,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { snapshot_seconds: 30, snapshot_events: 5_000_000 }
    }
}
