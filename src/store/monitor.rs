//! Answers the queries of the service about itself.

use clickhouse::Row;
use serde::Deserialize;

use super::{AlertRow, Store, StoreError, analyst_query};
use crate::alert::Alert;
use crate::event::EventTime;

/// The findings that the query `completeness` can return about the ledger.
const FINDINGS: [&str; 4] = ["gap", "overlap", "in doubt", "behind"];

#[derive(Row, Deserialize)]
struct Usual {
    yesterday: u64,
    a_week_ago: u64,
    is_week_known: bool,
}

impl Store {
    /// Returns the time at which any process stored the last batch.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn last_batch_time(&self) -> Result<Option<EventTime>, StoreError> {
        let sql = "SELECT toUnixTimestamp64Micro(maxOrNull(time)) FROM ingest_batches \
                   WHERE state = 'done'";
        let micros: Option<i64> = self.ask("reading the ledger", sql).await?;
        Ok(micros.map(EventTime::from_micros))
    }

    /// Returns the usual requests per hour at this time of day: the smaller number of yesterday's
    /// and last week's.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn usual_requests_an_hour(&self) -> Result<f64, StoreError> {
        let sql = "WITH toStartOfHour(now()) AS this \
                   SELECT sumIf(requests, hour = this - INTERVAL 1 DAY) AS yesterday, \
                   sumIf(requests, hour = this - INTERVAL 7 DAY) AS a_week_ago, \
                   countIf(hour <= this - INTERVAL 7 DAY) > 0 AS is_week_known \
                   FROM key_usage_hour WHERE hour >= this - INTERVAL 14 DAY";
        let usual: Usual = self.ask("reading what traffic is usual", sql).await?;
        let Usual { yesterday, a_week_ago, is_week_known } = usual;
        let least = if is_week_known { yesterday.min(a_week_ago) } else { yesterday };
        Ok(least as f64)
    }

    /// Returns the number of each finding of the query `completeness` for the last day.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ledger_findings(&self) -> Result<[(&'static str, usize); 4], StoreError> {
        let Some(query) = analyst_query("completeness") else {
            return Ok(FINDINGS.map(|f| (f, 0)));
        };
        let table = self.query_table(query.sql, &[("days", "1")]).await?;
        let at = table.columns.iter().position(|column| column == "finding").unwrap_or_default();
        let found = |name: &str| table.rows.iter().filter(|row| row[at] == name).count();
        Ok(FINDINGS.map(|name| (name, found(name))))
    }

    /// Writes an alert that is not part of a batch. Waits while ClickHouse is unavailable. Writing
    /// the same revision twice gives one row.
    ///
    /// # Errors
    /// Errors that a retry cannot fix.
    pub async fn write_alert_until_done(&self, alert: &Alert) -> Result<(), StoreError> {
        self.until_available(async || {
            let row = AlertRow::new(alert, &self.owner)
                .map_err(|reason| StoreError::AlertJson { id: alert.id.clone(), reason })?;
            let token = format!("{}/{}", alert.id, alert.revision);
            self.insert::<AlertRow<'_>>("alerts", &token, [row]).await
        })
        .await
    }

    async fn ask<T: clickhouse::RowOwned + clickhouse::RowRead>(
        &self,
        doing: &str,
        sql: &str,
    ) -> Result<T, StoreError> {
        self.client.query(sql).fetch_one().await.map_err(|error| self.error(doing, &error))
    }
}
