//! Prepares a shard before the first batch of an ownership: restores its state, and scores the
//! records between that state and the end of the ledger.
//!
//! Those records are scored again and not stored again. Most of their alerts are in the table
//! already; only the missing ones are stored and announced.

use std::collections::HashMap;
use std::ops::Range;

use metrics::counter;
use tokio::task;
use tracing::{info, warn};

use super::Pipeline;
use crate::app::announce::publish_missing;
use crate::app::checkpoints::Loss;
use crate::app::degraded;
use crate::app::error::AppError;
use crate::event::{EventTime, PartitionId, ShardId};
use crate::record::RawBatch;
use crate::source::Source;
use crate::store::Claim;

/// The largest number of records that are scored again. If more are missing, the state continues
/// without them.
const MAX_HISTORY: i64 = 20_000_000;

/// The partitions that this process reads, and whether their state is ready.
#[derive(Debug, Default)]
pub struct Ownerships {
    /// Ownerships whose state is ready, by partition.
    pub current: HashMap<PartitionId, u64>,
    /// Revoked partitions that are kept until their state is saved.
    pub leaving: Vec<PartitionId>,
    /// The saved state for the ownership that began last is not usable.
    begins_anew: bool,
    /// Partitions over which the keys are spread; 0 if the source has none.
    pub partitions: usize,
    has_warned_of_unkeyed: bool,
}

impl Ownerships {
    /// Whether the state that `batch` continues is ready.
    pub fn is_current(&self, batch: &RawBatch) -> bool {
        self.current.get(&batch.partition) == Some(&batch.ownership)
    }
}

impl<S: Source> Pipeline<S> {
    pub(super) async fn begin_ownership(
        &mut self,
        batch: &RawBatch,
        epoch: u64,
    ) -> Result<(), AppError> {
        let RawBatch { partition, shard, ownership, .. } = batch;
        self.ownerships.begins_anew = false;
        let was_elsewhere = self.ownerships.current.contains_key(partition);
        if was_elsewhere && matches!(shard, ShardId::Partition(_)) {
            self.scorer.engine_mut().forget(*shard);
            self.checkpoints.forget(*shard);
        }
        self.count_partitions(batch);
        if !self.scorer.engine().has_shard(*shard) {
            let restored = self.checkpoints.restore(*shard, epoch, self.scorer.engine_mut());
            let loss = self.store.beat_during(restored).await?;
            self.ownerships.begins_anew = loss == Some(Loss::Everything);
            if let Some(loss) = loss {
                self.tell_of_loss(loss, batch).await?;
            }
        }
        self.tell_of_cut_back(batch).await?;
        self.ownerships.current.insert(partition.clone(), *ownership);
        Ok(())
    }

    /// Records that nobody will judge are an alert too.
    async fn tell_of_cut_back(&self, batch: &RawBatch) -> Result<(), AppError> {
        let Some(cut_back) = self.intake.cut_back(&batch.partition) else { return Ok(()) };
        let alert = cut_back.alert(batch, &self.policy_version, EventTime::now());
        let publishing = publish_missing(self.store.store(), &self.outbox, vec![alert]);
        self.store.beat_during(publishing).await?;
        Ok(())
    }

    /// Lost state is an alert: attacks on keys that are new are harder to see.
    async fn tell_of_loss(&self, loss: Loss, batch: &RawBatch) -> Result<(), AppError> {
        let alert = degraded::alert(loss, batch, &self.policy_version, EventTime::now());
        let publishing = publish_missing(self.store.store(), &self.outbox, vec![alert]);
        self.store.beat_during(publishing).await?;
        Ok(())
    }

    /// Updates the number of partitions over which the keys are spread.
    fn count_partitions(&mut self, batch: &RawBatch) {
        let Some(group) = self.intake.source.group() else { return };
        let Some(count) = task::block_in_place(|| group.partition_count()) else { return };
        self.scorer.engine_mut().set_partition_count(count);
        self.ownerships.partitions = count;
        if matches!(batch.shard, ShardId::Partition(_)) && count > 1 {
            self.suspects.review();
        }
    }

    /// Warns once. Without Kafka keys, the requests of one API key may be in several partitions, and
    /// each partition has its own profile of the key.
    pub(super) fn warn_of_unkeyed_records(&mut self, batch: &RawBatch) {
        let Ownerships { partitions, has_warned_of_unkeyed, .. } = &mut self.ownerships;
        if batch.has_unkeyed && *partitions > 1 && !std::mem::replace(has_warned_of_unkeyed, true) {
            warn!(
                topic = &*batch.partition.topic,
                partitions,
                "records carry no Kafka key: producers should set the key id as the record's key, \
                 or set source.kafka.repartition_topic; otherwise the requests of one key are judged \
                 separately in each partition"
            );
        }
    }

    /// Scores the stored records before `batch` that the state lacks.
    pub(super) async fn score_history(
        &mut self,
        batch: &RawBatch,
        claim: &Claim,
    ) -> Result<(), AppError> {
        let Some(missing) = self.missing_before(batch, claim).await? else { return Ok(()) };
        let (partition, shard) = (&batch.partition, batch.shard);
        let Some(group) = self.intake.source.group() else {
            warn!(
                ?partition,
                ?missing,
                "the state lacks these stored records, and the source cannot be read again"
            );
            return Ok(());
        };
        let mut batches = group.history(partition, missing.clone())?;
        info!(?partition, ?missing, "scoring the records after the saved state again");
        while let Some(batch) = self.store.beat_during(batches.recv()).await {
            let mut batch = batch?;
            batch.shard = shard;
            self.score_again(&batch).await?;
        }
        Ok(())
    }

    async fn missing_before(
        &self,
        batch: &RawBatch,
        claim: &Claim,
    ) -> Result<Option<Range<i64>>, AppError> {
        let partition = &batch.partition;
        let Some((first_offset, _)) = batch.offsets() else { return Ok(None) };
        let begin = match self.scorer.engine().position(batch.shard, partition) {
            Some(position) => Some(position + 1),
            // A process that stored these records ended before its first round became valid.
            None if self.is_state_expected(batch.shard) => {
                self.store.ask(|store| store.stored_from(partition, claim)).await?
            }
            None => None,
        };
        let Some(begin) = begin else { return Ok(None) };
        let stored = self.store.ask(|store| store.stored_up_to(partition)).await?;
        let missing = begin..stored.map_or(first_offset, |last| first_offset.min(last + 1));
        if missing.end - missing.start > MAX_HISTORY {
            warn!(
                ?partition,
                ?missing,
                "too many records to score again: the state continues without them"
            );
            return Ok(None);
        }
        Ok((!missing.is_empty()).then_some(missing))
    }

    /// Whether the state of a shard should include all stored records of its partitions. State that
    /// several partitions share depends on the process, so this is false for it.
    fn is_state_expected(&self, shard: ShardId) -> bool {
        matches!(shard, ShardId::Partition(_)) && !self.ownerships.begins_anew
    }

    /// Brings the state up to the end of a stored batch. Stores and publishes the batch's alerts
    /// that are not stored.
    pub(super) async fn score_again(&mut self, batch: &RawBatch) -> Result<(), AppError> {
        let Some((_, last_offset)) = batch.offsets() else { return Ok(()) };
        let scored = self.process(batch).await?;
        counter!("keywatch_state_rescored_events_total").increment(scored.events.len() as u64);
        self.checkpoints.note_stored(&batch.partition, last_offset);
        let publishing = publish_missing(self.store.store(), &self.outbox, scored.outcome.alerts);
        let published = self.store.beat_during(publishing).await?;
        if published > 0 {
            warn!(published, "alerts about stored events were missing");
        }
        Ok(())
    }
}
