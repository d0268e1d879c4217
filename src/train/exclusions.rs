//! Excludes hours from training in which a key was, or may have been, in the wrong hands.

use std::collections::HashMap;

use crate::alert::Alert;
use crate::backtest::labels::Label;
use crate::event::{EventTime, KeyId};
use crate::profile::behaviour::WINDOW_SECONDS;

/// Why a span of a key's time is excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A label names a known attack.
    Label,
    /// The key had an open incident.
    Incident,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: EventTime,
    end: EventTime,
    cause: Cause,
}

/// Spans of event time in which a key is excluded from training.
#[derive(Clone, Debug, Default)]
pub struct Exclusions(HashMap<KeyId, Vec<Span>>);

impl Exclusions {
    pub fn add_labels(&mut self, labels: &[Label]) {
        for label in labels {
            if let Some(key_id) = &label.key_id {
                self.add(key_id, Span { start: label.start, end: label.end, cause: Cause::Label });
            }
        }
    }

    /// Excludes each incident from its first evidence to its last. Revisions may be added in any
    /// number of calls.
    pub fn add_incidents(&mut self, alerts: &[Alert]) {
        for alert in alerts {
            let span = Span {
                start: begin(alert),
                end: alert.last_event_time.max(alert.detected_event_time),
                cause: Cause::Incident,
            };
            for key_id in alert.key_id.iter().chain(&alert.affected_keys) {
                self.add(key_id, span);
            }
        }
    }

    fn add(&mut self, key_id: &KeyId, span: Span) {
        self.0.entry(key_id.clone()).or_default().push(span);
    }

    /// Why the key's window `index` is excluded; a label takes precedence over an incident.
    pub fn of_window(&self, key_id: &KeyId, index: i32) -> Option<Cause> {
        let start = i64::from(index) * WINDOW_SECONDS;
        let (start, end) =
            (EventTime::from_seconds(start), EventTime::from_seconds(start + WINDOW_SECONDS));
        let spans = self.0.get(key_id).into_iter().flatten();
        let mut causes: Vec<Cause> = spans
            .filter(|span| span.start < end && start <= span.end)
            .map(|span| span.cause)
            .collect();
        causes.sort_by_key(|cause| *cause as u8);
        causes.first().copied()
    }
}

/// The time of the incident's first evidence; for evidence about a whole window, the start of that
/// window.
fn begin(alert: &Alert) -> EventTime {
    let windows = alert.evidence.iter().filter_map(|evidence| evidence.fields.get("window_start"));
    let starts = windows.filter_map(|start| serde_json::from_value(start.clone()).ok());
    starts.fold(alert.first_event_time, EventTime::min)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An incident of the key `a`, from 10:10 to 11:20 on the first of January.
    fn incident(evidence: &serde_json::Value) -> Alert {
        serde_json::from_value(json!({
            "id": "inc_1", "revision": 1, "type": "alert.opened", "key_id": "a",
            "affected_keys": ["b"], "severity": "high", "risk": 80.0, "confidence": 0.9,
            "action": "notify", "dry_run": true, "title": "", "explanation": "",
            "detectors": [], "evidence": evidence,
            "first_event_time": "2026-01-01T10:10:00Z", "last_event_time": "2026-01-01T11:20:00Z",
            "detected_event_time": "2026-01-01T10:12:00Z", "detected_at": "2026-01-01T10:12:01Z",
            "position": {"topic": "t", "partition": 0, "first_offset": 1, "last_offset": 2},
            "policy_version": "", "model_version": "",
        }))
        .unwrap()
    }

    /// The hours of that day in which the key is excluded.
    fn excluded(exclusions: &Exclusions, key: &str) -> Vec<i32> {
        let midnight = 1_767_225_600 / 3_600;
        let is_out = |hour: &i32| {
            exclusions.of_window(&key.into(), midnight + hour) == Some(Cause::Incident)
        };
        (0..24).filter(is_out).collect()
    }

    #[test]
    fn an_incident_leaves_out_all_hours_that_it_touches_of_all_its_keys() {
        let mut exclusions = Exclusions::default();
        exclusions.add_incidents(&[incident(&json!([]))]);
        assert_eq!(excluded(&exclusions, "a"), [10, 11]);
        assert_eq!(excluded(&exclusions, "b"), [10, 11]);
        assert!(excluded(&exclusions, "c").is_empty());
    }

    #[test]
    fn an_outlier_is_told_after_its_window_and_leaves_that_out_too() {
        let outlier = json!([{
            "detector": "behaviour.outlier", "score": 60.0, "p_value": 1e-6,
            "window_start": "2026-01-01T09:00:00Z",
        }]);
        let mut exclusions = Exclusions::default();
        exclusions.add_incidents(&[incident(&outlier)]);
        assert_eq!(excluded(&exclusions, "a"), [9, 10, 11]);
    }
}
