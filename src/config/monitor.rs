//! Configures how the monitor watches itself.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonitorConfig {
    /// `monitor.blind` is raised if a partition has been this far behind for this long, ...
    pub max_lag_seconds: f64,
    /// ... or if nothing was stored for this long at a time when traffic is usual.
    pub max_silence_seconds: f64,
    pub on_broken_promise: OnBrokenPromise,
}

/// The response when a family of detectors opens far more incidents than
/// `detect.expected_false_alerts_per_week` promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBrokenPromise {
    /// `monitor.promise_broken` is raised, and the family asks for no more than `notify`.
    #[default]
    Restrain,
    /// `monitor.promise_broken` is raised. During a wave of attacks nothing is restrained.
    Notify,
    /// Nothing is compared.
    Ignore,
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self {
            max_lag_seconds: 300.0,
            max_silence_seconds: 300.0,
            on_broken_promise: OnBrokenPromise::default(),
        }
    }
}
