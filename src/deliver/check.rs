//! Checks the sections of the channels.

use std::collections::BTreeMap;

use lettre::message::Mailbox;

use super::post;
use super::signature::Signer;
use super::template::Template;
use crate::config::{
    ChannelConfig, ChannelKind, Config, EmailConfig, Findings, OWNER_CHANNEL, OwnerConfig,
    WebhookConfig,
};
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

/// Checks each `[channel.NAME]` and records each value that cannot work. The template of each is
/// rendered for specimens of alerts.
pub fn check_channels(channels: &BTreeMap<String, ChannelConfig>, findings: &mut Findings) {
    for (name, config) in channels {
        let key = |field: &str| format!("channel.{name}.{field}");
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
        let is_named = !name.is_empty() && name.chars().all(is_plain);
        let is_free = !["email", "webhook", "topic", OWNER_CHANNEL].contains(&name.as_str());
        let section = format!("channel.{name}");
        findings.require(is_named, section.clone(), "name it with a-z, 0-9, _ and - alone");
        findings.require(is_free, section.clone(), "is the name of another kind of channel");
        let is_one = config.kind.is_some() != config.template.is_some();
        findings.require(is_one, section, "needs either `kind` or `template`");
        let is_timed = config.timeout_seconds > 0;
        findings.require(is_timed, key("timeout_seconds"), "must be greater than 0");
        findings.require(config.max_in_flight > 0, key("max_in_flight"), "must be greater than 0");
        if let Some(fault) = post::url_fault(config.url.reveal()) {
            findings.require(false, key("url"), fault);
        }
        let needs_secret = matches!(
            config.kind,
            Some(ChannelKind::Pagerduty | ChannelKind::Jira | ChannelKind::Splunk)
        ) || config.authorization.is_some();
        let has_secret = !config.secret.is_empty() || !needs_secret;
        findings.require(has_secret, key("secret"), "is needed; or set `secret_file`");
        if is_one && let Err(fault) = Template::of(config) {
            findings.require(false, key("template"), fault);
        }
    }
}

/// The longest time for which a link may be used: acts are read for as many days.
const MOST_ANSWER_HOURS: f64 = 720.0;

/// Checks `[owner]` and records each value that cannot work.
pub fn check_owner(owner: &OwnerConfig, config: &Config, findings: &mut Findings) {
    if let Err(fault) = super::owner_links(owner, None) {
        findings.require(false, "owner.secret", fault);
    }
    let hours = owner.answer_hours;
    let is_bounded = hours > 0.0 && hours <= MOST_ANSWER_HOURS;
    findings.require(is_bounded, "owner.answer_hours", "must be above 0 and at most 720");
    let limits = [
        ("owner.max_per_owner_per_day", owner.max_per_owner_per_day),
        ("owner.max_per_key_per_day", owner.max_per_key_per_day),
        ("owner.max_per_hour", owner.max_per_hour),
    ];
    for (key, limit) in limits {
        findings.require(limit > 0, key, "must be greater than 0");
    }
    let url = config.console.url.as_deref();
    let is_reached = config.console.enabled && url.is_some_and(|url| !url::is_remote_http(url));
    let needs = "needs the console, and its https:// address as `console.url`: links lead there";
    findings.require(is_reached, "owner", needs);
    match &owner.webhook_url {
        Some(url) => {
            url::check(findings, "owner.webhook_url", url, "owner.webhook_secret_file");
            if let Err(reason) = Signer::new(&owner.webhook_secret) {
                findings.require(false, "owner.webhook_secret", reason);
            }
        }
        None => {
            findings.require(config.email.is_some(), "owner", "needs [email], or `webhook_url`");
        }
    }
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
