//! Gives a template what it may say about an alert.

use serde_json::{Value, json};

use crate::alert::{Alert, AlertType, IncidentState};
use crate::deliver::delivery_id;
use crate::facts::{plain_id, what_was_done};
use crate::text::visible;

/// What a pager does with the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Trigger,
    Acknowledge,
    Resolve,
}

impl Event {
    pub(super) fn of(alert: &Alert) -> Self {
        match (alert.alert_type, alert.handling.state) {
            (AlertType::Resolved, _) | (_, Some(IncidentState::Closed)) => Self::Resolve,
            (_, Some(IncidentState::Acknowledged)) => Self::Acknowledge,
            _ => Self::Trigger,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Acknowledge => "acknowledge",
            Self::Resolve => "resolve",
        }
    }
}

/// All names that a template knows. Each is always there, so that a mistyped one is an error; what
/// does not apply is `none`. Characters that cannot be seen appear as their codes, except in `alert`
/// and `ocsf`, which are the whole alert for machines.
pub(super) fn context(alert: &Alert, secret: &str) -> Value {
    let text = |text: &Option<String>| text.as_deref().map(visible);
    let key = &alert.guidance.key;
    let known = |text: &String| (!text.is_empty()).then(|| visible(text));
    json!({
        "id": plain_id(alert),
        "revision": alert.revision,
        "delivery_id": delivery_id(alert),
        "type": alert.alert_type,
        "event": Event::of(alert).as_str(),
        "is_request": alert.alert_type.is_request(),
        "is_resolved": alert.alert_type == AlertType::Resolved,
        "state": alert.handling.state.unwrap_or(IncidentState::Open),
        "assignee": text(&alert.handling.assignee),
        "subject": subject(alert),
        "key_id": alert.key_id.as_deref().map(visible),
        "source_ip": alert.source_ip,
        "tenant": text(&alert.tenant),
        "environment": known(&key.environment),
        "class": known(&key.class),
        "severity": alert.severity,
        "risk": alert.risk.round() as i64,
        "confidence": alert.confidence,
        "action": alert.action,
        "restraint": alert.restraint,
        "rule": text(&alert.guidance.rule),
        "playbook": text(&alert.guidance.playbook),
        "title": visible(&alert.title),
        "explanation": visible(&alert.explanation),
        "what_was_done": what_was_done(alert),
        "detectors": alert.detectors,
        "first_event_time": alert.first_event_time,
        "last_event_time": alert.last_event_time,
        "detected_at": alert.detected_at,
        "detected_epoch": alert.detected_at.as_micros() as f64 / 1e6,
        "command": format!("keywatch alerts show {}", plain_id(alert)),
        "secret": secret,
        "alert": alert,
        "ocsf": alert.to_ocsf(),
    })
}

/// Whom the alert is about, for fields that must not be empty.
fn subject(alert: &Alert) -> String {
    match (&alert.key_id, alert.source_ip) {
        (Some(key), _) => visible(key),
        (None, Some(ip)) => ip.to_string(),
        (None, None) => "keywatch".to_owned(),
    }
}
