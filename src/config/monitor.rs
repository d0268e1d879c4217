//! When the monitor itself counts as blind.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonitorConfig {
    /// `monitor.blind` is raised when a partition has been this far behind for this long.
    pub max_lag_seconds: f64,
    /// It is raised too when nothing was stored for this long where traffic is usual.
    pub max_silence_seconds: f64,
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self { max_lag_seconds: 300.0, max_silence_seconds: 300.0 }
    }
}
