//! Builds the alert that saved state was lost. Pure.

use serde_json::{Map, json};

use super::checkpoints::Loss;
use super::watchdog::{Finding, Notice, incident_id};
use crate::alert::{Alert, AlertPosition, AlertType, DetectorId, Severity};
use crate::event::EventTime;
use crate::record::RawBatch;
use crate::text;

/// `batch` is the first one that continues without the lost state.
pub fn alert(loss: Loss, batch: &RawBatch, policy_version: &str, now: EventTime) -> Alert {
    let (first_offset, last_offset) = batch.offsets().unwrap_or_default();
    let (topic, partition) = (batch.partition.topic.clone(), batch.partition.partition);
    let (lost, headline) = match loss {
        Loss::Everything => (json!("everything"), "what it knew of these keys".to_owned()),
        Loss::Profiles(lost) => (json!(lost), format!("{} profiles", text::count(lost as usize))),
    };
    let finding = Finding {
        since: now,
        headline: format!("{headline} of {topic}/{partition} cannot be read"),
        sentence: format!(
            "The saved state of {topic}/{partition} is damaged or of another version: {headline} \
             cannot be read. These keys are new to Keywatch until their traffic has taught it again. \
             The log of the process names the round and the reason (\"saved state is not used\")."
        ),
        position: AlertPosition { topic, partition, first_offset, last_offset },
        observed: if let Loss::Profiles(lost) = loss { lost as f64 } else { 1.0 },
        expected: 0.0,
        p_value: 1e-9,
        fields: Map::from_iter([("lost".to_owned(), lost)]),
    };
    let notice = Notice {
        detector: DetectorId::MonitorDegraded,
        severity: Severity::High,
        title: format!("Keywatch has lost saved state: {}", finding.headline),
        explanation: finding.sentence.clone(),
        policy_version,
    };
    let id = incident_id("degraded", &finding);
    notice.alert(&id, 1, AlertType::Opened, &finding, now)
}
