//! Remembers pushed requests, so that a repeated one is not stored twice.

use std::collections::BTreeSet;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, StoredBatch};
use crate::record::PushedRequest;

/// A process without a beat for so long counts as gone.
const SILENT_SECONDS: u32 = 15;
/// A batch has fewer offsets.
const MOST_OFFSETS: i64 = 100_000_000;

/// A row of `http_requests`; the server adds the time.
#[derive(Clone, Row, Serialize)]
pub(super) struct RequestRow<'a> {
    key: &'a str,
    body: &'a str,
    topic_id: &'a str,
    owner: &'a str,
    first_offset: i64,
    last_offset: i64,
}

/// The row as it is read.
#[derive(Row, Deserialize)]
struct FoundRow {
    body: String,
    topic_id: String,
    owner: String,
    first_offset: i64,
    last_offset: i64,
}

/// An earlier request with the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierRequest {
    pub body: String,
    pub first_offset: i64,
    pub last_offset: i64,
    pub progress: RequestProgress,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestProgress {
    Stored,
    /// A living process stores it.
    UnderWay,
    /// Its process is gone. The events at these offsets are stored or refused, and no others.
    CutOff(BTreeSet<i64>),
}

/// A refusal of an event of a request.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct RefusedRow {
    pub record_offset: i64,
    pub record_index: u32,
    pub reason: String,
    pub detail: String,
}

impl<'a> RequestRow<'a> {
    pub(super) fn new(batch: &'a StoredBatch<'_>, request: &'a PushedRequest) -> Self {
        Self {
            key: &request.key,
            body: &request.body,
            topic_id: &batch.claim.topic_id,
            owner: &batch.claim.owner,
            first_offset: request.first_offset,
            last_offset: request.last_offset,
        }
    }
}

impl Store {
    /// Looks for the last request with this key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn earlier_request(&self, key: &str) -> Result<Option<EarlierRequest>, StoreError> {
        let sql = "SELECT body, topic_id, owner, first_offset, last_offset FROM http_requests \
                   WHERE key = ? ORDER BY time DESC LIMIT 1";
        let row: Result<Option<FoundRow>, _> =
            self.client.query(sql).bind(key).fetch_optional().await;
        let row = row.map_err(|error| self.error("looking for an earlier request", &error))?;
        let Some(row) = row else { return Ok(None) };
        let progress = if self.is_done(&row).await? {
            RequestProgress::Stored
        } else if self.is_alive(&row.owner).await? {
            RequestProgress::UnderWay
        } else {
            RequestProgress::CutOff(self.stored_offsets(&row).await?)
        };
        let FoundRow { body, first_offset, last_offset, .. } = row;
        Ok(Some(EarlierRequest { body, first_offset, last_offset, progress }))
    }

    /// Returns the refusals of the events of a request.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn refused_events(
        &self,
        first_offset: i64,
        last_offset: i64,
    ) -> Result<Vec<RefusedRow>, StoreError> {
        let sql = "SELECT record_offset, record_index, reason, detail FROM rejected_events \
                   WHERE topic = 'http' AND record_offset BETWEEN ? AND ? ORDER BY ALL";
        let query = self.client.query(sql).bind(first_offset).bind(last_offset);
        let rows = query.fetch_all().await;
        rows.map_err(|error| self.error("looking for refused events", &error))
    }

    async fn is_done(&self, row: &FoundRow) -> Result<bool, StoreError> {
        let sql = "SELECT count() FROM (SELECT 1 FROM ingest_batches WHERE topic = 'http' \
                   AND partition = 0 AND first_offset BETWEEN ? AND ? AND last_offset >= ? \
                   AND topic_id = ? AND state = 'done' LIMIT 1)";
        let query = self.client.query(sql).bind(row.first_offset - MOST_OFFSETS);
        let query = query.bind(row.first_offset).bind(row.last_offset).bind(&row.topic_id);
        let found: Result<u64, _> = query.fetch_one().await;
        Ok(found.map_err(|error| self.error("reading the ledger", &error))? > 0)
    }

    async fn is_alive(&self, owner: &str) -> Result<bool, StoreError> {
        let sql = "SELECT count() FROM (SELECT owner FROM process_beats WHERE owner = ? \
                   GROUP BY owner HAVING NOT argMax(has_left, time) \
                   AND max(time) >= now64(6) - toIntervalSecond(?))";
        let query = self.client.query(sql).bind(owner).bind(SILENT_SECONDS);
        let found: Result<u64, _> = query.fetch_one().await;
        Ok(found.map_err(|error| self.error("reading process_beats", &error))? > 0)
    }

    async fn stored_offsets(&self, row: &FoundRow) -> Result<BTreeSet<i64>, StoreError> {
        let sql = "SELECT DISTINCT record_offset FROM ( \
                   SELECT record_offset FROM access_events WHERE topic = 'http' \
                   AND record_offset BETWEEN ? AND ? UNION ALL \
                   SELECT record_offset FROM rejected_events WHERE topic = 'http' \
                   AND record_offset BETWEEN ? AND ?)";
        let query = self.client.query(sql).bind(row.first_offset).bind(row.last_offset);
        let query = query.bind(row.first_offset).bind(row.last_offset);
        let found: Result<Vec<i64>, _> = query.fetch_all().await;
        let found = found.map_err(|error| self.error("looking for pushed events", &error))?;
        Ok(found.into_iter().collect())
    }
}
