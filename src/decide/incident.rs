//! An open incident of one key: its evidence so far, and how it is told.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::policy::{Policy, Verdict};
use super::{MODEL_VERSION, Moment, position};
use crate::alert::{Action, Alert, AlertType, DetectorId, Evidence};
use crate::detect::Signal;
use crate::event::{EnrichedEvent, EventTime, KeyId, PartitionId};

#[derive(Debug, Serialize, Deserialize)]
pub struct Incident {
    id: String,
    key_id: KeyId,
    tenant: Option<String>,
    partition: PartitionId,
    revision: u32,
    /// Strongest first, one for each detector.
    findings: Vec<Finding>,
    #[serde(with = "super::as_json")]
    evidence: Vec<Evidence>,
    first_offset: i64,
    last_offset: i64,
    first_event_time: EventTime,
    last_event_time: EventTime,
    detected_event_time: EventTime,
    revocation_requested: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Finding {
    headline: String,
    sentence: String,
}

impl Incident {
    pub fn open(enriched: &EnrichedEvent, detector: DetectorId, partition: &PartitionId) -> Self {
        let event = &enriched.event;
        Self {
            id: incident_id(&event.key_id, event.time, detector),
            key_id: event.key_id.clone(),
            tenant: event.tenant.as_ref().map(ToString::to_string),
            partition: partition.clone(),
            revision: 0,
            findings: Vec::new(),
            evidence: Vec::new(),
            first_offset: enriched.position.offset,
            last_offset: enriched.position.offset,
            first_event_time: event.time,
            last_event_time: event.time,
            detected_event_time: event.time,
            revocation_requested: false,
        }
    }

    /// Adds signals; a detector's stronger signal replaces its weaker one.
    pub fn add(&mut self, enriched: &EnrichedEvent, signals: Vec<Signal>, partition: &PartitionId) {
        self.touch(enriched, partition);
        self.detected_event_time = enriched.event.time;
        for signal in signals {
            let known = self.evidence.iter().position(|e| e.detector == signal.detector);
            if let Some(place) = known {
                if self.evidence[place].p_value <= signal.p_value {
                    continue;
                }
                self.evidence.remove(place);
                self.findings.remove(place);
            }
            let finding =
                Finding { headline: signal.headline.clone(), sentence: signal.sentence.clone() };
            let place = self.evidence.partition_point(|e| e.p_value <= signal.p_value);
            self.evidence.insert(place, signal.into_evidence());
            self.findings.insert(place, finding);
        }
    }

    /// Notes that the unusual behaviour was seen in this event too.
    pub fn touch(&mut self, enriched: &EnrichedEvent, partition: &PartitionId) {
        if self.partition != *partition {
            // The positions of an alert name one partition: the one that spoke last.
            self.partition = partition.clone();
            self.first_offset = enriched.position.offset;
            self.last_offset = enriched.position.offset;
        }
        self.last_event_time = self.last_event_time.max(enriched.event.time);
        self.first_event_time = self.first_event_time.min(enriched.event.time);
        self.last_offset = self.last_offset.max(enriched.position.offset);
    }

    pub fn closes_at(&self, quiet_seconds: f64) -> EventTime {
        self.last_event_time.plus_seconds(quiet_seconds)
    }

    pub fn score_of(&self, detector: DetectorId) -> Option<f64> {
        self.evidence.iter().find(|e| e.detector == detector).map(|e| e.score)
    }

    pub fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    pub fn partition(&self) -> &PartitionId {
        &self.partition
    }

    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    pub fn is_revocation_requested(&self) -> bool {
        self.revocation_requested
    }

    pub fn mark_revocation_requested(&mut self) {
        self.revocation_requested = true;
    }

    /// The next revision of this incident as an alert.
    pub fn revise(
        &mut self,
        alert_type: AlertType,
        verdict: &Verdict,
        policy: &Policy,
        moment: Moment<'_>,
    ) -> Alert {
        self.revision += 1;
        Alert {
            id: self.id.clone(),
            revision: self.revision,
            alert_type,
            key_id: Some(self.key_id.clone()),
            source_ip: None,
            affected_keys: Vec::new(),
            tenant: self.tenant.clone(),
            severity: verdict.severity,
            risk: round(verdict.risk, 10.0),
            confidence: round(verdict.confidence, 1_000.0),
            action: verdict.action,
            dry_run: policy.is_dry_run(),
            title: self.title(),
            explanation: self.explanation(alert_type, verdict, policy),
            detectors: self.evidence.iter().map(|e| e.detector).collect(),
            evidence: self.evidence.clone(),
            first_event_time: self.first_event_time,
            last_event_time: self.last_event_time,
            detected_event_time: self.detected_event_time,
            detected_at: moment.now.unwrap_or(self.last_event_time),
            position: position(&self.partition, self.first_offset, self.last_offset),
            policy_version: policy.version().to_owned(),
            model_version: MODEL_VERSION.to_owned(),
        }
    }

    fn title(&self) -> String {
        let headline = self.findings.first().map_or("", |finding| finding.headline.as_str());
        format!("Key {}: {headline}", self.key_id)
    }

    fn explanation(&self, alert_type: AlertType, verdict: &Verdict, policy: &Policy) -> String {
        let mut sentences: Vec<&str> = self.findings.iter().map(|f| f.sentence.as_str()).collect();
        let advice = advice(verdict.action, policy.is_dry_run());
        if alert_type == AlertType::Resolved {
            sentences.push("Nothing more was seen; the incident is closed.");
        } else {
            sentences.push(&advice);
        }
        let restraint =
            verdict.restraint.map(|reason| format!("No more than that, because {reason}."));
        if let Some(restraint) = &restraint {
            sentences.push(restraint);
        }
        sentences.join(" ")
    }
}

fn advice(action: Action, dry_run: bool) -> String {
    let wanted = match action {
        Action::Observe => return "Watch it; nothing needs to be done yet.".into(),
        Action::Notify => return "Look at it and ask the key's owner.".into(),
        Action::Throttle => "throttled",
        Action::Suspend => "suspended until its owner answers",
        Action::Revoke => "revoked",
    };
    if dry_run {
        format!("The key should be {wanted}; this is a dry run, nothing was done.")
    } else {
        format!("The key should be {wanted}.")
    }
}

/// The same log gives the same id, wherever the log was read from.
fn incident_id(key_id: &KeyId, time: EventTime, detector: DetectorId) -> String {
    let mut hash = Sha256::new();
    hash.update(b"keywatch incident\0");
    hash.update(key_id.as_bytes());
    hash.update([0]);
    hash.update(time.as_micros().to_be_bytes());
    hash.update(detector.as_str());
    format!("inc_{}", hex::encode(&hash.finalize()[..12]))
}

fn round(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}
