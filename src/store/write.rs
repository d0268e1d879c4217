//! One batch into the tables, so that writing it again changes nothing.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use clickhouse::{Row, RowWrite};

use super::ledger::{BatchState, LedgerRow, token};
use super::{AlertRow, EventRow, RejectionRow, Store, StoreError};
use crate::alert::Alert;
use crate::decode::Rejection;
use crate::event::{EnrichedEvent, EventTime, PartitionId};

/// What one contiguous range of offsets became.
///
/// A partition and its offsets name records for ever: two batches of the same bounds are
/// taken for the same batch, whatever they hold, and the second one is not stored. A source
/// whose offsets begin anew needs a new topic name.
#[derive(Clone, Copy, Debug)]
pub struct StoredBatch<'a> {
    pub partition: &'a PartitionId,
    pub first_offset: i64,
    pub last_offset: i64,
    pub events: &'a [EnrichedEvent],
    pub rejections: &'a [Rejection],
    pub alerts: &'a [Alert],
}

/// Settings of every insert.
const INSERT_SETTINGS: [(&str, &str); 8] = [
    // The answer comes when the rows are stored, not when they are queued.
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    // Views follow the token of the batch, and skip it on their own when they have it.
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    // One batch, one block: a batch is stored or not, and never cut in two places.
    ("max_insert_block_size", "100000000"),
    ("min_insert_block_size_rows", "100000000"),
    ("min_insert_block_size_bytes", "0"),
    ("max_insert_threads", "1"),
    // Old log files span many days, which are partitions.
    ("max_partitions_per_insert_block", "0"),
];

const SEND_TIMEOUT: Duration = Duration::from_secs(30);
const END_TIMEOUT: Duration = Duration::from_secs(180);

impl Store {
    /// Writes a batch: ledger intent, events, rejections, alerts, ledger done. Writing the same
    /// batch again, after success, failure or an answer that was lost, changes nothing.
    ///
    /// # Errors
    /// [`StoreError`]; after a retryable one the batch is in doubt and must be written again.
    pub async fn write_batch(&self, batch: &StoredBatch<'_>) -> Result<(), StoreError> {
        let begin = Instant::now();
        let token = token(batch);
        let alerts = alert_rows(batch.alerts)?;
        let partition = batch.partition;
        let events: Vec<_> = batch.events.iter().map(|e| EventRow::new(partition, e)).collect();
        let rejections: Vec<_> =
            batch.rejections.iter().map(|r| RejectionRow::new(partition, r)).collect();

        self.write_ledger(batch, BatchState::Intent, &token).await?;
        self.insert::<EventRow<'_>>("access_events", &token, events).await?;
        self.insert::<RejectionRow<'_>>("rejected_events", &token, rejections).await?;
        self.insert::<AlertRow<'_>>("alerts", &token, alerts).await?;
        self.write_ledger(batch, BatchState::Done, &token).await?;

        count_batch(batch, begin.elapsed());
        Ok(())
    }

    /// Writes a batch, waiting for as long as ClickHouse is unavailable. Cancel safe: a batch
    /// that is given up stays in doubt in the ledger.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn write_batch_until_done(&self, batch: &StoredBatch<'_>) -> Result<(), StoreError> {
        self.until_available(|| self.write_batch(batch)).await
    }

    /// Writes alerts about events that are stored, waiting for as long as ClickHouse is
    /// unavailable.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn write_alerts_until_done(&self, alerts: &[Alert]) -> Result<(), StoreError> {
        self.until_available(|| async {
            // Without a token: the table folds what comes twice.
            self.insert::<AlertRow<'_>>("alerts", "", alert_rows(alerts)?).await
        })
        .await
    }

    /// Which revisions of these alerts are stored.
    ///
    /// # Errors
    /// [`StoreError`]; retryable ones are worth waiting for.
    pub async fn known_revisions(
        &self,
        ids: &[&str],
    ) -> Result<HashSet<(String, u32)>, StoreError> {
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let rows: Vec<(String, u32)> = self
            .client
            .query("SELECT id, revision FROM alerts WHERE id IN ?")
            .bind(ids)
            .fetch_all()
            .await
            .map_err(|error| self.error("reading alerts", &error))?;
        Ok(rows.into_iter().collect())
    }

    async fn write_ledger(
        &self,
        batch: &StoredBatch<'_>,
        state: BatchState,
        token: &str,
    ) -> Result<(), StoreError> {
        let row = LedgerRow::new(batch, state, token, EventTime::now());
        let row_token = format!("{token}/{state:?}");
        self.insert::<LedgerRow<'_>>("ingest_batches", &row_token, [row]).await
    }

    /// Inserts `rows` as one block under `token`. Nothing happens without rows.
    pub(super) async fn insert<'a, R: RowWrite>(
        &self,
        table: &str,
        token: &str,
        rows: impl IntoIterator<Item = <R as Row>::Value<'a>>,
    ) -> Result<(), StoreError> {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let written = async {
            let mut insert = self
                .client
                .insert::<R>(table)
                .await?
                .with_timeouts(Some(SEND_TIMEOUT), Some(END_TIMEOUT))
                .with_setting("insert_deduplication_token", token);
            for (name, value) in INSERT_SETTINGS {
                insert = insert.with_setting(name, value);
            }
            for row in rows {
                insert.write(&row).await?;
            }
            insert.end().await
        };
        written.await.map_err(|error| self.error(&format!("inserting into {table}"), &error))
    }
}

fn alert_rows(alerts: &[Alert]) -> Result<Vec<AlertRow<'_>>, StoreError> {
    let row = |alert| AlertRow::new(alert).map_err(|reason| json_error(alert, reason));
    alerts.iter().map(row).collect()
}

fn json_error(alert: &Alert, reason: serde_json::Error) -> StoreError {
    StoreError::AlertJson { id: alert.id.clone(), reason }
}

fn count_batch(batch: &StoredBatch<'_>, elapsed: Duration) {
    let rows = [
        ("access_events", batch.events.len()),
        ("rejected_events", batch.rejections.len()),
        ("alerts", batch.alerts.len()),
    ];
    for (table, count) in rows {
        metrics::counter!("keywatch_stored_rows_total", "table" => table).increment(count as u64);
    }
    metrics::histogram!("keywatch_store_batch_seconds").record(elapsed.as_secs_f64());
}
