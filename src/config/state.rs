//! Configures how often the engine's state is saved.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateConfig {
    /// State is saved at this interval, ...
    pub snapshot_seconds: u64,
    /// ... or after this many events, whichever comes first. After a restart the events since the
    /// last save are scored again.
    pub snapshot_events: u64,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { snapshot_seconds: 30, snapshot_events: 5_000_000 }
    }
}
