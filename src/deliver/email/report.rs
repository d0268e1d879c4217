//! What an alert mail says, before it is text or HTML.

use crate::alert::{Action, Alert, AlertType, Evidence, Severity};
use crate::event::EventTime;

use super::wording::{label, number, one_line, sql_address, sql_string, time, value};

/// Every string is safe to show: see `wording`.
pub(super) struct Report {
    pub(super) subject: String,
    pub(super) severity: Severity,
    /// Severity, risk and confidence in one line.
    pub(super) rating: String,
    pub(super) title: String,
    pub(super) what_happened: String,
    pub(super) what_was_done: String,
    pub(super) evidence: Vec<EvidenceReport>,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) command: String,
    pub(super) query: String,
}

pub(super) struct EvidenceReport {
    pub(super) detector: &'static str,
    pub(super) surprise: String,
    pub(super) rows: Vec<(String, String)>,
}

impl Report {
    /// `database` is where the store keeps requests.
    pub(super) fn new(alert: &Alert, database: &str) -> Self {
        let title = one_line(&alert.title, 200);
        Self {
            subject: format!("[{}] {title}", tag(alert)),
            severity: alert.severity,
            rating: rating(alert),
            title,
            what_happened: one_line(&alert.explanation, 4_000),
            what_was_done: what_was_done(alert),
            evidence: alert.evidence.iter().map(evidence_report).collect(),
            facts: facts(alert),
            command: command(alert),
            query: query(alert, database),
        }
    }
}

fn tag(alert: &Alert) -> String {
    let severity = alert.severity.as_str().to_uppercase();
    match alert.alert_type {
        AlertType::Opened => severity,
        AlertType::Updated => format!("{severity}, escalated"),
        AlertType::Resolved => format!("{severity}, resolved"),
        AlertType::RevocationRequested => format!("{severity}, revocation requested"),
    }
}

fn rating(alert: &Alert) -> String {
    format!(
        "{} · risk {} of 100 · confidence {:.0} %",
        alert.severity.as_str().to_uppercase(),
        number(alert.risk.round()),
        alert.confidence * 100.0
    )
}

fn what_was_done(alert: &Alert) -> String {
    let subject = if alert.key_id.is_some() { "key" } else { "source" };
    let (ask, done) = match alert.action {
        Action::Observe => return "Nothing. The incident is recorded and watched.".into(),
        Action::Notify => return format!("You are told. The {subject} was not touched."),
        Action::Throttle => ("throttle", "throttled"),
        Action::Suspend => ("suspend", "suspended"),
        Action::Revoke => ("revoke", "revoked"),
    };
    if alert.dry_run {
        format!(
            "DRY RUN: nothing was changed and the {subject} still works. Without dry run \
             Keywatch would have asked to {ask} it."
        )
    } else {
        format!(
            "Keywatch asked for the {subject} to be {done}. The service that holds your keys \
             carries this out: check that it has."
        )
    }
}

fn evidence_report(evidence: &Evidence) -> EvidenceReport {
    let numbers = [("Observed", evidence.observed), ("Expected", evidence.expected)];
    let numbers = numbers.into_iter().filter_map(|(name, n)| Some((name.to_owned(), number(n?))));
    let fields = evidence.fields.iter().map(|(name, v)| (label(name), value(name, v)));
    EvidenceReport {
        detector: evidence.detector.as_str(),
        surprise: format!(
            "surprise {} of 100, p = {:.1e}",
            number(evidence.score.round()),
            evidence.p_value
        ),
        rows: numbers.chain(fields).collect(),
    }
}

fn facts(alert: &Alert) -> Vec<(&'static str, String)> {
    let position = &alert.position;
    let mut facts = Vec::new();
    if let Some(key) = &alert.key_id {
        facts.push(("Key", one_line(key, 100)));
    }
    if let Some(ip) = alert.source_ip {
        facts.push(("Source", ip.to_string()));
    }
    if !alert.affected_keys.is_empty() {
        facts.push(("Affected keys", one_line(&alert.affected_keys.join(", "), 500)));
    }
    if let Some(tenant) = &alert.tenant {
        facts.push(("Tenant", one_line(tenant, 100)));
    }
    facts.extend([
        ("First event", time(alert.first_event_time)),
        ("Last event", time(alert.last_event_time)),
        ("Tripped by", time(alert.detected_event_time)),
        ("Detected", time(alert.detected_at)),
        (
            "Log position",
            format!(
                "{}, partition {}, offsets {} to {}",
                one_line(&position.topic, 200),
                position.partition,
                position.first_offset,
                position.last_offset
            ),
        ),
        ("Alert", format!("{}, revision {}", one_line(&alert.id, 100), alert.revision)),
        (
            "Policy, model",
            one_line(&format!("{}, {}", alert.policy_version, alert.model_version), 200),
        ),
    ]);
    facts
}

fn command(alert: &Alert) -> String {
    // Ids are ours and plain, yet nothing else may ever reach somebody's shell.
    let id = alert.id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    format!("keywatch alerts show {}", id.collect::<String>())
}

/// The requests around the incident, with half an hour before and after.
fn query(alert: &Alert, database: &str) -> String {
    const MARGIN_SECONDS: f64 = 1_800.0;
    let who = match (&alert.key_id, alert.source_ip) {
        (Some(key), _) => format!("key_id = {}\n  AND ", sql_string(key)),
        (None, Some(ip)) => format!("client_ip = {}\n  AND ", sql_address(ip)),
        (None, None) => String::new(),
    };
    let from = sql_time(alert.first_event_time.plus_seconds(-MARGIN_SECONDS));
    let to = sql_time(alert.last_event_time.plus_seconds(MARGIN_SECONDS));
    format!(
        "SELECT time, client_address, country, city, as_name, method, path, status, user_agent\n\
         FROM {database}.access_events\n\
         WHERE {who}time BETWEEN {from} AND {to}\n\
         ORDER BY time\n\
         LIMIT 1000"
    )
}

fn sql_time(at: EventTime) -> String {
    format!("'{}'", time(at).trim_end_matches(" UTC"))
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::*;

    #[test]
    fn a_dry_run_is_said_openly() {
        let mut alert = fixtures::alert("impossible_travel");
        assert!(what_was_done(&alert).starts_with("DRY RUN: nothing was changed"));
        alert.dry_run = false;
        assert!(what_was_done(&alert).contains("asked for the key to be suspended"));
        alert.action = Action::Notify;
        assert!(what_was_done(&alert).contains("was not touched"));
    }

    #[test]
    fn subjects_tell_severity_and_what_changed() {
        let subject = |name| Report::new(&fixtures::alert(name), "keywatch").subject;
        assert_eq!(
            subject("impossible_travel"),
            "[HIGH] Key ak_123: requests from two places 8,900 km apart within 4 minutes"
        );
        assert!(subject("revocation_requested").starts_with("[CRITICAL, revocation requested] "));
        assert!(subject("source_resolved").starts_with("[LOW, resolved] "));
    }

    #[test]
    fn the_query_asks_for_whom_the_alert_is_about() {
        let by_key = query(&fixtures::alert("hostile"), "keywatch");
        assert!(by_key.contains(r"key_id = 'ak\'; DROP TABLE events; --\\'"), "{by_key}");
        let by_source = query(&fixtures::alert("source_resolved"), "keywatch");
        assert!(by_source.contains("client_ip = toIPv6('198.51.100.200')"), "{by_source}");
    }
}
