//! What was delivered where, and what still has to be.

use clickhouse::Row;
use serde::{Serialize, Serializer};

use super::{Store, StoreError};
use crate::alert::Alert;
use crate::event::EventTime;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    Delivered,
    /// Another attempt follows.
    Failed,
    /// No further attempt will be made.
    GaveUp,
}

impl DeliveryOutcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::GaveUp => "gave_up",
        }
    }
}

/// One attempt to deliver one revision of an alert on one channel.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize)]
pub struct DeliveryRow {
    pub alert_id: String,
    pub revision: u32,
    /// `email`, `webhook`, `topic`.
    pub channel: String,
    /// From 1.
    pub attempt: u32,
    #[serde(serialize_with = "outcome_text")]
    pub outcome: DeliveryOutcome,
    /// A sentence for a person: the answer of the other side, without secrets.
    pub detail: String,
    #[serde(serialize_with = "micros")]
    pub time: EventTime,
    /// The same for all attempts, so that a receiver can deduplicate.
    pub webhook_id: String,
}

fn outcome_text<S: Serializer>(outcome: &DeliveryOutcome, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(outcome.as_str())
}

fn micros<S: Serializer>(time: &EventTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_i64(time.as_micros())
}

impl Store {
    /// Records one attempt. Recording the same attempt again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`]; retryable ones are worth waiting for.
    pub async fn record_delivery(&self, row: &DeliveryRow) -> Result<(), StoreError> {
        self.insert::<DeliveryRow>("deliveries", "", [row.clone()]).await
    }

    /// Revisions detected (by the wall clock) since `since` that `channel` has neither
    /// delivered nor given up, oldest first. The severity a channel wants is not looked at.
    ///
    /// # Errors
    /// [`StoreError`]; retryable ones are worth waiting for.
    pub async fn undelivered_alerts(
        &self,
        channel: &str,
        since: EventTime,
    ) -> Result<Vec<Alert>, StoreError> {
        let sql = "SELECT id, alert FROM alerts FINAL \
                   WHERE detected_at >= fromUnixTimestamp64Micro(?) AND (id, revision) NOT IN ( \
                       SELECT alert_id, revision FROM deliveries \
                       WHERE channel = ? AND outcome IN ('delivered', 'gave_up')) \
                   ORDER BY detected_at, id, revision";
        let rows: Vec<AlertJson> = self
            .client
            .query(sql)
            .bind(since.as_micros())
            .bind(channel)
            .fetch_all()
            .await
            .map_err(|error| self.error("reading undelivered alerts", &error))?;
        rows.into_iter().map(AlertJson::parse).collect()
    }
}

#[derive(Row, serde::Deserialize)]
struct AlertJson {
    id: String,
    alert: String,
}

impl AlertJson {
    fn parse(self) -> Result<Alert, StoreError> {
        serde_json::from_str(&self.alert)
            .map_err(|reason| StoreError::AlertJson { id: self.id, reason })
    }
}
