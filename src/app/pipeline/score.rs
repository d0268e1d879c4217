//! Scores one batch in the core.

use metrics::counter;
use tokio::task;
use tracing::warn;

use super::Pipeline;
use crate::app::batch::Named;
use crate::app::error::AppError;
use crate::app::error::Expired;
use crate::engine::{DecodedBatch, EarlierUses, ScoredBatch};
use crate::event::EventTime;
use crate::record::RawBatch;
use crate::source::Source;

impl<S: Source> Pipeline<S> {
    /// Scores a batch for the writer. Returns `None` when the batch is stored already and only
    /// brings the state up to date.
    pub(super) async fn score(
        &mut self,
        work: Named<RawBatch>,
    ) -> Result<Option<Named<ScoredBatch>>, AppError> {
        let Named { batch, mut name } = work;
        if !self.ownerships.is_current(&batch) {
            self.begin_ownership(&batch, name.claim.epoch).await?;
            self.score_history(&batch, &name.claim).await?;
        }
        self.warn_of_unkeyed_records(&batch);
        if batch.is_stored {
            let position = self.scorer.engine().position(batch.shard, &batch.partition);
            self.score_again(&batch.after(position.unwrap_or(i64::MIN))).await?;
            return Ok(None);
        }
        // A transaction ends with a marker, which has an offset but is not a record. The log's end
        // would then count it as an unread record.
        if !self.has_transactions {
            name.log_end = self.observer.log_end(&batch.partition);
        }
        let raw = batch;
        let batch = self.process(&raw).await?;
        self.first_look.note(&raw, batch.events.len());
        counter!("keywatch_events_total").increment(batch.events.len() as u64);
        counter!("keywatch_rejections_total").increment(batch.rejected());
        for (field, number) in batch.fields_left_out.iter() {
            counter!("keywatch_fields_left_out_total", "field" => field).increment(number);
        }
        Ok(Some(Named { batch, name }))
    }

    /// Events beyond the retention are stored, and ClickHouse deletes their rows at the next merge:
    /// an import would look complete and show nothing. A log that is followed may have a few.
    fn check_retention(
        &mut self,
        decoded: &DecodedBatch,
        batch: &RawBatch,
    ) -> Result<(), AppError> {
        let kept_from = self.store.store().kept_from(EventTime::now());
        let times = decoded.events().iter().map(|event| event.event.time);
        let expired: Vec<EventTime> = times.filter(|time| *time < kept_from).collect();
        let Some(oldest) = expired.iter().min() else { return Ok(()) };
        counter!("keywatch_expired_events_total").increment(expired.len() as u64);
        let expired = Expired {
            topic: batch.partition.topic.to_string(),
            oldest: *oldest,
            days: self.retention_days,
        };
        if self.is_import {
            return Err(expired.into());
        }
        if !std::mem::replace(&mut self.has_warned_of_expired, true) {
            warn!(%expired, "events that are older than the retention arrive");
        }
        Ok(())
    }

    /// Decodes and judges a batch. In between, it asks the store about nonces and signatures that
    /// the engine has forgotten.
    pub(super) async fn process(&mut self, batch: &RawBatch) -> Result<ScoredBatch, AppError> {
        let now = Some(EventTime::now());
        // Each half blocks the thread for milliseconds, so the runtime must move its other tasks.
        let decoded = task::block_in_place(|| self.scorer.decode(batch, now));
        self.check_retention(&decoded, batch)?;
        let lookups = self.scorer.replay_lookups(&decoded);
        let mut earlier_uses = EarlierUses::default();
        if !lookups.is_empty() {
            let (partition, lookups) = (&batch.partition, &lookups);
            earlier_uses = self.store.ask(|store| store.first_uses(partition, lookups)).await?;
            counter!("keywatch_replay_lookups_total").increment(lookups.len() as u64);
        }
        let scored = task::block_in_place(|| self.scorer.judge(decoded, Some(&earlier_uses), now));
        counter!("keywatch_replay_forgotten_total").increment(scored.outcome.forgotten);
        Ok(scored)
    }
}
