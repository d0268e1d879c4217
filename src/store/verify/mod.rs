//! Verifies that the rows of a repeated batch are there.
//!
//! The server takes an insert for a repetition when its log of tokens has the token. It writes that
//! log before the rows become visible: a server that is killed in between knows the token of rows
//! that it does not have. This holds for each table by itself, the rollups too. After a repeated
//! insert, the store therefore looks for the rows, and stores missing ones again.

mod copy;
mod rollups;

use std::collections::BTreeSet;

use super::insert::{EVENTS, Stopped};
use super::{AlertRow, AttemptRow, RejectionRow, Store, StoreError, StoredBatch};
use crate::event::{DAY_SECONDS, EventTime};
use rollups::ROLLUPS;

/// The identifier of a partition of a table: a day or a month. The rows of a batch in one partition
/// are one part, which is there as a whole or not at all.
type PartitionName = String;

/// The first and the last time.
type Times = (EventTime, EventTime);

const LOOKING: &str = "looking for a repeated batch";

/// Days since 1970, as ClickHouse counts them. `None` beyond its calendar, where days share a
/// partition.
fn day_number(time: EventTime) -> Option<u16> {
    u16::try_from(time.as_micros().div_euclid(DAY_SECONDS as i64 * 1_000_000)).ok()
}

impl Store {
    /// Stores what a repeated batch should have stored and did not.
    pub(super) async fn complete(
        &self,
        batch: &StoredBatch<'_>,
        token: &str,
    ) -> Result<(), Stopped> {
        self.complete_events(batch, token).await?;
        let token = format!("{token}/again");
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

    /// The raw rows first: they tell what the rollups must have.
    async fn complete_events(&self, batch: &StoredBatch<'_>, token: &str) -> Result<(), Stopped> {
        let Some(times) = self.kept_times(batch) else { return Ok(()) };
        let lost = self.lost_days(batch, times).await?;
        self.store_again(batch, token, EVENTS, lost).await?;
        for rollup in &ROLLUPS {
            let lost = self.lost_of_rollup(batch, times, rollup).await?;
            self.store_again(batch, token, rollup.table, lost).await?;
        }
        Ok(())
    }

    /// The first and last times of the batch's events. Events that the retention has deleted, or is
    /// about to, are not missing.
    fn kept_times(&self, batch: &StoredBatch<'_>) -> Option<Times> {
        let kept_from = self.kept_from(EventTime::now().plus_seconds(DAY_SECONDS));
        let times = || batch.events.iter().map(|event| event.event.time);
        let kept = || times().filter(|time| *time >= kept_from);
        Some((kept().min()?, kept().max()?))
    }

    /// The days of the batch of which no event is stored.
    async fn lost_days(
        &self,
        batch: &StoredBatch<'_>,
        times: Times,
    ) -> Result<Vec<PartitionName>, StoreError> {
        let days =
            batch.events.iter().map(|event| event.event.time).filter(|time| *time >= times.0);
        let days: BTreeSet<u16> = days.filter_map(day_number).collect();
        let sql = "SELECT toString(toYYYYMMDD(toDate(day))) FROM (SELECT arrayJoin(?) AS day) \
                   WHERE toDate(day) NOT IN (SELECT toDate(time) FROM access_events \
                   WHERE topic = ? AND partition = ? AND record_offset BETWEEN ? AND ?)";
        let query = self.client.query(sql).bind(days.into_iter().collect::<Vec<_>>());
        let query = query.bind(&*batch.partition.topic).bind(batch.partition.partition);
        let query = query.bind(batch.first_offset).bind(batch.last_offset);
        let lost: Result<Vec<PartitionName>, _> = query.fetch_all().await;
        lost.map_err(|error| self.error(LOOKING, &error))
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
        Ok(found.map_err(|error| self.error(LOOKING, &error))? > 0)
    }
}
