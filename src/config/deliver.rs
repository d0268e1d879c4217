//! Configures the channels that alerts are delivered through.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Secret;
use crate::alert::Severity;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// No encryption: for a relay on this machine only.
    None,
    #[default]
    Starttls,
    /// TLS from the first byte (port 465).
    Implicit,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailConfig {
    pub host: String,
    #[serde(default = "default_smtp_port")]
    pub port: u16,
    #[serde(default)]
    pub tls: SmtpTls,
    /// A PEM file of a certificate authority to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    pub username: Option<String>,
    #[serde(default)]
    pub password: Secret,
    pub password_file: Option<PathBuf>,
    pub from: String,
    pub to: Vec<String>,
    #[serde(default = "default_email_severity")]
    pub min_severity: Severity,
    /// A burst of this many mails leaves at once. Later mails keep this rate, and each carries all
    /// alerts that arrived meanwhile.
    #[serde(default = "default_mails_per_minute")]
    pub max_per_minute: u32,
    /// Also mail when an incident is over.
    #[serde(default)]
    pub send_resolved: bool,
}

impl EmailConfig {
    /// A configuration for a server on this machine that asks for neither encryption nor a
    /// password: for the demo and for tests.
    pub fn local(port: u16, to: &[&str]) -> Self {
        Self {
            host: "127.0.0.1".into(),
            port,
            tls: SmtpTls::None,
            ca_file: None,
            username: None,
            password: Secret::default(),
            password_file: None,
            from: "Keywatch <keywatch@example.com>".into(),
            to: to.iter().copied().map(String::from).collect(),
            min_severity: default_email_severity(),
            max_per_minute: default_mails_per_minute(),
            send_resolved: false,
        }
    }
}

fn default_smtp_port() -> u16 {
    587
}

fn default_email_severity() -> Severity {
    Severity::Medium
}

fn default_mails_per_minute() -> u32 {
    10
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    pub url: String,
    /// Standard Webhooks secrets, separated by spaces: `whsec_` and base64 of 24 to 64 bytes. Calls
    /// are signed with each of them.
    #[serde(default)]
    pub secret: Secret,
    pub secret_file: Option<PathBuf>,
    #[serde(default = "default_webhook_severity")]
    pub min_severity: Severity,
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: u64,
    /// Calls that may be under way at once.
    #[serde(default = "default_max_in_flight")]
    pub max_in_flight: u32,
}

fn default_webhook_severity() -> Severity {
    Severity::Low
}

fn default_timeout_seconds() -> u64 {
    10
}

fn default_max_in_flight() -> u32 {
    8
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertsTopicConfig {
    /// The topic. Brokers and security settings are those of `[source.kafka]`.
    pub topic: String,
    #[serde(default)]
    pub format: AlertFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertFormat {
    #[default]
    Keywatch,
    /// OCSF Detection Finding (class 2004).
    Ocsf,
}

/// The ready forms of JSON that a channel may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// An incoming webhook of Slack.
    Slack,
    /// A workflow of Microsoft Teams that takes Adaptive Cards.
    Teams,
    /// Version 2 of the Events API.
    Pagerduty,
    /// Alerts of Jira Service Management, by an API integration.
    Jira,
    /// The HTTP Event Collector.
    Splunk,
    /// OCSF Detection Finding (class 2004) as it is.
    Ocsf,
}

/// A channel that sends JSON, made from a template, over HTTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    /// A ready template, or else `template`.
    pub kind: Option<ChannelKind>,
    /// The file of a template of your own.
    pub template: Option<PathBuf>,
    /// The address often is the secret, and is never shown.
    #[serde(default)]
    pub url: Secret,
    pub url_file: Option<PathBuf>,
    /// The routing key, API key or token of the receiver, where it needs one.
    #[serde(default)]
    pub secret: Secret,
    pub secret_file: Option<PathBuf>,
    /// The scheme before the secret in the header `Authorization`, such as `Bearer`. Splunk and Jira
    /// have theirs.
    pub authorization: Option<String>,
    #[serde(default = "default_webhook_severity")]
    pub min_severity: Severity,
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: u64,
    /// Calls that may be under way at once.
    #[serde(default = "default_calls")]
    pub max_in_flight: u32,
}

fn default_calls() -> u32 {
    2
}
