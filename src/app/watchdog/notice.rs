//! Builds alerts about the monitor itself, which name neither a key nor a network.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::alert::{
    Action, Alert, AlertPosition, AlertType, DetectorId, Evidence, Guidance, Handling, Severity,
};
use crate::decide::MODEL_VERSION;
use crate::event::EventTime;

/// A problem of the monitor, such as a part of the traffic that it does not see.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Event time of the last event that was seen.
    pub since: EventTime,
    pub position: AlertPosition,
    pub headline: String,
    pub sentence: String,
    pub observed: f64,
    pub expected: f64,
    pub p_value: f64,
    /// Facts for the reader, such as `lag` in records and `gap` in seconds.
    pub fields: Map<String, Value>,
}

/// One kind of blindness, with at most one open incident.
#[derive(Debug)]
pub struct Blindness {
    kind: &'static str,
    policy_version: String,
    open: Option<(String, Finding)>,
}

impl Blindness {
    pub fn new(kind: &'static str, policy_version: &str) -> Self {
        Self { kind, policy_version: policy_version.to_owned(), open: None }
    }

    /// Returns an alert when blindness begins or ends.
    pub fn update(&mut self, finding: Option<Finding>, now: EventTime) -> Option<Alert> {
        match (finding, self.open.take()) {
            (Some(finding), None) => {
                let id = incident_id(self.kind, &finding);
                let alert = self.alert(&id, 1, AlertType::Opened, &finding, now);
                self.open = Some((id, finding));
                Some(alert)
            }
            (None, Some((id, finding))) => {
                Some(self.alert(&id, 2, AlertType::Resolved, &finding, now))
            }
            (_, open) => {
                self.open = open;
                None
            }
        }
    }

    fn alert(
        &self,
        id: &str,
        revision: u32,
        alert_type: AlertType,
        finding: &Finding,
        now: EventTime,
    ) -> Alert {
        let end = if alert_type == AlertType::Resolved { " It sees again." } else { "" };
        let notice = Notice {
            detector: DetectorId::MonitorBlind,
            severity: Severity::High,
            title: format!("Keywatch is blind: {}", finding.headline),
            explanation: format!("{}{end}", finding.sentence),
            policy_version: &self.policy_version,
        };
        notice.alert(id, revision, alert_type, finding, now)
    }
}

/// An alert about the monitor, in words.
pub struct Notice<'a> {
    pub detector: DetectorId,
    pub severity: Severity,
    pub title: String,
    pub explanation: String,
    pub policy_version: &'a str,
}

impl Notice<'_> {
    /// Builds the alert. A resolved one has no risk and asks for nothing.
    pub fn alert(
        self,
        id: &str,
        revision: u32,
        alert_type: AlertType,
        finding: &Finding,
        now: EventTime,
    ) -> Alert {
        let is_over = alert_type == AlertType::Resolved;
        Alert {
            id: id.to_owned(),
            revision,
            alert_type,
            key_id: None,
            source_ip: None,
            affected_keys: Vec::new(),
            tenant: None,
            severity: self.severity,
            risk: if is_over { 0.0 } else { self.risk() },
            confidence: 0.99,
            action: if is_over { Action::Observe } else { Action::Notify },
            restraint: None,
            dry_run: false,
            title: self.title,
            explanation: self.explanation,
            detectors: vec![self.detector],
            evidence: vec![evidence(self.detector, finding)],
            first_event_time: finding.since,
            last_event_time: finding.since,
            detected_event_time: finding.since,
            detected_at: now,
            position: finding.position.clone(),
            policy_version: self.policy_version.to_owned(),
            model_version: MODEL_VERSION.to_owned(),
            guidance: Guidance::default(),
            handling: Handling::default(),
        }
    }

    /// The middle of the severity's range.
    const fn risk(&self) -> f64 {
        match self.severity {
            Severity::Low => 15.0,
            Severity::Medium => 40.0,
            Severity::High => 70.0,
            Severity::Critical => 90.0,
        }
    }
}

fn evidence(detector: DetectorId, finding: &Finding) -> Evidence {
    Evidence {
        ceiling: None,
        detector,
        score: crate::detect::surprise(finding.p_value),
        p_value: finding.p_value,
        observed: Some(finding.observed),
        expected: Some(finding.expected),
        fields: finding.fields.clone(),
    }
}

/// Derives the id from the kind of problem and its beginning, so that two processes that see the
/// same problem use the same id.
pub fn incident_id(kind: &str, finding: &Finding) -> String {
    let AlertPosition { topic, partition, .. } = &finding.position;
    let mut hash = Sha256::new();
    hash.update(format!("keywatch blind\0{kind}\0{topic}\0{partition}\0"));
    hash.update(finding.since.as_micros().to_be_bytes());
    format!("inc_{}", hex::encode(&hash.finalize()[..12]))
}
