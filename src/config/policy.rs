//! Configures the response to an incident.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// A name for this policy; every alert carries it.
    pub version: String,
    /// Revocations are requested only when this is false.
    pub dry_run: bool,
    /// The response to incidents of these keys never goes beyond `notify`.
    pub exempt_keys: Vec<String>,
    pub exempt_tenants: Vec<String>,
    /// The largest number of revocations an hour, over all processes; further ones wait.
    pub max_revocations_per_hour: u32,
    /// An incident without new evidence closes after this long.
    pub quiet_close_seconds: f64,
    /// When people have closed an incident, evidence of the same kind is kept quiet for this long.
    pub quiet_hours_after_close: f64,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            version: "default".into(),
            dry_run: true,
            exempt_keys: Vec::new(),
            exempt_tenants: Vec::new(),
            max_revocations_per_hour: 10,
            quiet_close_seconds: 1_800.0,
            quiet_hours_after_close: 24.0,
        }
    }
}
