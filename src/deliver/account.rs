//! Logs and counts the outcome of each attempt to deliver an alert.

use metrics::{counter, histogram};
use tracing::{debug, error, info, warn};

use super::delivery_id;
use super::pending::Waiting;
use super::record::{DeliveryOutcome, DeliveryRow};
use crate::alert::Severity;
use crate::event::EventTime;

/// Returns the row of the attempt, for the store.
pub(super) fn account(
    channel: &'static str,
    waiting: &Waiting,
    outcome: DeliveryOutcome,
    detail: &str,
) -> DeliveryRow {
    let alert = &waiting.alert;
    let row = DeliveryRow {
        alert_id: alert.id.clone(),
        revision: alert.revision,
        channel: channel.to_owned(),
        attempt: waiting.attempts,
        outcome,
        detail: detail.to_owned(),
        time: EventTime::now(),
        webhook_id: delivery_id(alert),
    };
    log(&row, alert.severity);
    counter!("keywatch_deliveries_total", "channel" => channel, "outcome" => outcome.as_str())
        .increment(1);
    match outcome {
        DeliveryOutcome::Delivered => {
            histogram!("keywatch_event_to_delivery_seconds", "channel" => channel)
                .record(row.time.seconds_since(alert.detected_event_time));
        }
        DeliveryOutcome::KeptQuiet => {
            let severity = alert.severity.as_str();
            counter!("keywatch_kept_quiet_total", "channel" => channel, "severity" => severity)
                .increment(1);
        }
        DeliveryOutcome::Suppressed => {
            let severity = alert.severity.as_str();
            counter!("keywatch_suppressed_total", "channel" => channel, "severity" => severity)
                .increment(1);
        }
        _ => {}
    }
    row
}

fn log(row: &DeliveryRow, severity: Severity) {
    let DeliveryRow { alert_id: id, revision, channel, attempt, detail, .. } = row;
    match row.outcome {
        DeliveryOutcome::Delivered => {
            info!(channel, id, revision, attempt, detail, "alert delivered");
        }
        DeliveryOutcome::Failed => {
            warn!(channel, id, revision, attempt, detail, "delivery failed");
        }
        DeliveryOutcome::GaveUp => {
            error!(channel, id, revision, attempt, detail, "delivery given up");
        }
        DeliveryOutcome::Skipped => debug!(channel, id, revision, detail, "alert skipped"),
        DeliveryOutcome::KeptQuiet if severity == Severity::Critical => {
            warn!(channel, id, revision, detail, "critical alert kept quiet");
        }
        DeliveryOutcome::KeptQuiet => info!(channel, id, revision, detail, "alert kept quiet"),
        DeliveryOutcome::Suppressed if severity == Severity::Critical => {
            warn!(channel, id, revision, detail, "critical alert suppressed");
        }
        DeliveryOutcome::Suppressed => info!(channel, id, revision, detail, "alert suppressed"),
        DeliveryOutcome::Withdrawn => {
            warn!(channel, id, revision, detail, "request withdrawn");
        }
    }
}
