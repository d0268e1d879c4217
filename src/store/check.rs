//! Checks `[clickhouse]`.

use super::connection;
use crate::config::{ClickHouseConfig, Findings};
use crate::http::url;

/// Reports settings with which the store cannot work.
pub fn check(config: &ClickHouseConfig, findings: &mut Findings) {
    url::check(findings, "clickhouse.url", &config.url, "clickhouse.password_file");
    if let Some(path) = &config.ca_file {
        let is_https = config.url.starts_with("https://");
        findings.require(is_https, "clickhouse.ca_file", "needs a `url` that begins with https://");
        let authorities = connection::authorities(path);
        let reason = match &authorities {
            Err(error) => error.to_string(),
            Ok(_) => "the file has no certificate".into(),
        };
        let is_usable = authorities.is_ok_and(|authorities| !authorities.is_empty());
        let message = format!("{}: {reason}; give a PEM file", path.display());
        findings.require(is_usable, "clickhouse.ca_file", message);
    }
    if let Some(cluster) = &config.cluster {
        let is_plain = cluster.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        let message =
            "must be the name of a cluster in system.clusters: letters, digits, _, - and .";
        findings.require(is_plain && !cluster.is_empty(), "clickhouse.cluster", message);
    }
    let is_plain = config.database.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && config.database.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let message = "must consist of letters, digits and _, and must not begin with a digit";
    findings.require(is_plain, "clickhouse.database", message);
}
