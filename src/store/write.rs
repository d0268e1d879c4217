//! Writes one batch into the tables. Writing it again changes nothing.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::insert::Stopped;
use super::ledger::{BatchState, token};
use super::requests::RequestRow;
use super::{AlertRow, AttemptRow, Claim, EventRow, RejectionRow, Store, StoreError};
use crate::alert::Alert;
use crate::decode::Rejection;
use crate::engine::Disposition;
use crate::event::{EnrichedEvent, PartitionId};
use crate::profile::stuffing::SourceAttempt;
use crate::record::PushedRequest;

/// The results of one contiguous range of offsets.
///
/// A partition, its topic's ID and its offsets identify records permanently. Two batches with the
/// same bounds count as the same batch, whatever they contain, and the second one is not stored.
#[derive(Clone, Copy, Debug)]
pub struct StoredBatch<'a> {
    pub partition: &'a PartitionId,
    /// The claim under which the batch is written.
    pub claim: &'a Claim,
    pub first_offset: i64,
    pub last_offset: i64,
    /// The deduplication token of a batch that was begun before; a new batch derives its own.
    pub token: Option<&'a str>,
    /// The current end of the log, if it is known.
    pub log_end: Option<i64>,
    /// The pushed requests that brought the records.
    pub requests: &'a [PushedRequest],
    pub events: &'a [EnrichedEvent],
    /// One disposition per event, in the order of the events.
    pub dispositions: &'a [Disposition],
    pub rejections: &'a [Rejection],
    /// Attempts that other partitions should know.
    pub attempts: &'a [SourceAttempt],
    pub alerts: &'a [Alert],
}

impl<'a> StoredBatch<'a> {
    /// Creates a batch without rows; the caller sets its bounds.
    pub fn empty(partition: &'a PartitionId, claim: &'a Claim) -> Self {
        Self {
            partition,
            claim,
            first_offset: 0,
            last_offset: -1,
            token: None,
            log_end: None,
            requests: &[],
            events: &[],
            dispositions: &[],
            rejections: &[],
            attempts: &[],
            alerts: &[],
        }
    }
}

/// The outcome of writing a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    Stored,
    /// The batch was abandoned: this process has claimed the partition since.
    Superseded {
        by: String,
    },
}

impl Store {
    /// Writes a batch: ledger intent, events, rejections, attempts, alerts, ledger done. Writing
    /// the same batch again, after success, failure or a lost answer, changes nothing.
    ///
    /// Stops when another process has claimed the partition; that process finds the intent.
    ///
    /// # Errors
    /// [`StoreError`]; after a retryable one the batch is in doubt and must be written again.
    pub async fn write_batch(&self, batch: &StoredBatch<'_>) -> Result<Written, StoreError> {
        self.write(batch, batch.token.is_some()).await
    }

    async fn write(
        &self,
        batch: &StoredBatch<'_>,
        is_repeated: bool,
    ) -> Result<Written, StoreError> {
        let begin = Instant::now();
        let token = batch.token.map_or_else(|| token(batch), str::to_owned);
        let rejections: Vec<_> =
            batch.rejections.iter().map(|r| RejectionRow::new(batch.partition, r)).collect();
        let attempts: Vec<_> = batch.attempts.iter().map(AttemptRow::from).collect();
        let alerts = self.alert_rows(batch.alerts)?;
        let requests: Vec<_> =
            batch.requests.iter().map(|request| RequestRow::new(batch, request)).collect();

        self.write_ledger(batch, BatchState::Intent, &token).await?;
        let outcome = async {
            // Before the events: a request without a row has stored nothing.
            self.insert_owned::<RequestRow<'_>>(batch, "http_requests", &token, requests).await?;
            self.insert_events(batch, &token, event_rows(batch)).await?;
            self.insert_owned::<RejectionRow<'_>>(batch, "rejected_events", &token, rejections)
                .await?;
            self.insert_owned::<AttemptRow<'_>>(batch, "source_attempts", &token, attempts).await?;
            self.insert_owned::<AlertRow<'_>>(batch, "alerts", &token, alerts).await?;
            // On a cluster, an insert is repeated until most replicas have the rows of its token, and
            // a look at another replica could miss them.
            let may_be_lost = is_repeated && self.cluster.is_none();
            if may_be_lost { self.complete(batch, &token).await } else { Ok(()) }
        };
        match outcome.await {
            Err(Stopped::Superseded(by)) => {
                self.write_ledger(batch, BatchState::Abandoned, &token).await?;
                return Ok(Written::Superseded { by });
            }
            Err(Stopped::Failed(error)) => return Err(error),
            Ok(()) => {}
        }
        self.write_ledger(batch, BatchState::Done, &token).await?;
        count_batch(batch, begin.elapsed());
        Ok(Written::Stored)
    }

    /// Writes a batch and waits while ClickHouse is unavailable. Cancel safe: a cancelled batch
    /// stays in doubt in the ledger.
    ///
    /// # Errors
    /// Errors that a retry cannot fix.
    pub async fn write_batch_until_done(
        &self,
        batch: &StoredBatch<'_>,
    ) -> Result<Written, StoreError> {
        let mut is_repeated = batch.token.is_some();
        self.until_available(|| self.write(batch, std::mem::replace(&mut is_repeated, true))).await
    }

    /// Writes alerts about stored events and waits while ClickHouse is unavailable.
    ///
    /// # Errors
    /// Errors that a retry cannot fix.
    pub async fn write_alerts_until_done(&self, alerts: &[Alert]) -> Result<(), StoreError> {
        self.until_available(|| async {
            // No token is needed: the table merges duplicates.
            self.insert::<AlertRow<'_>>("alerts", "", self.alert_rows(alerts)?).await
        })
        .await?;
        count_rows("alerts", alerts.len());
        Ok(())
    }

    /// Returns the stored revisions of these alerts.
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

    pub(super) fn alert_rows<'a>(
        &'a self,
        alerts: &'a [Alert],
    ) -> Result<Vec<AlertRow<'a>>, StoreError> {
        let row =
            |alert| AlertRow::new(alert, &self.owner).map_err(|reason| json_error(alert, reason));
        alerts.iter().map(row).collect()
    }
}

/// An event is stored whatever is known of it: one without a disposition counts as judged.
pub(super) fn event_rows<'a>(batch: &'a StoredBatch<'a>) -> impl Iterator<Item = EventRow<'a>> {
    batch.events.iter().enumerate().map(|(index, event)| EventRow {
        quarantined: match batch.dispositions.get(index) {
            Some(Disposition::Quarantined(reason)) => reason.as_str(),
            _ => "",
        },
        ..EventRow::new(batch.partition, event)
    })
}

fn json_error(alert: &Alert, reason: serde_json::Error) -> StoreError {
    StoreError::AlertJson { id: alert.id.clone(), reason }
}

fn count_batch(batch: &StoredBatch<'_>, elapsed: Duration) {
    let rows = [
        ("access_events", batch.events.len()),
        ("rejected_events", batch.rejections.len()),
        ("source_attempts", batch.attempts.len()),
        ("alerts", batch.alerts.len()),
    ];
    for (table, count) in rows {
        count_rows(table, count);
    }
    metrics::histogram!("keywatch_store_batch_seconds").record(elapsed.as_secs_f64());
}

fn count_rows(table: &'static str, count: usize) {
    metrics::counter!("keywatch_stored_rows_total", "table" => table).increment(count as u64);
}
