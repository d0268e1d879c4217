//! `monitor.blind` as an alert: about no key and no source.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::alert::{Action, Alert, AlertPosition, AlertType, DetectorId, Evidence, Severity};
use crate::decide::MODEL_VERSION;
use crate::event::EventTime;

/// What the monitor does not see.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Event time of the last that was seen.
    pub since: EventTime,
    pub position: AlertPosition,
    pub headline: String,
    pub sentence: String,
    pub observed: f64,
    pub expected: f64,
    pub p_value: f64,
    /// `lag` in records or `gap` in seconds, and what else a person would look at.
    pub fields: Map<String, Value>,
}

/// One kind of blindness: at most one incident of it is open.
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

    /// An alert when blindness begins or ends.
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
        let is_over = alert_type == AlertType::Resolved;
        let end = if is_over { " It sees again." } else { "" };
        Alert {
            id: id.to_owned(),
            revision,
            alert_type,
            key_id: None,
            source_ip: None,
            affected_keys: Vec::new(),
            tenant: None,
            severity: Severity::High,
            risk: if is_over { 0.0 } else { 70.0 },
            confidence: 0.99,
            action: if is_over { Action::Observe } else { Action::Notify },
            dry_run: false,
            title: format!("Keywatch is blind: {}", finding.headline),
            explanation: format!("{}{end}", finding.sentence),
            detectors: vec![DetectorId::MonitorBlind],
            evidence: vec![evidence(finding)],
            first_event_time: finding.since,
            last_event_time: finding.since,
            detected_event_time: finding.since,
            detected_at: now,
            position: finding.position.clone(),
            policy_version: self.policy_version.clone(),
            model_version: MODEL_VERSION.to_owned(),
        }
    }
}

fn evidence(finding: &Finding) -> Evidence {
    Evidence {
        detector: DetectorId::MonitorBlind,
        score: crate::detect::surprise(finding.p_value),
        p_value: finding.p_value,
        observed: Some(finding.observed),
        expected: Some(finding.expected),
        fields: finding.fields.clone(),
    }
}

/// Made of what went blind and since when, so that two processes that see the same say the same.
fn incident_id(kind: &str, finding: &Finding) -> String {
    let AlertPosition { topic, partition, .. } = &finding.position;
    let mut hash = Sha256::new();
    hash.update(format!("keywatch blind\0{kind}\0{topic}\0{partition}\0"));
    hash.update(finding.since.as_micros().to_be_bytes());
    format!("inc_{}", hex::encode(&hash.finalize()[..12]))
}
