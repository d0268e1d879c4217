//! What comes before the first batch of an ownership: the state of its shard, and the records
//! between that state and what the ledger has.
//!
//! Those records are scored again and not stored again. What they alert about is in the table
//! already; only what is missing there is written and told.

use std::collections::HashMap;
use std::ops::Range;

use metrics::counter;
use tokio::task;
use tracing::{info, warn};

use super::tell::tell_missing;
use super::{AppError, Pipeline, Processed, Scored, Work};
use crate::engine::EarlierUses;
use crate::event::{EventTime, PartitionId, ShardId};
use crate::source::{RawBatch, Source};
use crate::store::Claim;

/// More than this is not scored again: state goes on without it.
const MAX_HISTORY: i64 = 20_000_000;

impl<S: Source> Pipeline<S> {
    /// Scores a batch; gives what the writer has to do.
    pub(super) async fn score(&mut self, work: Work) -> Result<Option<Scored>, AppError> {
        let Work { batch, name } = work;
        if self.owned.get(&batch.partition) != Some(&batch.ownership) {
            self.begin_ownership(&batch, name.claim.epoch).await?;
            self.score_history(&batch, &name.claim).await?;
        }
        if batch.is_stored {
            let position = self.core.position(batch.shard, &batch.partition);
            self.score_again(&batch.after(position.unwrap_or(i64::MIN))).await?;
            return Ok(None);
        }
        // Behind the last record of a transaction is its end, which is no record.
        let log_end =
            if self.has_transactions { None } else { self.observation.log_end(&batch.partition) };
        let processed = self.process(&batch).await?;
        counter!("keywatch_events_total").increment(processed.events.len() as u64);
        counter!("keywatch_rejections_total").increment(processed.rejections.len() as u64);
        Ok(Some(Scored { processed, name, log_end }))
    }

    /// Decodes and judges a batch. In between the store is asked when what was used long ago
    /// comes again.
    async fn process(&mut self, batch: &RawBatch) -> Result<Processed, AppError> {
        let now = Some(EventTime::now());
        // Either half takes the thread for milliseconds: the runtime is told.
        let decoded = task::block_in_place(|| self.core.decode(batch, now));
        let doubts = self.core.doubts(&decoded);
        let mut earlier_uses = EarlierUses::default();
        if !doubts.is_empty() {
            let store = &self.store;
            let ask = store.until_available(|| store.first_uses(&batch.partition, &doubts));
            earlier_uses = self.vitals.keep_beating(ask).await?;
            counter!("keywatch_replay_lookups_total").increment(doubts.len() as u64);
        }
        let processed = task::block_in_place(|| self.core.judge(decoded, Some(&earlier_uses), now));
        counter!("keywatch_replay_forgotten_total").absolute(self.core.counters().forgotten);
        Ok(processed)
    }

    async fn begin_ownership(&mut self, batch: &RawBatch, epoch: u64) -> Result<(), AppError> {
        let RawBatch { partition, shard, ownership, .. } = batch;
        self.begins_anew = false;
        let was_elsewhere = self.owned.contains_key(partition);
        if was_elsewhere && matches!(shard, ShardId::Partition(_)) {
            self.core.forget(*shard);
            self.snapshots.forget(*shard);
        }
        let source = &self.intake.source;
        if let Some(count) = task::block_in_place(|| source.partition_count()) {
            self.core.set_partition_count(count);
            match shard {
                ShardId::Shared if count > 1 => {
                    self.warn_of_unkeyed_records(&partition.topic, count);
                }
                ShardId::Partition(_) if count > 1 => self.suspects.review(),
                _ => {}
            }
        }
        if !self.core.has_shard(*shard) {
            let restored = self.snapshots.restore(*shard, epoch, &mut self.core);
            self.begins_anew = self.vitals.keep_beating(restored).await?;
        }
        self.owned.insert(partition.clone(), *ownership);
        Ok(())
    }

    /// Once. What is known of a key then depends on which partitions this process reads.
    fn warn_of_unkeyed_records(&mut self, topic: &str, partitions: usize) {
        if !std::mem::replace(&mut self.is_unkeyed_told, true) {
            warn!(
                topic,
                partitions,
                "records carry no Kafka key: let producers set the key id as the record's key, or \
                 let one process read all partitions; else a key's requests are judged apart from \
                 each other"
            );
        }
    }

    /// The records before `batch` that are stored and that the state lacks.
    async fn score_history(&mut self, batch: &RawBatch, claim: &Claim) -> Result<(), AppError> {
        let Some(missing) = self.missing_before(batch, claim).await? else { return Ok(()) };
        let (partition, shard) = (&batch.partition, batch.shard);
        let Some(mut batches) = self.intake.source.history(partition, missing.clone())? else {
            warn!(
                ?partition,
                ?missing,
                "stored and not in the state, and the source has them no more"
            );
            return Ok(());
        };
        info!(?partition, ?missing, "scoring again what came after the saved state");
        while let Some(batch) = self.vitals.keep_beating(batches.recv()).await {
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
        let begin = match self.core.position(batch.shard, partition) {
            Some(position) => Some(position + 1),
            // A process that stored these records ended before its first round was valid.
            None if self.is_state_expected(batch.shard) => {
                let stored =
                    self.store.until_available(|| self.store.stored_from(partition, claim));
                self.vitals.keep_beating(stored).await?
            }
            None => None,
        };
        let Some(begin) = begin else { return Ok(None) };
        let stored = self.store.until_available(|| self.store.stored_up_to(partition));
        let stored = self.vitals.keep_beating(stored).await?;
        let missing = begin..stored.map_or(first_offset, |last| first_offset.min(last + 1));
        if missing.end - missing.start > MAX_HISTORY {
            warn!(?partition, ?missing, "too far back to be scored again: state goes on without");
            return Ok(None);
        }
        Ok((!missing.is_empty()).then_some(missing))
    }

    /// Whether the state of a shard should include all that is stored of its partitions. That
    /// of several partitions is of a process, and each process has other ones.
    fn is_state_expected(&self, shard: ShardId) -> bool {
        matches!(shard, ShardId::Partition(_)) && !self.begins_anew
    }

    /// Brings the state up to the end of a batch that is stored. Alerts that are not stored are
    /// stored and told now.
    async fn score_again(&mut self, batch: &RawBatch) -> Result<(), AppError> {
        let Some((_, last_offset)) = batch.offsets() else { return Ok(()) };
        let processed = self.process(batch).await?;
        counter!("keywatch_state_rescored_events_total").increment(processed.events.len() as u64);
        self.snapshots.note_stored(&batch.partition, last_offset);
        let told = tell_missing(&self.store, &self.outbox, processed.alerts);
        let told = self.vitals.keep_beating(told).await?;
        if told > 0 {
            warn!(told, "alerts about stored events were missing");
        }
        Ok(())
    }

    /// Saves the state of partitions that leave, so that their next owner begins where this one
    /// ends, and lets those go whose state is saved.
    pub(super) fn let_go(&mut self) {
        for partition in self.intake.source.take_leaving() {
            self.snapshots.hurry(ShardId::Partition(partition.partition));
            self.leaving.push(partition);
        }
        if self.leaving.is_empty() {
            return;
        }
        self.snapshots.turn(&mut self.core);
        let is_saved = |partition: &mut PartitionId| {
            let shard = ShardId::Partition(partition.partition);
            self.snapshots.is_saved(&self.core, shard)
        };
        for partition in self.leaving.extract_if(.., is_saved) {
            self.intake.source.release(&partition);
        }
    }

    /// Shards whose partitions other processes read now leave the memory.
    pub(super) fn forget_lost_shards(&mut self) {
        for (shard, _) in self.core.shards() {
            let ShardId::Partition(number) = shard else { continue };
            if !self.intake.source.owns(number) {
                info!(number, "the state of this partition has left");
                self.core.forget(shard);
                self.snapshots.forget(shard);
                self.owned.retain(|partition, _| partition.partition != number);
            }
        }
    }
}

/// Ownerships that this process knows, by partition.
pub(super) type Owned = HashMap<PartitionId, u64>;
