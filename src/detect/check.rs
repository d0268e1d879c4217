//! Checks `[detect]`.

use crate::config::{DetectConfig, Findings};

/// 64 GiB for each partition: the lines of the table are numbered with 32 bits.
const MAX_REPLAY_MEBIBYTES: usize = 1 << 16;

/// Adds a finding for each setting that cannot work.
///
/// `unstored_records` is the largest number of records that are scored but not yet stored. The
/// store cannot look them up, so that memory must hold their first uses.
pub fn check(config: &DetectConfig, unstored_records: usize, findings: &mut Findings) {
    findings.require_positive(
        "detect.expected_false_alerts_per_week",
        config.expected_false_alerts_per_week,
    );
    findings.require_positive("detect.validity_window_seconds", config.validity_window_seconds);
    findings.require_positive("detect.replay_horizon_hours", config.replay_horizon_hours);
    findings.require(
        (1..=MAX_REPLAY_MEBIBYTES).contains(&config.replay_memory_mebibytes),
        "detect.replay_memory_mebibytes",
        format!("must be from 1 to {MAX_REPLAY_MEBIBYTES}"),
    );
    findings.require(
        config.replay_first_uses >= unstored_records,
        "detect.replay_first_uses",
        "must be at least six times `source.batch_records`: memory must hold the first uses that \
         are not stored yet",
    );
    findings.require_positive("detect.max_keys", config.max_keys as f64);
}
