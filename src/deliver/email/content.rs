//! The content of an alert mail, before it is rendered as text or HTML.

use super::wording::{label, one_line, value};
use crate::alert::{Alert, AlertType, Attacks, Evidence, Guidance, Restraint, Severity};
use crate::facts::{plain_id, requests_sql, time, what_was_done};
use crate::text::precise_number;

/// The content of one mail. Every string is safe to show: see `wording`.
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
    /// Collects the content. `database` is the ClickHouse database that holds the requests.
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
            query: requests_sql(alert, database),
        }
    }
}

fn tag(alert: &Alert) -> String {
    let severity = alert.severity.as_str().to_uppercase();
    match alert.alert_type {
        AlertType::Opened => severity,
        AlertType::Updated if alert.handling.reopened_after.is_some() => {
            format!("{severity}, reopened")
        }
        AlertType::Updated if alert.restraint == Some(Restraint::ApprovalPending) => {
            format!("{severity}, approval needed")
        }
        AlertType::Updated if alert.restraint.is_some_and(Restraint::is_wait) => {
            format!("{severity}, action waits")
        }
        AlertType::Updated => format!("{severity}, escalated"),
        AlertType::Resolved => format!("{severity}, resolved"),
        AlertType::RevocationRequested => format!("{severity}, revocation requested"),
        AlertType::SuspensionRequested => format!("{severity}, suspension requested"),
    }
}

fn rating(alert: &Alert) -> String {
    format!(
        "{} · risk {} of 100 · confidence {:.0} %",
        alert.severity.as_str().to_uppercase(),
        precise_number(alert.risk.round()),
        alert.confidence * 100.0
    )
}

fn evidence_report(evidence: &Evidence) -> EvidenceReport {
    let numbers = [("Observed", evidence.observed), ("Expected", evidence.expected)];
    let numbers =
        numbers.into_iter().filter_map(|(name, n)| Some((name.to_owned(), precise_number(n?))));
    let fields = evidence.fields.iter().map(|(name, v)| (label(name), value(name, v)));
    EvidenceReport {
        detector: evidence.detector.as_str(),
        surprise: format!(
            "surprise {} of 100, p = {:.1e}",
            precise_number(evidence.score.round()),
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
    let Guidance { key, rule, playbook, .. } = &alert.guidance;
    for (name, text) in [("Environment", &key.environment), ("Class", &key.class)] {
        if !text.is_empty() {
            facts.push((name, one_line(text, 100)));
        }
    }
    for (name, text) in [("Rule", rule), ("Playbook", playbook)] {
        if let Some(text) = text {
            facts.push((name, one_line(text, 500)));
        }
    }
    if playbook.is_none() && !alert.detectors.is_empty() {
        facts.push(("Steps", format!("keywatch alerts playbook {}", plain_id(alert))));
    }
    if let Some(attacks) = Attacks::of(&alert.detectors) {
        facts.push(("Catalogues", attacks.in_words()));
    }
    if let Some(assignee) = &alert.handling.assignee {
        facts.push(("Assigned to", one_line(assignee, 100)));
    }
    if let Some(word) = &alert.handling.owner_said {
        facts.push(("Owner", word.to_string()));
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
    format!("keywatch alerts show {}", plain_id(alert))
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::*;

    #[test]
    fn subjects_tell_severity_and_what_changed() {
        let subject = |name| Report::new(&fixtures::alert(name), "keywatch").subject;
        assert_eq!(
            subject("impossible_travel"),
            "[HIGH] Key ak_123: requests from two places 8,900 km apart within 4 minutes"
        );
        let mut reopened = fixtures::alert("impossible_travel");
        reopened.alert_type = AlertType::Updated;
        assert!(Report::new(&reopened, "keywatch").subject.starts_with("[HIGH, escalated] "));
        reopened.handling.reopened_after = Some(reopened.detected_at);
        assert!(Report::new(&reopened, "keywatch").subject.starts_with("[HIGH, reopened] "));
        assert!(subject("revocation_requested").starts_with("[CRITICAL, revocation requested] "));
        assert!(subject("source_resolved").starts_with("[LOW, resolved] "));
    }
}
