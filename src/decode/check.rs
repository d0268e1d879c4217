//! Checks `[decode]`.

use super::Decoder;
use crate::config::{DecodeConfig, Findings};

/// Reports settings with which records cannot be decoded.
pub fn check(config: &DecodeConfig, findings: &mut Findings) {
    if let Err(error) = Decoder::new(config) {
        findings.require(false, error.key(), error.to_string());
    }
    let is_named = config.mapping.is_none() || matches!(&*config.format, "custom" | "auto");
    let message = "this mapping is not used: set decode.format = \"custom\"";
    findings.require(is_named, "decode.mapping", message.to_owned());
    findings.require_positive("decode.max_record_bytes", config.max_record_bytes as f64);
}
