//! What the types cannot say: values that make no sense, alone or together.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use lettre::message::Mailbox;
use reqwest::Url;
use tracing_subscriber::EnvFilter;

use super::load::Finding;
use super::{Config, EmailConfig, SmtpTls, SourceKind, WebhookConfig};
use crate::decode::Decoder;

/// 64 GiB a partition: the lines of the table are numbered with 32 bits.
const MAX_REPLAY_MEBIBYTES: usize = 1 << 16;

/// Collects findings.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn require(&mut self, holds: bool, key: &'static str, message: impl Into<String>) {
        if !holds {
            self.0.push(Finding { key, message: message.into() });
        }
    }

    fn require_positive(&mut self, key: &'static str, value: f64) {
        self.require(value.is_finite() && value > 0.0, key, "must be greater than 0");
    }

    fn require_url(&mut self, key: &'static str, url: &str, password_key: &str) {
        match Url::parse(url) {
            Ok(url) => {
                let is_http = matches!(url.scheme(), "http" | "https");
                self.require(is_http, key, "must begin with http:// or https://");
                let message = format!("must not hold a password; use `{password_key}`");
                self.require(url.password().is_none(), key, message);
            }
            Err(error) => self.require(false, key, format!("is no URL: {error}")),
        }
    }
}

impl Config {
    /// Batches that were scored and are not stored, at most.
    const HELD_BATCHES: usize = 10;

    /// Everything that cannot work.
    pub(super) fn check(&self) -> Vec<Finding> {
        let mut findings = Findings::default();
        self.check_source(&mut findings);
        self.check_core(&mut findings);
        self.check_clickhouse(&mut findings);
        if let Some(email) = &self.email {
            check_email(&mut findings, email);
        }
        if let Some(webhook) = &self.webhook {
            check_webhook(&mut findings, webhook);
        }
        self.check_topics(&mut findings);
        findings.0
    }

    fn check_source(&self, findings: &mut Findings) {
        let source = &self.source;
        findings.require_positive("source.batch_records", source.batch_records as f64);
        findings.require_positive("source.batch_bytes", source.batch_bytes as f64);
        findings.require_positive("source.batch_milliseconds", source.batch_milliseconds as f64);
        findings.require_positive("source.http.max_body_bytes", source.http.max_body_bytes as f64);
        let kafka = &source.kafka;
        findings.require(
            kafka.sasl_username.is_none() || !kafka.sasl_password.is_empty(),
            "source.kafka.sasl_username",
            "needs `sasl_password` or `sasl_password_file`",
        );
        let loops = kafka.repartition_topic.as_ref().is_some_and(|to| kafka.topics.contains(to));
        findings.require(
            !loops,
            "source.kafka.repartition_topic",
            "must not be one of `source.kafka.topics`",
        );
        match source.kind {
            SourceKind::Kafka => {
                findings.require(!kafka.brokers.is_empty(), "source.kafka.brokers", "is empty");
                findings.require(!kafka.topics.is_empty(), "source.kafka.topics", "is empty");
                findings.require(!kafka.group_id.is_empty(), "source.kafka.group_id", "is empty");
            }
            SourceKind::File => {
                let has_paths = !source.file.paths.is_empty();
                findings.require(
                    has_paths,
                    "source.file.paths",
                    "is empty; name the files to read",
                );
            }
            SourceKind::Stdin | SourceKind::Http => {}
        }
    }

    fn check_core(&self, findings: &mut Findings) {
        if let Err(error) = Decoder::new(&self.decode) {
            findings.require(false, error.key(), error.to_string());
        }
        findings.require_positive("decode.max_record_bytes", self.decode.max_record_bytes as f64);
        findings.require_positive("enrich.reload_seconds", self.enrich.reload_seconds as f64);
        let detect = &self.detect;
        findings.require_positive(
            "detect.expected_false_alerts_per_week",
            detect.expected_false_alerts_per_week,
        );
        findings.require_positive("detect.validity_window_seconds", detect.validity_window_seconds);
        findings.require_positive("detect.replay_horizon_hours", detect.replay_horizon_hours);
        findings.require(
            (1..=MAX_REPLAY_MEBIBYTES).contains(&detect.replay_memory_mebibytes),
            "detect.replay_memory_mebibytes",
            format!("must be from 1 to {MAX_REPLAY_MEBIBYTES}"),
        );
        findings.require(
            detect.replay_first_uses / Self::HELD_BATCHES >= self.source.batch_records,
            "detect.replay_first_uses",
            "must be at least ten times `source.batch_records`: what is not stored yet must be known",
        );
        findings.require_positive("detect.max_keys", detect.max_keys as f64);
        findings.require_positive("policy.quiet_close_seconds", self.policy.quiet_close_seconds);
        let state = &self.state;
        findings.require_positive("state.snapshot_seconds", state.snapshot_seconds as f64);
        findings.require_positive("state.snapshot_events", state.snapshot_events as f64);
        findings.require_positive("monitor.max_lag_seconds", self.monitor.max_lag_seconds);
        findings.require_positive("monitor.max_silence_seconds", self.monitor.max_silence_seconds);
        if let Err(error) = EnvFilter::try_new(&self.log.filter) {
            findings.require(false, "log.filter", format!("is no tracing filter: {error}"));
        }
    }

    fn check_clickhouse(&self, findings: &mut Findings) {
        let clickhouse = &self.clickhouse;
        findings.require_url("clickhouse.url", &clickhouse.url, "clickhouse.password_file");
        findings.require_positive(
            "clickhouse.raw_retention_days",
            f64::from(clickhouse.raw_retention_days),
        );
        let is_plain = clickhouse.database.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && clickhouse.database.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let message = "must be letters, digits and _, and begin with no digit";
        findings.require(is_plain, "clickhouse.database", message);
    }

    /// A topic that we write must not be one that we read: it would feed itself.
    fn check_topics(&self, findings: &mut Findings) {
        let kafka = &self.source.kafka;
        let is_read = |topic: &String| kafka.topics.contains(topic);
        let dead_letter = kafka.dead_letter_topic.as_ref();
        findings.require(
            !dead_letter.is_some_and(is_read),
            "source.kafka.dead_letter_topic",
            "is also read as a source",
        );
        if let Some(alerts) = &self.alerts_topic {
            findings.require(!alerts.topic.is_empty(), "alerts_topic.topic", "is empty");
            let is_free = !is_read(&alerts.topic) && dead_letter != Some(&alerts.topic);
            findings.require(
                is_free,
                "alerts_topic.topic",
                "is also a source or dead-letter topic",
            );
        }
    }

    /// What works but deserves a second look.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |applies: bool, text: &str| {
            if applies {
                warnings.push(text.to_owned());
            }
        };
        warn(
            !self.policy.dry_run,
            "policy.dry_run is false: keys will be revoked through the webhook",
        );
        warn(
            !self.policy.dry_run && self.webhook.is_none(),
            "policy.dry_run is false, but without [webhook] nothing can revoke a key",
        );
        warn(
            self.email.is_none() && self.webhook.is_none() && self.alerts_topic.is_none(),
            "no [email], [webhook] or [alerts_topic]: alerts are stored and told to nobody",
        );
        warn(
            self.enrich.city_databases.is_empty(),
            "enrich.city_databases is empty: no place is known, and geo.* detectors stay silent",
        );
        warn(
            self.enrich.asn_databases.is_empty(),
            "enrich.asn_databases is empty: no network is known, and network.* detectors stay silent",
        );
        warn(
            self.decode.pepper.is_empty(),
            "decode.pepper is not set: records with `api_key` are rejected, and fingerprints of \
             nonces can be guessed by whoever reads them",
        );
        warn(
            self.source.kind == SourceKind::Http
                && self.source.http.token.is_empty()
                && !self.source.http.listen.ip().is_loopback(),
            "source.http.listen is open to the network without source.http.token",
        );
        warn(
            self.email.as_ref().is_some_and(|email| {
                email.tls == SmtpTls::None && (email.username.is_some() || !is_local(&email.host))
            }),
            "email.tls is \"none\": mails and the password travel unencrypted",
        );
        warn(
            self.webhook.as_ref().is_some_and(|webhook| is_remote_http(&webhook.url)),
            "webhook.url is http: alerts travel unencrypted",
        );
        warnings
    }
}

fn check_email(findings: &mut Findings, email: &EmailConfig) {
    findings.require(!email.host.is_empty(), "email.host", "is empty");
    findings.require(email.max_per_minute > 0, "email.max_per_minute", "must be greater than 0");
    let example = "expected an address such as \"Keywatch <keywatch@example.com>\"";
    findings.require(email.from.parse::<Mailbox>().is_ok(), "email.from", example);
    findings.require(!email.to.is_empty(), "email.to", "is empty; name who is told");
    for to in &email.to {
        findings.require(to.parse::<Mailbox>().is_ok(), "email.to", format!("\"{to}\": {example}"));
    }
    findings.require(
        email.username.is_none() || !email.password.is_empty(),
        "email.username",
        "needs `password` or `password_file`",
    );
}

fn check_webhook(findings: &mut Findings, webhook: &WebhookConfig) {
    findings.require_url("webhook.url", &webhook.url, "webhook.secret_file");
    findings.require_positive("webhook.timeout_seconds", webhook.timeout_seconds as f64);
    let key = webhook.secret.reveal().strip_prefix("whsec_");
    let key = key.and_then(|encoded| BASE64_STANDARD.decode(encoded).ok());
    findings.require(
        key.is_some_and(|key| (24..=64).contains(&key.len())),
        "webhook.secret",
        "must be `whsec_` and base64 of 24 to 64 random bytes: \
         echo \"whsec_$(openssl rand -base64 32)\"",
    );
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn is_remote_http(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| {
        url.scheme() == "http"
            && !url.host_str().is_some_and(|host| is_local(host.trim_matches(['[', ']'])))
    })
}
