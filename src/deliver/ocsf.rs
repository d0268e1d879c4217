//! Converts alerts to OCSF Detection Findings (class 2004).
//! <https://schema.ocsf.io/1.4.0/classes/detection_finding>

use serde_json::{Value, json};

use crate::alert::{
    ATTACK_VERSION, Alert, AlertType, Attacks, DetectorId, Evidence, Guidance, Handling,
    IncidentState, Severity,
};
use crate::event::EventTime;

/// The first schema version with `is_alert`; later ones accept it unchanged.
const SCHEMA_VERSION: &str = "1.4.0";
const FINDINGS: u32 = 2;
const DETECTION_FINDING: u32 = 2004;
const STATISTICAL: u32 = 3;

impl Alert {
    /// The alert as an OCSF object. Fields without a place in the schema stand under `unmapped`.
    pub fn to_ocsf(&self) -> Value {
        let activity = activity_id(self.alert_type);
        let mut finding = json!({
            "activity_id": activity,
            "category_uid": FINDINGS,
            "class_uid": DETECTION_FINDING,
            "type_uid": DETECTION_FINDING * 100 + activity,
            "severity_id": severity_id(self.severity),
            "severity": capitalized(self.severity.as_str()),
            "status_id": self.status_id(),
            "is_alert": self.alert_type != AlertType::Resolved,
            "time": milliseconds(self.detected_at),
            "start_time": milliseconds(self.first_event_time),
            "end_time": milliseconds(self.last_event_time),
            "message": self.title,
            "risk_score": self.risk.round() as i64,
            "confidence_score": (self.confidence * 100.0).round() as i64,
            "metadata": {
                "version": SCHEMA_VERSION,
                "product": {
                    "name": "Keywatch",
                    "vendor_name": "Keywatch",
                    "version": env!("CARGO_PKG_VERSION"),
                },
                "uid": super::delivery_id(self),
                "correlation_uid": self.id,
            },
            "finding_info": self.finding_info(),
            "resources": self.resources(),
            "evidences": self.evidence.iter().map(|e| self.evidence_object(e)).collect::<Vec<_>>(),
            "unmapped": {
                "type": self.alert_type,
                "revision": self.revision,
                "action": self.action,
                "dry_run": self.dry_run,
                "tenant": self.tenant,
                "detected_event_time": self.detected_event_time,
                "position": self.position,
                "policy_version": self.policy_version,
                "model_version": self.model_version,
            },
        });
        if self.guidance != Guidance::default() {
            finding["unmapped"]["guidance"] = json!(self.guidance);
        }
        if self.handling != Handling::default() {
            finding["unmapped"]["handling"] = json!(self.handling);
        }
        finding
    }

    /// New, in progress or resolved: by what people decided, else by the kind of revision.
    const fn status_id(&self) -> u32 {
        match (self.handling.state, self.alert_type) {
            (Some(IncidentState::Closed), _) | (_, AlertType::Resolved) => 4,
            (Some(IncidentState::Acknowledged), _) => 2,
            (_, AlertType::Opened) => 1,
            (_, AlertType::Updated) => 2,
            (_, AlertType::RevocationRequested | AlertType::SuspensionRequested) => 2,
        }
    }

    fn finding_info(&self) -> Value {
        let mut info = json!({
            "uid": self.id,
            "title": self.title,
            "desc": self.explanation,
            "types": self.detectors,
            "first_seen_time": milliseconds(self.first_event_time),
            "last_seen_time": milliseconds(self.last_event_time),
            "modified_time": milliseconds(self.detected_at),
        });
        if let Some((strongest, others)) = self.detectors.split_first() {
            info["analytic"] = analytic(*strongest);
            info["related_analytics"] = others.iter().copied().map(analytic).collect();
        }
        if let Some(attacks) = Attacks::of(&self.detectors) {
            info["attacks"] = attacks.techniques.iter().map(|it| technique(it)).collect();
        }
        info
    }

    fn resources(&self) -> Value {
        let keys = self.key_id.iter().chain(&self.affected_keys);
        keys.map(|key| json!({ "uid": key, "type": "API key" })).collect()
    }

    fn evidence_object(&self, evidence: &Evidence) -> Value {
        let mut object = json!({ "data": evidence });
        if let Some(ip) = self.source_ip {
            object["src_endpoint"] = json!({ "ip": ip });
        }
        object
    }
}

const fn activity_id(alert_type: AlertType) -> u32 {
    match alert_type {
        AlertType::Opened => 1,
        AlertType::Updated | AlertType::RevocationRequested | AlertType::SuspensionRequested => 2,
        AlertType::Resolved => 3,
    }
}

const fn severity_id(severity: Severity) -> u32 {
    match severity {
        Severity::Low => 2,
        Severity::Medium => 3,
        Severity::High => 4,
        Severity::Critical => 5,
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

fn analytic(detector: DetectorId) -> Value {
    json!({ "uid": detector, "name": detector, "type_id": STATISTICAL, "type": "Statistical" })
}

/// An `attack` of OCSF: a technique, and its part if the id names one.
fn technique(id: &str) -> Value {
    let whole = id.split('.').next().unwrap_or(id);
    let mut attack = json!({ "version": ATTACK_VERSION, "technique": { "uid": whole } });
    if whole != id {
        attack["sub_technique"] = json!({ "uid": id });
    }
    attack
}

/// OCSF times are milliseconds since the epoch.
const fn milliseconds(time: EventTime) -> i64 {
    time.as_micros().div_euclid(1_000)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;

    #[test]
    fn findings_keep_their_form() {
        let mut finding = fixtures::alert("impossible_travel").to_ocsf();
        finding["metadata"]["product"]["version"] = "[version]".into();
        insta::assert_json_snapshot!(finding);
    }

    /// The attributes that the schema marks as required for the class, `metadata`,
    /// `finding_info` and `analytic`, and the rules between them.
    #[test]
    fn every_alert_has_what_the_schema_requires() {
        for name in ["impossible_travel", "revocation_requested", "hostile", "source_resolved"] {
            let finding = fixtures::alert(name).to_ocsf();
            for required in [
                "/activity_id",
                "/category_uid",
                "/class_uid",
                "/type_uid",
                "/severity_id",
                "/time",
                "/metadata/version",
                "/metadata/product/name",
                "/finding_info/uid",
                "/finding_info/analytic/type_id",
            ] {
                assert!(finding.pointer(required).is_some(), "{name} lacks {required}");
            }
            let number = |field: &str| finding[field].as_u64();
            assert_eq!(
                number("type_uid"),
                number("activity_id").map(|activity| 2004 * 100 + activity)
            );
        }
    }

    #[test]
    fn attacks_are_techniques_with_their_version() {
        let mut alert = fixtures::alert("impossible_travel");
        alert.detectors = vec![crate::alert::DetectorId::CredentialStuffing];
        let attack = &alert.to_ocsf()["finding_info"]["attacks"][0];
        assert_eq!(
            (&attack["technique"]["uid"], &attack["version"]),
            (&"T1110".into(), &"19".into())
        );
        assert_eq!(attack["sub_technique"]["uid"], "T1110.004");
    }

    #[test]
    fn the_life_of_an_incident_is_create_update_close() {
        for (name, activity, status) in
            [("impossible_travel", 1, 1), ("revocation_requested", 2, 2), ("source_resolved", 3, 4)]
        {
            let finding = fixtures::alert(name).to_ocsf();
            assert_eq!(finding["activity_id"], activity, "{name}");
            assert_eq!(finding["status_id"], status, "{name}");
        }
    }
}
