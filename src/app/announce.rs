//! Publishes alerts to the delivery channels, and stores those that are not part of a batch.

use metrics::{counter, histogram};
use tracing::info;

use crate::alert::Alert;
use crate::deliver::Outbox;
use crate::event::EventTime;
use crate::store::{Store, StoreError};

/// Stores and publishes the alerts that are not stored yet and returns their number. Waits while
/// ClickHouse is away.
pub async fn publish_missing(
    store: &Store,
    outbox: &Outbox,
    mut alerts: Vec<Alert>,
) -> Result<usize, StoreError> {
    let mut ids: Vec<&str> = alerts.iter().map(|alert| alert.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut stored = store.until_available(|| store.known_revisions(&ids)).await?;
    alerts.retain(|alert| stored.insert((alert.id.clone(), alert.revision)));
    if !alerts.is_empty() {
        store.write_alerts_until_done(&alerts).await?;
        announce(outbox, &alerts);
    }
    Ok(alerts.len())
}

/// Logs stored alerts and passes them to the delivery channels.
pub fn announce(outbox: &Outbox, alerts: &[Alert]) {
    let now = EventTime::now();
    for alert in alerts {
        let (kind, severity) = (alert.alert_type.as_str(), alert.severity.as_str());
        info!(id = alert.id, revision = alert.revision, kind, severity, title = alert.title);
        counter!("keywatch_alerts_total", "type" => kind, "severity" => severity).increment(1);
        histogram!("keywatch_event_to_alert_seconds")
            .record(now.seconds_since(alert.detected_event_time).max(0.0));
        outbox.enqueue(alert.clone());
    }
}
