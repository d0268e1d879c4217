//! Verifies that the rows of a repeated batch are there.
//!
//! The server takes an insert for a repetition when its log of tokens has the token. It writes that
//! log before the rows become visible: a server that is killed in between knows the token of rows
//! that it does not have. After a repeated insert, the store therefore looks for the rows, and
//! inserts missing ones under another token. (Rollups are written after the raw rows, so they lack
//! the same rows.)

use std::collections::BTreeSet;

use super::insert::Stopped;
use super::{AlertRow, AttemptRow, RejectionRow, Store, StoreError, StoredBatch};
use crate::event::{DAY_SECONDS, EnrichedEvent, EventTime};

/// Days since 1970, as ClickHouse counts them. A day is a partition of the table, and the rows of
/// a batch in one partition are there as a whole or not at all.
type Day = u16;

fn day(event: &EnrichedEvent) -> Day {
    let days = event.event.time.as_micros().div_euclid(DAY_SECONDS as i64 * 1_000_000);
    Day::try_from(days).unwrap_or_default()
}

impl Store {
    /// Inserts what a repeated batch should have stored and did not.
    pub(super) async fn complete(
        &self,
        batch: &StoredBatch<'_>,
        token: &str,
    ) -> Result<(), Stopped> {
        let token = format!("{token}/again");
        let missing = self.missing_days(batch).await?;
        if !missing.is_empty() {
            let days = missing.len();
            tracing::warn!(token, days, "the server knows a batch that it lost: writing it again");
            let rows = super::write::event_rows(batch)
                .zip(batch.events)
                .filter(|(_, event)| missing.contains(&day(event)))
                .map(|(row, _)| row);
            self.insert_events(batch, &token, rows).await?;
        }
        if !batch.rejections.is_empty() && !self.has_rows_of("rejected_events", batch).await? {
            let rows: Vec<_> =
                batch.rejections.iter().map(|r| RejectionRow::new(batch.partition, r)).collect();
            self.insert_owned::<RejectionRow<'_>>(batch, "rejected_events", &token, rows).await?;
        }
        if !batch.attempts.is_empty() && !self.has_rows_of("source_attempts", batch).await? {
            let rows: Vec<_> = batch.attempts.iter().map(AttemptRow::from).collect();
            self.insert_owned::<AttemptRow<'_>>(batch, "source_attempts", &token, rows).await?;
        }
        self.complete_alerts(batch, &token).await
    }

    async fn complete_alerts(&self, batch: &StoredBatch<'_>, token: &str) -> Result<(), Stopped> {
        let ids: Vec<&str> = batch.alerts.iter().map(|alert| alert.id.as_str()).collect();
        let known = self.known_revisions(&ids).await?;
        let rows = self.alert_rows(batch.alerts)?.into_iter().zip(batch.alerts);
        let missing = rows
            .filter(|(_, alert)| !known.contains(&(alert.id.clone(), alert.revision)))
            .map(|(row, _)| row);
        let missing: Vec<_> = missing.collect();
        self.insert_owned::<AlertRow<'_>>(batch, "alerts", token, missing).await
    }

    /// The days of which no event of the batch is stored. Events that the retention has deleted, or
    /// is about to, are not missing.
    async fn missing_days(&self, batch: &StoredBatch<'_>) -> Result<BTreeSet<Day>, StoreError> {
        let kept_from = self.kept_from(EventTime::now().plus_seconds(DAY_SECONDS));
        let kept = batch.events.iter().filter(|event| event.event.time >= kept_from);
        let mut days: BTreeSet<Day> = kept.map(day).collect();
        if days.is_empty() {
            return Ok(days);
        }
        let sql = "SELECT DISTINCT toUInt16(toDate(time)) FROM access_events WHERE topic = ? \
                   AND partition = ? AND record_offset BETWEEN ? AND ? \
                   AND toUInt16(toDate(time)) IN ?";
        let query = self.client.query(sql).bind(&*batch.partition.topic);
        let query = query.bind(batch.partition.partition);
        let query = query.bind(batch.first_offset).bind(batch.last_offset);
        let wanted: Vec<Day> = days.iter().copied().collect();
        let found: Result<Vec<Day>, _> = query.bind(wanted).fetch_all().await;
        for day in found.map_err(|error| self.error("looking for a repeated batch", &error))? {
            days.remove(&day);
        }
        Ok(days)
    }

    async fn has_rows_of(&self, table: &str, batch: &StoredBatch<'_>) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT count() FROM (SELECT 1 FROM {table} WHERE topic = ? AND partition = ? \
             AND record_offset BETWEEN ? AND ? LIMIT 1)"
        );
        let query = self.client.query(&sql).bind(&*batch.partition.topic);
        let query = query.bind(batch.partition.partition);
        let query = query.bind(batch.first_offset).bind(batch.last_offset);
        let found: Result<u64, _> = query.fetch_one().await;
        Ok(found.map_err(|error| self.error("looking for a repeated batch", &error))? > 0)
    }
}
