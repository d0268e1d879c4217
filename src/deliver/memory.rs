//! A delivery log in memory serves tests and runs without a store.

use std::collections::BTreeMap;
use std::convert::Infallible;

use parking_lot::{Mutex, MutexGuard};

use super::DeliveryLog;
use super::inbox::Worth;
use crate::alert::Alert;
use crate::deliver::record::{DeliveryOutcome, DeliveryRow};
use crate::event::EventTime;

#[derive(Default)]
pub struct MemoryLog {
    contents: Mutex<Contents>,
}

#[derive(Default)]
struct Contents {
    alerts: BTreeMap<(String, u32), Alert>,
    rows: Vec<DeliveryRow>,
}

impl MemoryLog {
    /// Adds `alert`, as the service does by writing it to the store.
    pub fn store(&self, alert: &Alert) {
        self.lock().alerts.insert((alert.id.clone(), alert.revision), alert.clone());
    }

    /// All attempts so far, in order.
    pub fn rows(&self) -> Vec<DeliveryRow> {
        self.lock().rows.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock()
    }
}

impl DeliveryLog for MemoryLog {
    type Error = Infallible;

    async fn record_deliveries(&self, rows: &[DeliveryRow]) -> Result<(), Infallible> {
        self.lock().rows.extend_from_slice(rows);
        Ok(())
    }

    async fn undelivered_alerts(
        &self,
        channel: &str,
        since: EventTime,
        limit: usize,
    ) -> Result<Vec<Alert>, Infallible> {
        let contents = self.lock();
        let settled = |alert: &Alert| {
            contents.rows.iter().any(|row| {
                row.channel == channel
                    && row.alert_id == alert.id
                    && row.revision == alert.revision
                    && row.outcome != DeliveryOutcome::Failed
            })
        };
        let undelivered = contents.alerts.values().filter(|alert| alert.detected_at >= since);
        let mut undelivered: Vec<_> = undelivered.filter(|alert| !settled(alert)).collect();
        undelivered.sort_by_key(|alert| (Worth::of(alert), alert.detected_at));
        Ok(undelivered.into_iter().take(limit).cloned().collect())
    }
}
