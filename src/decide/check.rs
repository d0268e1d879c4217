//! Checks `[policy]`.

use crate::config::{Findings, PolicyConfig};

/// A closing that is older than this is not read when a process starts.
const MOST_QUIET_HOURS: f64 = 720.0;

/// Adds a finding for each setting that cannot work.
pub fn check(config: &PolicyConfig, findings: &mut Findings) {
    findings.require_positive("policy.quiet_close_seconds", config.quiet_close_seconds);
    findings.require_positive("policy.request_deadline_minutes", config.request_deadline_minutes);
    findings.require_positive("policy.suspend_hours", config.suspend_hours);
    for (key, share) in [
        ("policy.kept_for_certain", config.kept_for_certain),
        ("policy.breaker_key_share", config.breaker_key_share),
    ] {
        findings.require((0.0..=1.0).contains(&share), key, "must be between 0 and 1");
    }
    findings.require(
        (0.0..=MOST_QUIET_HOURS).contains(&config.quiet_hours_after_close),
        "policy.quiet_hours_after_close",
        "must be between 0 and 720 (30 days)",
    );
}
