//! Configures how sensitive the detectors are.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectConfig {
    /// The one setting of sensitivity: acceptable false alerts a week, over the whole fleet.
    pub expected_false_alerts_per_week: f64,
    /// Signed client times further from the server's than this are stale.
    pub validity_window_seconds: f64,
    /// A nonce or signature that is seen again within this time is a replay.
    pub replay_horizon_hours: f64,
    /// Memory for the fingerprints of nonces and signatures, for each partition (one for other
    /// sources).
    pub replay_memory_mebibytes: usize,
    /// Signed requests whose first uses are known in full: at least the last so many, for each
    /// partition.
    pub replay_first_uses: usize,
    /// The key registry, CSV or JSON lines. Without it the registry's rules are not checked.
    pub registry_file: Option<PathBuf>,
    /// The largest number of profiles in memory.
    pub max_keys: usize,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            expected_false_alerts_per_week: 5.0,
            validity_window_seconds: 60.0,
            replay_horizon_hours: 24.0,
            replay_memory_mebibytes: 32,
            replay_first_uses: 500_000,
            registry_file: None,
            max_keys: 1_000_000,
        }
    }
}
