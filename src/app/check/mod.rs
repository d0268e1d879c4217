//! Checks the whole configuration. Each room checks its own section; this module checks the
//! settings that concern several rooms.

#[cfg(test)]
mod tests;
mod warnings;

use crate::config::{Config, Finding, Findings, SourceKind};
use crate::{decide, decode, deliver, detect, http, source, store, telemetry};

pub use self::warnings::warnings;
use super::HELD_BATCHES;

/// Returns every setting with which the service cannot work.
pub fn check(config: &Config) -> Vec<Finding> {
    let mut findings = Findings::default();
    source::check(&config.source, &mut findings);
    decode::check(&config.decode, &mut findings);
    findings.require_positive("enrich.reload_seconds", config.enrich.reload_seconds as f64);
    // One more batch may be scored when the bound is nearly reached.
    let unstored_records = config.source.batch_records.saturating_mul(HELD_BATCHES + 1);
    detect::check(&config.detect, unstored_records, &mut findings);
    decide::check(&config.policy, &mut findings);
    check_own(config, &mut findings);
    crate::console::check(&config.console, &mut findings);
    config.drill.check(&mut findings);
    crate::leaks::check(config, &mut findings);
    crate::keys::check(config, &mut findings);
    telemetry::logging::check(&config.log, &mut findings);
    store::check(&config.clickhouse, &mut findings);
    if let Some(email) = &config.email {
        deliver::check_email(email, &mut findings);
    }
    if let Some(webhook) = &config.webhook {
        deliver::check_webhook(webhook, &mut findings);
    }
    if let Some(owner) = &config.owner {
        deliver::check_owner(owner, config, &mut findings);
    }
    deliver::check_channels(&config.channel, &mut findings);
    check_topics(config, &mut findings);
    findings.into_vec()
}

/// Checks `[state]` and `[monitor]`, which belong to the service itself.
fn check_own(config: &Config, findings: &mut Findings) {
    let (state, monitor) = (&config.state, &config.monitor);
    findings.require_positive("state.snapshot_seconds", state.snapshot_seconds as f64);
    findings.require_positive("state.snapshot_events", state.snapshot_events as f64);
    findings.require_positive("monitor.max_lag_seconds", monitor.max_lag_seconds);
    findings.require_positive("monitor.max_silence_seconds", monitor.max_silence_seconds);
    http::tls::check("service.tls", &config.service.tls, findings);
    check_tokens(config, findings);
}

/// Events that anybody on the machine may send must not have keys revoked.
fn check_tokens(config: &Config, findings: &mut Findings) {
    let http = &config.source.http;
    let is_open = http.token.is_empty() && http.tokens.is_empty();
    findings.require(
        config.source.kind != SourceKind::Http || config.policy.dry_run || !is_open,
        "source.http.token",
        "is needed as soon as `policy.dry_run` is false: otherwise anybody who reaches the \
         endpoint can have keys revoked",
    );
}

/// A topic that the service writes must not be one that it reads: it would read its own output.
fn check_topics(config: &Config, findings: &mut Findings) {
    let kafka = &config.source.kafka;
    let is_read = |topic: &String| kafka.topics.contains(topic);
    let dead_letter = kafka.dead_letter_topic.as_ref();
    findings.require(
        !dead_letter.is_some_and(is_read),
        "source.kafka.dead_letter_topic",
        "is also read as a source",
    );
    if let Some(alerts) = &config.alerts_topic {
        findings.require(!alerts.topic.is_empty(), "alerts_topic.topic", "is empty");
        let is_free = !is_read(&alerts.topic) && dead_letter != Some(&alerts.topic);
        findings.require(is_free, "alerts_topic.topic", "is also a source or dead-letter topic");
    }
}
