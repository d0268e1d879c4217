//! Checks `[clickhouse]`.

use crate::config::{ClickHouseConfig, Findings};
use crate::http::url;

/// Reports settings with which the store cannot work.
pub fn check(config: &ClickHouseConfig, findings: &mut Findings) {
    url::check(findings, "clickhouse.url", &config.url, "clickhouse.password_file");
    let is_plain = config.database.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && config.database.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let message = "must consist of letters, digits and _, and must not begin with a digit";
    findings.require(is_plain, "clickhouse.database", message);
}
