//! Compares what the rollups have of a batch with the raw rows.

use std::time::Duration;

use backon::{ConstantBuilder, Retryable};

use super::{LOOKING, PartitionName, Times};
use crate::event::DAY_SECONDS;
use crate::store::{Store, StoreError, StoredBatch};

/// A table that a materialized view fills from raw rows, directly or through another one.
pub(super) struct Rollup {
    pub table: &'static str,
    /// The column of the time, and how it follows from the time of an event.
    bucket: &'static str,
    of_time: &'static str,
    /// How the name of a partition follows from the bucket.
    partition: &'static str,
    /// Which events count.
    counted: &'static str,
}

/// In an order in which each stands behind the one it is filled from.
pub(super) const ROLLUPS: [Rollup; 4] = [
    Rollup {
        table: "key_usage_minute",
        bucket: "minute",
        of_time: "toStartOfMinute(time)",
        partition: "toYYYYMM",
        counted: "1",
    },
    Rollup {
        table: "key_usage_hour",
        bucket: "hour",
        of_time: "toStartOfHour(time)",
        partition: "toYYYYMM",
        counted: "1",
    },
    Rollup {
        table: "source_usage_hour",
        bucket: "hour",
        of_time: "toStartOfHour(time)",
        partition: "toYYYYMMDD",
        counted: "1",
    },
    Rollup {
        table: "key_scope_day",
        bucket: "day",
        of_time: "toDate(time)",
        partition: "toYYYYMM",
        counted: "scope != '' AND quarantined = ''",
    },
];

/// Batches of other partitions may be between their raw rows and their rollups.
const LOOKS: usize = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// Requests in one partition of a rollup, for the keys and buckets of a batch.
#[derive(Clone, Debug, PartialEq, Eq, clickhouse::Row, serde::Deserialize)]
struct Compared {
    partition: PartitionName,
    of_batch: u64,
    raw: u64,
    rolled_up: u64,
}

impl Compared {
    fn is_lost(&self) -> bool {
        self.rolled_up + self.of_batch == self.raw
    }
}

impl Store {
    /// The partitions of a rollup that lack the batch.
    pub(super) async fn lost_of_rollup(
        &self,
        batch: &StoredBatch<'_>,
        times: Times,
        rollup: &Rollup,
    ) -> Result<Vec<PartitionName>, StoreError> {
        let look = || async {
            let differing = self.compare(batch, times, rollup).await.map_err(Look::Failed)?;
            let is_clear = differing.iter().all(Compared::is_lost);
            if is_clear { Ok(differing) } else { Err(Look::Unclear(differing)) }
        };
        let pauses = ConstantBuilder::default().with_delay(BETWEEN_LOOKS).with_max_times(LOOKS);
        let looked = look.retry(pauses).when(|look| matches!(look, Look::Unclear(_))).await;
        let differing = match looked {
            Ok(differing) => differing,
            Err(Look::Failed(error)) => return Err(error),
            Err(Look::Unclear(differing)) => {
                let table = rollup.table;
                tracing::warn!(
                    table,
                    ?differing,
                    "the rollup differs from the raw rows, not by this batch"
                );
                differing
            }
        };
        let lost = differing.into_iter().filter(Compared::is_lost);
        Ok(lost.map(|compared| compared.partition).collect())
    }

    /// The partitions whose sums differ.
    async fn compare(
        &self,
        batch: &StoredBatch<'_>,
        (first, last): Times,
        rollup: &Rollup,
    ) -> Result<Vec<Compared>, StoreError> {
        let sql = comparison(rollup);
        // A bucket is a day at most.
        let (from, to) = (first.plus_seconds(-DAY_SECONDS), last.plus_seconds(DAY_SECONDS));
        let query = self.client.query(&sql).bind(&*batch.partition.topic);
        let query = query.bind(batch.partition.partition);
        let query = query.bind(batch.first_offset).bind(batch.last_offset);
        let query = query.bind(first.as_micros()).bind(last.as_micros());
        let query = query.bind(from.as_micros()).bind(to.as_micros());
        query.fetch_all().await.map_err(|error| self.error(LOOKING, &error))
    }
}

enum Look {
    Unclear(Vec<Compared>),
    Failed(StoreError),
}

fn comparison(rollup: &Rollup) -> String {
    let Rollup { table, bucket, of_time, partition, counted } = rollup;
    format!(
        "WITH batch AS (
            SELECT key_id, {of_time} AS bucket, count() AS requests FROM access_events
            WHERE topic = ? AND partition = ? AND record_offset BETWEEN ? AND ?
                AND time BETWEEN fromUnixTimestamp64Micro(?) AND fromUnixTimestamp64Micro(?)
                AND {counted}
            GROUP BY key_id, bucket),
        counts AS (
            SELECT {partition}(bucket) AS part, requests AS own, 0 AS there, 0 AS counted
            FROM batch
            UNION ALL
            SELECT {partition}({of_time}), 0, 1, 0 FROM access_events
            WHERE time BETWEEN fromUnixTimestamp64Micro(?) AND fromUnixTimestamp64Micro(?)
                AND key_id IN (SELECT key_id FROM batch)
                AND (key_id, {of_time}) IN (SELECT key_id, bucket FROM batch) AND {counted}
            UNION ALL
            SELECT {partition}({bucket}), 0, 0, requests FROM {table}
            WHERE (key_id, {bucket}) IN (SELECT key_id, bucket FROM batch))
        SELECT toString(part) AS partition, sum(own) AS of_batch, sum(there) AS raw,
            sum(counted) AS rolled_up
        FROM counts GROUP BY part HAVING raw != rolled_up"
    )
}
