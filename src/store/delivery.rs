//! Records deliveries and finds alerts that are not yet delivered.

use clickhouse::Row;
use serde::{Serialize, Serializer};

use super::heirs::Estate;
use super::{Store, StoreError};
use crate::alert::Alert;
use crate::deliver::DeliveryLog;
use crate::deliver::record::DeliveryRow;
use crate::event::EventTime;

/// Selects the alerts without an outcome that this process must deliver: its own, and those that a
/// gone process left to it.
const UNDELIVERED: &str = "\
    SELECT id, alert FROM alerts FINAL \
    WHERE detected_at >= fromUnixTimestamp64Micro(?) \
        AND (written_by = ? AND toUnixTimestamp64Micro(written_at) > ? \
            OR arrayExists((gone, until) -> \
                written_by = gone AND toUnixTimestamp64Micro(written_at) <= until, \
                CAST(?, 'Array(String)'), CAST(?, 'Array(Int64)'))) \
        AND (id, revision) NOT IN ( \
            SELECT alert_id, revision FROM deliveries \
            WHERE channel = ? AND outcome IN \
                ('delivered', 'gave_up', 'skipped', 'kept_quiet', 'withdrawn', 'suppressed')) \
    ORDER BY multiIf(type IN ('key.revocation_requested', 'key.suspension_requested'), 0, \
        severity = 'critical' OR key_id = '' AND source_ip IS NULL, 1, 2), \
        detected_at, id, revision \
    LIMIT ?";

/// [`DeliveryRow`] in the columns of the table.
#[derive(Clone, Row, Serialize)]
struct Columns<'a> {
    alert_id: &'a str,
    revision: u32,
    channel: &'a str,
    attempt: u32,
    outcome: &'static str,
    detail: &'a str,
    #[serde(serialize_with = "micros")]
    time: EventTime,
    webhook_id: &'a str,
}

impl<'a> From<&'a DeliveryRow> for Columns<'a> {
    fn from(row: &'a DeliveryRow) -> Self {
        Self {
            alert_id: &row.alert_id,
            revision: row.revision,
            channel: &row.channel,
            attempt: row.attempt,
            outcome: row.outcome.as_str(),
            detail: &row.detail,
            time: row.time,
            webhook_id: &row.webhook_id,
        }
    }
}

fn micros<S: Serializer>(time: &EventTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_i64(time.as_micros())
}

impl DeliveryLog for Store {
    type Error = StoreError;

    async fn record_deliveries(&self, rows: &[DeliveryRow]) -> Result<(), StoreError> {
        let rows: Vec<Columns<'_>> = rows.iter().map(Columns::from).collect();
        self.insert::<Columns<'_>>("deliveries", "", rows).await
    }

    async fn undelivered_alerts(
        &self,
        channel: &str,
        since: EventTime,
        limit: usize,
    ) -> Result<Vec<Alert>, StoreError> {
        let Estate { own_since, inherited } = self.estate(since).await?;
        let (gone, until): (Vec<String>, Vec<i64>) = inherited.into_iter().unzip();
        let rows: Vec<AlertJson> = self
            .client
            .query(UNDELIVERED)
            .bind(since.as_micros())
            .bind(&*self.owner)
            .bind(own_since)
            .bind(gone)
            .bind(until)
            .bind(channel)
            .bind(limit)
            .fetch_all()
            .await
            .map_err(|error| self.error("reading undelivered alerts", &error))?;
        rows.into_iter().map(AlertJson::parse).collect()
    }
}

impl Store {
    /// The number of the latest attempt to deliver this revision through `channel`; 0 without any.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn attempts(&self, channel: &str, alert: &Alert) -> Result<u32, StoreError> {
        let sql = "SELECT max(attempt) FROM deliveries \
                   WHERE channel = ? AND alert_id = ? AND revision = ?";
        let query = self.client.query(sql).bind(channel).bind(&alert.id).bind(alert.revision);
        query.fetch_one().await.map_err(|error| self.error("reading deliveries", &error))
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
