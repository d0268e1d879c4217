//! A digest mail lists many alerts.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::wording::one_line;
use crate::alert::{Alert, Severity};
use crate::facts::time;

/// Alerts listed in one digest. The digest counts further ones and does not list them.
const MOST_LISTED: usize = 100;

/// The content of a digest. Every string is safe to show: see `wording`.
pub(super) struct Digest {
    pub(super) subject: String,
    pub(super) headline: String,
    pub(super) severity: Severity,
    pub(super) summary: String,
    /// Most severe first, then newest first.
    pub(super) lines: Vec<DigestLine>,
    pub(super) omitted: Option<String>,
    pub(super) command: String,
}

pub(super) struct DigestLine {
    pub(super) severity: Severity,
    pub(super) time: String,
    pub(super) title: String,
    pub(super) id: String,
}

impl Digest {
    /// Lists each incident once, with its latest revision.
    pub(super) fn new(alerts: &[Arc<Alert>]) -> Self {
        let latest = latest_revisions(alerts);
        let counts = counts(&latest);
        let severity = latest.first().map_or(Severity::Low, |alert| alert.severity);
        let omitted = latest.len().saturating_sub(MOST_LISTED);
        let headline = format!("{} alerts: {counts}", latest.len());
        Self {
            subject: format!("[{}] {headline}", severity.as_str().to_uppercase()),
            headline,
            severity,
            summary: "Alerts arrived faster than mails may be sent (email.max_per_minute), so \
                      they share one mail."
                .into(),
            lines: latest.iter().take(MOST_LISTED).map(|alert| line(alert)).collect(),
            omitted: (omitted > 0).then(|| format!("and {omitted} more, all in the alert list")),
            command: "keywatch alerts list".into(),
        }
    }
}

fn latest_revisions(alerts: &[Arc<Alert>]) -> Vec<&Alert> {
    let mut latest: BTreeMap<&str, &Alert> = BTreeMap::new();
    for alert in alerts {
        let entry = latest.entry(&alert.id).or_insert(alert);
        if alert.revision > entry.revision {
            *entry = alert;
        }
    }
    let mut latest: Vec<_> = latest.into_values().collect();
    latest.sort_by_key(|alert| Reverse((alert.severity, alert.detected_at)));
    latest
}

fn counts(alerts: &[&Alert]) -> String {
    let mut counts: BTreeMap<Severity, usize> = BTreeMap::new();
    for alert in alerts {
        *counts.entry(alert.severity).or_default() += 1;
    }
    counts
        .iter()
        .rev()
        .map(|(severity, n)| format!("{n} {severity}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn line(alert: &Alert) -> DigestLine {
    DigestLine {
        severity: alert.severity,
        time: time(alert.detected_event_time),
        title: one_line(&alert.title, 200),
        id: one_line(&alert.id, 100),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::super::fixtures;
    use super::*;

    pub(in super::super) fn sample() -> Digest {
        let mut second = fixtures::alert("impossible_travel");
        second.revision = 2;
        second.severity = Severity::Critical;
        let names = ["impossible_travel", "hostile", "source_resolved"];
        let mut alerts: Vec<_> = names.map(|name| Arc::new(fixtures::alert(name))).into();
        alerts.push(Arc::new(second));
        Digest::new(&alerts)
    }

    #[test]
    fn each_incident_is_listed_once_most_severe_first() {
        let digest = sample();
        assert_eq!(digest.subject, "[CRITICAL] 3 alerts: 1 critical, 1 medium, 1 low");
        let severities: Vec<_> = digest.lines.iter().map(|line| line.severity).collect();
        assert_eq!(severities, [Severity::Critical, Severity::Medium, Severity::Low]);
    }

    #[test]
    fn a_flood_is_counted_not_listed() {
        let alerts: Vec<_> = (0..130)
            .map(|n| {
                let mut alert = fixtures::alert("impossible_travel");
                alert.id = format!("al_{n}");
                Arc::new(alert)
            })
            .collect();
        let digest = Digest::new(&alerts);
        assert_eq!(digest.lines.len(), MOST_LISTED);
        assert_eq!(digest.omitted.as_deref(), Some("and 30 more, all in the alert list"));
    }

    #[test]
    fn digests_keep_their_form() {
        insta::assert_snapshot!("digest_text", super::super::text::digest(&sample()));
    }
}
