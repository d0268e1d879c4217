//! The completeness ledger: which offsets of which partition are stored, and which are in doubt.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, StoredBatch};
use crate::event::{EventTime, PartitionId};

/// Bumped when the meaning of stored rows changes. Recorded in the ledger, and no part of the
/// token: a batch in doubt across an upgrade must still be recognised.
const SCHEMA_VERSION: u32 = 1;

/// The first and last offset of a batch, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct BatchBounds {
    pub first_offset: i64,
    pub last_offset: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchState {
    Intent,
    Done,
}

impl BatchState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Done => "done",
        }
    }
}

/// A row of `ingest_batches`.
#[derive(Row, Serialize)]
pub(super) struct LedgerRow<'a> {
    topic: &'a str,
    partition: i32,
    first_offset: i64,
    last_offset: i64,
    state: &'a str,
    schema_version: u32,
    events: u64,
    rejections: u64,
    alerts: u64,
    token: &'a str,
    time: i64,
}

impl<'a> LedgerRow<'a> {
    pub(super) fn new(
        batch: &'a StoredBatch<'_>,
        state: BatchState,
        token: &'a str,
        time: EventTime,
    ) -> Self {
        Self {
            topic: &batch.partition.topic,
            partition: batch.partition.partition,
            first_offset: batch.first_offset,
            last_offset: batch.last_offset,
            state: state.as_str(),
            schema_version: SCHEMA_VERSION,
            events: batch.events.len() as u64,
            rejections: batch.rejections.len() as u64,
            alerts: batch.alerts.len() as u64,
            token,
            time: time.as_micros(),
        }
    }
}

/// The deduplication token of a batch: a function of its partition and bounds alone.
pub(super) fn token(batch: &StoredBatch<'_>) -> String {
    let PartitionId { topic, partition } = batch.partition;
    format!("{topic}/{partition}/{}-{}", batch.first_offset, batch.last_offset)
}

impl Store {
    /// The last batch of `partition` that was begun and not finished. A restart must write
    /// the same bounds again before anything else of the partition.
    ///
    /// # Errors
    /// [`StoreError`]; retryable ones are worth waiting for.
    pub async fn batch_in_doubt(
        &self,
        partition: &PartitionId,
    ) -> Result<Option<BatchBounds>, StoreError> {
        let sql = "SELECT first_offset, last_offset FROM ingest_batches \
                   WHERE topic = ? AND partition = ? \
                   GROUP BY first_offset, last_offset HAVING countIf(state = 'done') = 0 \
                   ORDER BY max(time) DESC LIMIT 1";
        self.client
            .query(sql)
            .bind(&*partition.topic)
            .bind(partition.partition)
            .fetch_optional()
            .await
            .map_err(|error| self.error("reading the ledger", &error))
    }

    /// The highest offset of `partition` that is known to be stored.
    ///
    /// # Errors
    /// [`StoreError`]; retryable ones are worth waiting for.
    pub async fn last_stored_offset(
        &self,
        partition: &PartitionId,
    ) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT maxOrNull(last_offset) FROM ingest_batches \
                   WHERE topic = ? AND partition = ? AND state = 'done'";
        self.client
            .query(sql)
            .bind(&*partition.topic)
            .bind(partition.partition)
            .fetch_one()
            .await
            .map_err(|error| self.error("reading the ledger", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(partition: &PartitionId, first_offset: i64, last_offset: i64) -> StoredBatch<'_> {
        StoredBatch {
            partition,
            first_offset,
            last_offset,
            events: &[],
            rejections: &[],
            alerts: &[],
        }
    }

    #[test]
    fn the_token_tells_partitions_and_bounds_apart() {
        let one = PartitionId { topic: "access".into(), partition: 1 };
        let eleven = PartitionId { topic: "access".into(), partition: 11 };
        assert_eq!(token(&batch(&one, 0, 9)), "access/1/0-9");
        assert_ne!(token(&batch(&one, 10, 9)), token(&batch(&eleven, 0, 9)));
        assert_ne!(token(&batch(&one, 0, 9)), token(&batch(&one, 0, 19)));
    }
}
