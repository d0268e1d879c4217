//! Tests the whole path with real parts: Kafka, `keywatch run`, ClickHouse, mailbox, webhook,
//! topics.

mod gone;
mod restarts;
mod scenario;

use std::collections::HashSet;

use serde_json::Value;

use crate::support::service::metric_in;
use crate::support::traffic::{REPLAYED_KEY, SECRET_WORD, TRAVELLING_KEY};

use self::scenario::{WEBHOOK_SECRET, outcome};

const EXPECTED: [(&str, &str); 2] =
    [(REPLAYED_KEY, "replay.duplicate_nonce"), (TRAVELLING_KEY, "geo.impossible_travel")];

/// The alert about `key` that names `detector`.
fn names(alert: &Value, key: &str, detector: &str) -> bool {
    let detectors = alert["detectors"].as_array().unwrap();
    alert["key_id"] == key && detectors.iter().any(|known| known == detector)
}

fn assert_has_expected(alerts: &[Value]) {
    for (key, detector) in EXPECTED {
        let is_there = alerts.iter().any(|alert| names(alert, key, detector));
        assert!(is_there, "{key} {detector}: {alerts:#?}");
    }
}

#[test]
fn a_log_becomes_rows_and_rollups() {
    let Some(outcome) = outcome() else { return };
    assert!(outcome.traffic.events.len() > 40_000, "{}", outcome.traffic.events.len());
    outcome.stored.assert_is(&outcome.traffic);
}

#[test]
fn records_that_cannot_be_decoded_are_stored_and_copied_with_their_reason() {
    let Some(outcome) = outcome() else { return };
    assert_eq!(outcome.rejected_rows, outcome.bad);
    assert_eq!(outcome.dead_letters.len(), outcome.bad);
    let reason = |headers: &[(String, String)]| {
        let reason = headers.iter().find(|(name, _)| name == "keywatch-reason");
        reason.map(|(_, reason)| reason.clone()).unwrap()
    };
    let reasons: Vec<String> =
        outcome.dead_letters.iter().map(|record| reason(&record.headers)).collect();
    assert!(reasons.iter().any(|reason| reason == "future_time"), "{reasons:?}");
}

#[test]
fn attacks_become_alerts() {
    let Some(outcome) = outcome() else { return };
    assert_has_expected(&outcome.alerts);
}

#[test]
fn alerts_are_mailed_as_text_and_html() {
    let Some(outcome) = outcome() else { return };
    let subjects: Vec<&str> = outcome.mails.iter().map(|mail| mail.subject.as_str()).collect();
    for (key, _) in EXPECTED {
        let told = |part: &str| part.contains(key);
        let is_there = outcome.mails.iter().any(|mail| told(&mail.text) && told(&mail.html));
        assert!(is_there, "{key} in no mail: {subjects:?}");
    }
}

#[test]
fn alerts_call_the_webhook_with_a_valid_signature() {
    let Some(outcome) = outcome() else { return };
    for (key, detector) in EXPECTED {
        let is_it = |body: &[u8]| names(&serde_json::from_slice(body).unwrap(), key, detector);
        let call = outcome.calls.iter().find(|call| is_it(&call.body)).expect(key);
        let payload = call.verified(WEBHOOK_SECRET).expect("a valid signature");
        assert_eq!(payload["key_id"], key);
    }
}

#[test]
fn alerts_are_sent_to_their_topic() {
    let Some(outcome) = outcome() else { return };
    assert_has_expected(&outcome.alerts_topic);
}

#[test]
fn every_line_of_the_metrics_is_one_that_prometheus_reads() {
    let Some(outcome) = outcome() else { return };
    assert_eq!(outcome.metrics.status, 200);
    for line in outcome.metrics.text.lines().filter(|line| !line.is_empty()) {
        assert!(is_exposition_line(line), "{line}");
    }
}

#[test]
fn counters_of_records_agree_with_what_was_sent() {
    let Some(outcome) = outcome() else { return };
    let (events, bad) = (outcome.traffic.events.len(), outcome.bad);
    for (name, expected) in [
        ("keywatch_source_records_total", events + bad),
        ("keywatch_events_total", events),
        ("keywatch_rejections_total", bad),
    ] {
        assert_eq!(metric_in(&outcome.metrics.text, name), expected as f64, "{name}");
    }
}

#[test]
fn counters_of_alerts_agree_with_what_is_stored() {
    let Some(outcome) = outcome() else { return };
    let metric = |name| metric_in(&outcome.metrics.text, name);
    let (least, most) = outcome.metrics.alerts;
    let sent = outcome.traffic.events.len() + outcome.bad;
    for (name, others) in [
        ("keywatch_alerts_total", 0),
        ("keywatch_event_to_alert_seconds_count", 0),
        ("keywatch_stored_rows_total", sent + outcome.metrics.source_attempts),
    ] {
        let alerts = metric(name) - others as f64;
        let is_right = (least as f64..=most as f64).contains(&alerts);
        assert!(is_right, "{name}: {alerts}, {least}, {most}");
    }
    assert!(metric("keywatch_deliveries_total") >= 3.0 * least as f64);
}

#[test]
fn a_stop_ends_with_success() {
    let Some(outcome) = outcome() else { return };
    assert!(outcome.exit.success(), "{}\n{}", outcome.exit, outcome.log);
}

#[test]
fn no_nonce_signature_or_raw_key_comes_out_anywhere() {
    let Some(outcome) = outcome() else { return };
    let secrets: HashSet<&str> = outcome.traffic.secrets().collect();
    assert!(secrets.len() > 10_000, "{}", secrets.len());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mails = outcome.mails.iter().flat_map(|mail| [&*mail.raw, &*mail.text, &*mail.html]);
    let calls = outcome.calls.iter().map(|call| text(&call.body));
    let dead = outcome.dead_letters.iter();
    let dead = dead.map(|record| format!("{} {:?}", text(&record.payload), record.headers));
    for (place, text) in [
        ("ClickHouse", outcome.dump.clone()),
        ("log", outcome.log.clone()),
        ("mail", mails.collect::<Vec<_>>().join("\n")),
        ("webhook", calls.collect::<Vec<_>>().join("\n")),
        ("alerts topic", format!("{:?}", outcome.alerts_topic)),
        ("dead letters", dead.collect::<Vec<_>>().join("\n")),
    ] {
        assert!(!text.is_empty(), "{place} is empty");
        assert_no_secret(place, &text, &secrets);
    }
}

fn assert_no_secret(place: &str, text: &str, secrets: &HashSet<&str>) {
    assert!(!text.contains(SECRET_WORD), "{place}: {}", around(text, SECRET_WORD));
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    for word in words {
        assert!(!secrets.contains(word), "{place}: {}", around(text, word));
    }
}

fn around(text: &str, word: &str) -> String {
    let at = text.find(word).unwrap_or(0);
    text.chars().skip(text[..at].chars().count().saturating_sub(200)).take(400).collect()
}

/// Text format 0.0.4: `# HELP name text`, `# TYPE name kind`, `name{label="value",..} number`.
fn is_exposition_line(line: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c))
    };
    if let Some(comment) = line.strip_prefix("# ") {
        let mut words = comment.split(' ');
        return matches!(words.next(), Some("HELP" | "TYPE")) && words.next().is_some_and(is_name);
    }
    let Some((series, value)) = line.rsplit_once(' ') else { return false };
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    is_name(name) && labels.ends_with('}') && value.parse::<f64>().is_ok()
}
