//! Configures fire drills.

use serde::{Deserialize, Serialize};

use super::Findings;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrillConfig {
    /// Ids of the canary keys of drills begin with this. No other key may.
    pub key_prefix: String,
}

impl Default for DrillConfig {
    fn default() -> Self {
        Self { key_prefix: "keywatch-drill-".into() }
    }
}

impl DrillConfig {
    /// Reports a prefix that keys of customers could have by chance.
    pub fn check(&self, findings: &mut Findings) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_usable =
            (8..=64).contains(&self.key_prefix.len()) && self.key_prefix.chars().all(is_plain);
        let sentence = "must be 8 to 64 letters, digits, points, hyphens and underscores";
        findings.require(is_usable, "drill.key_prefix", sentence);
    }
}
