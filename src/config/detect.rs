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
            registry_file: None,
            max_keys: 1_000_000,
        }
    }
}
