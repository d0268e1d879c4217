//! Sends the rows of one table in one request, as one block under a deduplication token.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use clickhouse::error::Result as Sent;
use clickhouse::insert::Insert;
use clickhouse::insert_formatted::{CompressedData, InsertFormatted};
use clickhouse::{Row, RowWrite};

use super::block::Block;
use super::event_columns::event_columns;
use super::{EventRow, Store, StoreError, StoredBatch};

/// Settings of every insert.
const INSERT_SETTINGS: [(&str, &str); 8] = [
    // The server answers when the rows are stored, not when they are queued.
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    // Materialized views use the batch's token and skip a batch on their own when they have it.
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    // One batch is one block: it is stored as a whole or not at all, and never split.
    ("max_insert_block_size", "100000000"),
    ("min_insert_block_size_rows", "100000000"),
    ("min_insert_block_size_bytes", "0"),
    ("max_insert_threads", "1"),
    // Old log files span many days, and each day is a partition of the table.
    ("max_partitions_per_insert_block", "0"),
];

pub(super) const EVENTS: &str = "access_events";

const SEND_TIMEOUT: Duration = Duration::from_secs(30);
const END_TIMEOUT: Duration = Duration::from_secs(180);
/// On a cluster, an insert hangs while ZooKeeper is away. A quorum that is lost takes 20 seconds.
const CLUSTER_END_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a change waits for its turn behind those of other tasks and processes: about ten seconds.
const MOST_TURNS: usize = 60;

impl Store {
    /// Inserts as [`Self::insert`] does, unless another process has claimed the partition.
    ///
    /// The order of the steps is the fence: the request is begun before the owner is looked up, and
    /// its end is sent after that. If a process pauses in between for longer than the server waits
    /// for the rest of a request (`http_receive_timeout`, 30 s), the server discards the request. A
    /// small request may reach the server only with its end; then the intent in the ledger and the
    /// token keep a late one from being stored twice.
    pub(super) async fn insert_owned<'a, R: RowWrite>(
        &self,
        batch: &StoredBatch<'_>,
        table: &str,
        token: &str,
        rows: impl IntoIterator<Item = <R as Row>::Value<'a>> + Clone,
    ) -> Result<(), Stopped> {
        let insert = || self.insert_owned_once::<R>(batch, table, token, rows.clone());
        in_turn(insert, Stopped::is_contended).await
    }

    async fn insert_owned_once<'a, R: RowWrite>(
        &self,
        batch: &StoredBatch<'_>,
        table: &str,
        token: &str,
        rows: impl IntoIterator<Item = <R as Row>::Value<'a>>,
    ) -> Result<(), Stopped> {
        let Some(insert) = self.open_insert::<R>(table, token, rows).await? else {
            return Ok(());
        };
        self.require_owned(batch).await?;
        Ok(self.end_insert(table, insert).await?)
    }

    /// Inserts rows of `access_events` by the same steps, as one block of columns.
    pub(super) async fn insert_events<'a>(
        &self,
        batch: &StoredBatch<'_>,
        token: &str,
        rows: impl Iterator<Item = EventRow<'a>>,
    ) -> Result<(), Stopped> {
        self.insert_events_into(batch, EVENTS, token, rows).await
    }

    /// Inserts into a table that is like `access_events`.
    pub(super) async fn insert_events_into<'a>(
        &self,
        batch: &StoredBatch<'_>,
        table: &str,
        token: &str,
        rows: impl Iterator<Item = EventRow<'a>>,
    ) -> Result<(), Stopped> {
        let failed = |error| self.insert_error(table, &error);
        let block = in_columns(rows).await.map_err(failed)?;
        if block.is_empty() {
            return Ok(());
        }
        let opened = self.open_block(block, table, token).await.map_err(failed)?;
        self.require_owned(batch).await?;
        Ok(opened.end().await.map_err(failed)?)
    }

    /// Sends the block without its last part.
    async fn open_block(
        &self,
        block: Block<EventRow<'_>>,
        table: &str,
        token: &str,
    ) -> Sent<OpenBlock> {
        let mut insert = self
            .client
            .insert_formatted_with(block.insert_into(table))
            .with_timeouts(Some(SEND_TIMEOUT), Some(self.end_timeout()))
            .with_setting("insert_deduplication_token", token);
        if self.cluster.is_some() {
            // Batches of several partitions at once: nobody agrees through these rows. A table has
            // either all its inserts in parallel or none: a sequential read would hide the others.
            insert = insert.with_setting("insert_quorum_parallel", "1");
        }
        for (name, value) in INSERT_SETTINGS {
            insert = insert.with_setting(name, value);
        }
        let mut parts = block.finish()?;
        let last = parts.pop();
        for part in parts {
            insert.send_compressed(part).await?;
        }
        Ok(OpenBlock { insert, last })
    }

    /// A request that is dropped before its end stores nothing.
    async fn require_owned(&self, batch: &StoredBatch<'_>) -> Result<(), Stopped> {
        match self.newer_holder(batch.partition, batch.claim).await? {
            Some(holder) => Err(Stopped::Superseded(holder.owner)),
            None => Ok(()),
        }
    }

    /// Inserts `rows` as one block under `token`. Does nothing without rows.
    pub(super) async fn insert<'a, R: RowWrite>(
        &self,
        table: &str,
        token: &str,
        rows: impl IntoIterator<Item = <R as Row>::Value<'a>> + Clone,
    ) -> Result<(), StoreError> {
        let insert = || self.insert_once::<R>(table, token, rows.clone());
        in_turn(insert, StoreError::is_contended).await
    }

    async fn insert_once<'a, R: RowWrite>(
        &self,
        table: &str,
        token: &str,
        rows: impl IntoIterator<Item = <R as Row>::Value<'a>>,
    ) -> Result<(), StoreError> {
        match self.open_insert::<R>(table, token, rows).await? {
            Some(insert) => self.end_insert(table, insert).await,
            None => Ok(()),
        }
    }

    /// Sends the rows without the end of the request. The server stores nothing until the end
    /// arrives.
    async fn open_insert<'a, R: RowWrite>(
        &self,
        table: &str,
        token: &str,
        rows: impl IntoIterator<Item = <R as Row>::Value<'a>>,
    ) -> Result<Option<Insert<R>>, StoreError> {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return Ok(None);
        }
        let opened = async {
            let mut insert = self
                .client
                .insert::<R>(table)
                .await?
                .with_timeouts(Some(SEND_TIMEOUT), Some(self.end_timeout()))
                .with_setting("insert_deduplication_token", token);
            for (name, value) in INSERT_SETTINGS {
                insert = insert.with_setting(name, value);
            }
            for row in rows {
                insert.write(&row).await?;
            }
            Ok(Some(insert))
        };
        opened.await.map_err(|error| self.insert_error(table, &error))
    }

    async fn end_insert<R>(&self, table: &str, insert: Insert<R>) -> Result<(), StoreError> {
        insert.end().await.map_err(|error| self.insert_error(table, &error))
    }

    fn end_timeout(&self) -> Duration {
        if self.cluster.is_some() { CLUSTER_END_TIMEOUT } else { END_TIMEOUT }
    }

    fn insert_error(&self, table: &str, error: &clickhouse::error::Error) -> StoreError {
        self.error(&format!("inserting into {table}"), error)
    }
}

/// A block that is sent but for its last part, without which the server stores nothing.
struct OpenBlock {
    insert: InsertFormatted,
    last: Option<CompressedData>,
}

impl OpenBlock {
    async fn end(mut self) -> Sent<()> {
        if let Some(last) = self.last {
            self.insert.send_compressed(last).await?;
        }
        self.insert.end().await
    }
}

/// Other tasks of the thread have their turn after so many rows.
const ROWS_OF_A_TURN: usize = 1024;

async fn in_columns<'a>(rows: impl Iterator<Item = EventRow<'a>>) -> Sent<Block<EventRow<'a>>> {
    let mut block = Block::new(event_columns());
    for (index, row) in rows.enumerate() {
        if index % ROWS_OF_A_TURN == ROWS_OF_A_TURN - 1 {
            tokio::task::yield_now().await;
        }
        block.push(&row)?;
    }
    Ok(block)
}

/// The reason why the rows of a batch were not inserted.
pub(super) enum Stopped {
    Superseded(String),
    Failed(StoreError),
}

impl Stopped {
    fn is_contended(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_contended())
    }
}

/// Repeats a change of a table of a cluster while another one has its turn there.
pub(super) async fn in_turn<F, Fut, E>(change: F, is_contended: fn(&E) -> bool) -> Result<(), E>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(10))
        .with_max_delay(Duration::from_millis(200))
        .with_jitter()
        .with_max_times(MOST_TURNS);
    change.retry(pauses).when(is_contended).await
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}
