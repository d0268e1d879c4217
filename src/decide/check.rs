//! Checks `[policy]`.

use crate::config::{Findings, PolicyConfig};

/// Adds a finding for each setting that cannot work.
pub fn check(config: &PolicyConfig, findings: &mut Findings) {
    findings.require_positive("policy.quiet_close_seconds", config.quiet_close_seconds);
}
