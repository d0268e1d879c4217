//! Checks `[email]` and `[webhook]`.

use lettre::message::Mailbox;

use super::signature::Signer;
use crate::config::{EmailConfig, Findings, WebhookConfig};
use crate::http::url;

/// Checks `[email]` and records each value that cannot work.
pub fn check_email(config: &EmailConfig, findings: &mut Findings) {
    findings.require(!config.host.is_empty(), "email.host", "is empty");
    findings.require(config.max_per_minute > 0, "email.max_per_minute", "must be greater than 0");
    let example = "expected an address such as \"Keywatch <keywatch@example.com>\"";
    findings.require(config.from.parse::<Mailbox>().is_ok(), "email.from", example);
    findings.require(!config.to.is_empty(), "email.to", "is empty; name at least one recipient");
    for to in &config.to {
        findings.require(to.parse::<Mailbox>().is_ok(), "email.to", format!("\"{to}\": {example}"));
    }
    findings.require(
        config.username.is_none() || !config.password.is_empty(),
        "email.username",
        "needs `password` or `password_file`",
    );
}

/// Checks `[webhook]` and records each value that cannot work.
pub fn check_webhook(config: &WebhookConfig, findings: &mut Findings) {
    url::check(findings, "webhook.url", &config.url, "webhook.secret_file");
    findings.require_positive("webhook.timeout_seconds", config.timeout_seconds as f64);
    findings.require(config.max_in_flight > 0, "webhook.max_in_flight", "must be greater than 0");
    if let Err(reason) = Signer::new(&config.secret) {
        findings.require(false, "webhook.secret", reason);
    }
}
