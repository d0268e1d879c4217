//! Keeps the completeness ledger: which offsets of each partition are stored, and which are in
//! doubt.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::{Claim, Store, StoreError, StoredBatch};
use crate::event::{EventTime, PartitionId};

/// Increased when the meaning of stored rows changes. It is stored in the ledger and is not part of
/// the token: an in-doubt batch must be recognised across an upgrade.
const SCHEMA_VERSION: u32 = 1;

/// A batch whose write began and did not finish: none, some or all of its rows may be stored.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct BatchInDoubt {
    pub first_offset: i64,
    /// Included.
    pub last_offset: i64,
    /// The deduplication token of its inserts, which must be used again.
    pub token: String,
}

/// The stored progress of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The highest offset that is known to be stored.
    pub stored_to: Option<i64>,
    /// The batch that must be written again before any other of the partition.
    pub in_doubt: Option<BatchInDoubt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase", const_into_str)]
pub(super) enum BatchState {
    Intent,
    Done,
    /// Abandoned by a writer that found a newer owner, or because the source no longer has its
    /// records. This state is for operators: some rows may be stored, so the batch stays in doubt.
    Abandoned,
}

impl BatchState {
    const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// A row of `ingest_batches`.
#[derive(Clone, Row, Serialize)]
struct LedgerRow<'a> {
    topic: &'a str,
    partition: i32,
    topic_id: &'a str,
    first_offset: i64,
    last_offset: i64,
    state: &'a str,
    schema_version: u32,
    events: u64,
    rejections: u64,
    alerts: u64,
    token: &'a str,
    epoch: u64,
    owner: &'a str,
    log_end: Option<i64>,
    time: i64,
}

impl<'a> LedgerRow<'a> {
    fn new(batch: &'a StoredBatch<'_>, state: BatchState, token: &'a str) -> Self {
        Self {
            topic: &batch.partition.topic,
            partition: batch.partition.partition,
            topic_id: &batch.claim.topic_id,
            first_offset: batch.first_offset,
            last_offset: batch.last_offset,
            state: state.as_str(),
            schema_version: SCHEMA_VERSION,
            events: batch.events.len() as u64,
            rejections: batch.rejections.len() as u64,
            alerts: batch.alerts.len() as u64,
            token,
            epoch: batch.claim.epoch,
            owner: &batch.claim.owner,
            log_end: batch.log_end,
            time: EventTime::now().as_micros(),
        }
    }
}

/// Returns the deduplication token of a new batch, which depends only on its partition and bounds.
pub(super) fn token(batch: &StoredBatch<'_>) -> String {
    let PartitionId { topic, partition } = batch.partition;
    let (first, last) = (batch.first_offset, batch.last_offset);
    match &*batch.claim.topic_id {
        "" => format!("{topic}/{partition}/{first}-{last}"),
        topic_id => format!("{topic}@{topic_id}/{partition}/{first}-{last}"),
    }
}

impl Store {
    pub(super) async fn write_ledger(
        &self,
        batch: &StoredBatch<'_>,
        state: BatchState,
        token: &str,
    ) -> Result<(), StoreError> {
        let row = LedgerRow::new(batch, state, token);
        let Claim { epoch, owner, .. } = batch.claim;
        let row_token = format!("{token}/{epoch}/{owner}/{state:?}");
        self.insert::<LedgerRow<'_>>("ingest_batches", &row_token, [row]).await
    }

    /// Reads the progress of `partition`. Call it after claiming the partition: from then on no
    /// other process begins a batch that the result lacks.
    ///
    /// # Errors
    /// [`StoreError`]; retryable ones are worth waiting for.
    pub async fn progress(
        &self,
        partition: &PartitionId,
        claim: &Claim,
    ) -> Result<Progress, StoreError> {
        let topic_id = self.topic_id_in_ledger(partition, &claim.topic_id).await?;
        let stored_to = self.last_stored_offset(partition, topic_id).await?;
        let in_doubt = self.batch_in_doubt(partition, topic_id, stored_to).await?;
        Ok(Progress { stored_to, in_doubt })
    }

    /// Rows written before topics had IDs belong to the first ID that appears.
    async fn topic_id_in_ledger<'a>(
        &self,
        partition: &PartitionId,
        topic_id: &'a str,
    ) -> Result<&'a str, StoreError> {
        let sql = "SELECT count() FROM (SELECT 1 FROM ingest_batches \
                   WHERE topic = ? AND partition = ? AND topic_id != '' LIMIT 1)";
        let with_id: u64 = self
            .client
            .query(sql)
            .bind(&*partition.topic)
            .bind(partition.partition)
            .fetch_one()
            .await
            .map_err(|error| self.error("reading the ledger", &error))?;
        Ok(if with_id == 0 { "" } else { topic_id })
    }

    /// Reads from the end of the table's order. Batches do not overlap, so the last few have the
    /// highest offsets.
    async fn last_stored_offset(
        &self,
        partition: &PartitionId,
        topic_id: &str,
    ) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT maxOrNull(last_offset) FROM (SELECT last_offset FROM ingest_batches \
                   WHERE topic = ? AND partition = ? AND topic_id = ? AND state = 'done' \
                   ORDER BY first_offset DESC LIMIT 100)";
        self.offset_in_ledger(sql, partition, topic_id).await
    }

    /// Returns the first stored offset of `partition` for the topic of `claim`.
    ///
    /// # Errors
    /// [`StoreError`]; retryable ones are worth waiting for.
    pub async fn stored_from(
        &self,
        partition: &PartitionId,
        claim: &Claim,
    ) -> Result<Option<i64>, StoreError> {
        let topic_id = self.topic_id_in_ledger(partition, &claim.topic_id).await?;
        let sql = "SELECT minOrNull(first_offset) FROM ingest_batches \
                   WHERE topic = ? AND partition = ? AND topic_id = ? AND state = 'done'";
        self.offset_in_ledger(sql, partition, topic_id).await
    }

    async fn offset_in_ledger(
        &self,
        sql: &str,
        partition: &PartitionId,
        topic_id: &str,
    ) -> Result<Option<i64>, StoreError> {
        self.client
            .query(sql)
            .bind(&*partition.topic)
            .bind(partition.partition)
            .bind(topic_id)
            .fetch_one()
            .await
            .map_err(|error| self.error("reading the ledger", &error))
    }

    /// Returns the last unfinished batch of the newest owner. Older owners abandoned the batches
    /// that they began behind it or at offsets that are stored, because they found the newer owner
    /// before they inserted.
    async fn batch_in_doubt(
        &self,
        partition: &PartitionId,
        topic_id: &str,
        stored_to: Option<i64>,
    ) -> Result<Option<BatchInDoubt>, StoreError> {
        let sql = "SELECT first_offset, last_offset, any(token) AS token FROM ingest_batches \
                   WHERE topic = ? AND partition = ? AND topic_id = ? AND first_offset > ? \
                   GROUP BY first_offset, last_offset HAVING countIf(state = 'done') = 0 \
                   ORDER BY max(epoch) DESC, max(time) DESC LIMIT 1";
        self.client
            .query(sql)
            .bind(&*partition.topic)
            .bind(partition.partition)
            .bind(topic_id)
            .bind(stored_to.unwrap_or(i64::MIN))
            .fetch_optional()
            .await
            .map_err(|error| self.error("reading the ledger", &error))
    }

    /// Closes an in-doubt batch whose records the source no longer has, and returns whether it is
    /// stored. It counts as stored when some of its rows are, because a batch is stored as a whole.
    /// A batch that spans several days is an exception: it may be stored in part.
    ///
    /// # Errors
    /// [`StoreError`]; retryable ones are worth waiting for.
    pub async fn settle(
        &self,
        partition: &PartitionId,
        claim: &Claim,
        doubt: &BatchInDoubt,
    ) -> Result<bool, StoreError> {
        let stored = self.rows_of(partition, doubt).await?;
        let batch = StoredBatch {
            first_offset: doubt.first_offset,
            last_offset: doubt.last_offset,
            ..StoredBatch::empty(partition, claim)
        };
        let state = if stored > 0 { BatchState::Done } else { BatchState::Abandoned };
        self.write_ledger(&batch, state, &doubt.token).await?;
        Ok(stored > 0)
    }

    async fn rows_of(
        &self,
        partition: &PartitionId,
        doubt: &BatchInDoubt,
    ) -> Result<u64, StoreError> {
        let sql = "SELECT count() FROM (SELECT 1 FROM access_events WHERE topic = ? \
                   AND partition = ? AND record_offset BETWEEN ? AND ? LIMIT 1)";
        self.client
            .query(sql)
            .bind(&*partition.topic)
            .bind(partition.partition)
            .bind(doubt.first_offset)
            .bind(doubt.last_offset)
            .fetch_one()
            .await
            .map_err(|error| self.error("looking for a batch in doubt", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_of(topic_id: &str, partition: i32, first_offset: i64, last_offset: i64) -> String {
        let partition = PartitionId { topic: "access".into(), partition };
        let claim = Claim { topic_id: topic_id.into(), ..Claim::default() };
        token(&StoredBatch { first_offset, last_offset, ..StoredBatch::empty(&partition, &claim) })
    }

    #[test]
    fn the_token_tells_topics_partitions_and_bounds_apart() {
        assert_eq!(token_of("", 1, 0, 9), "access/1/0-9", "as before topics had IDs");
        assert_ne!(token_of("", 1, 10, 9), token_of("", 11, 0, 9));
        assert_ne!(token_of("", 1, 0, 9), token_of("", 1, 0, 19));
        assert_ne!(token_of("a", 1, 0, 9), token_of("b", 1, 0, 9));
    }
}
