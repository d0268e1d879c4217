//! How sensitive the detectors are.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectConfig {
    /// The one knob: false alerts a week over the whole fleet that are acceptable.
    pub expected_false_alerts_per_week: f64,
    /// Signed client times further from the server's than this are stale.
    pub validity_window_seconds: f64,
    /// Nonces and signatures that come again within this time are replays.
    pub replay_horizon_hours: f64,
    /// Room for their fingerprints, for each partition (one for other sources).
    pub replay_memory_mebibytes: usize,
    /// First uses that are known in full: at least the last so many, for each partition.
    pub replay_first_uses: usize,
    /// The key registry, CSV or JSON lines ([`crate::registry`]). Without it no rules are judged.
    pub registry_file: Option<PathBuf>,
    /// Profiles kept in memory at most.
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
