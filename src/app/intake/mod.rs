//! Cuts the batches of a source by the ledger. Records that are stored already are marked as such.
//! An in-doubt batch keeps its original bounds, so that its deduplication token matches.

mod cut_back;
mod mark;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use metrics::counter;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use self::cut_back::CutBack;
use self::mark::{Cut, Mark};
use crate::event::PartitionId;
use crate::record::RawBatch;
use crate::source::Source;
use crate::store::{Claim, Progress, Store, StoreError};

use super::batch::{BatchName, Named};
use super::error::AppError;

/// A member that was removed from its consumer group learns of it within this time.
const TAKEOVER_PATIENCE: Duration = Duration::from_secs(60);

/// Reads a source and knows the ledger's progress for its partitions.
pub struct Intake<S> {
    pub source: S,
    store: Arc<Store>,
    partitions: HashMap<PartitionId, Owned>,
    /// A batch that arrived from the source and waits for the ledger.
    uncut: Option<RawBatch>,
    /// The claim in progress. It is kept between calls, so that each ownership is claimed once.
    taking_over: Option<BoxFuture<'static, Result<Owned, StoreError>>>,
    /// Cut batches in the order in which they are returned.
    cut: VecDeque<Named<RawBatch>>,
}

/// One ownership of one partition.
struct Owned {
    ownership: u64,
    claim: Claim,
    mark: Mark,
    cut_back: Option<CutBack>,
    /// The time since when this process knows that another one has claimed the partition.
    lost: Option<Instant>,
}

impl<S: Source> Intake<S> {
    pub fn new(source: S, store: Arc<Store>) -> Self {
        Self {
            source,
            store,
            partitions: HashMap::new(),
            uncut: None,
            taking_over: None,
            cut: VecDeque::new(),
        }
    }

    /// Returns the next batch, or `None` when the source has ended. Waits while ClickHouse is away
    /// if the ledger must be read. Cancel safe.
    ///
    /// # Errors
    /// Errors that a retry cannot fix.
    pub async fn next(&mut self) -> Result<Option<Named<RawBatch>>, AppError> {
        loop {
            if let Some(work) = self.cut.pop_front() {
                return Ok(Some(work));
            }
            if self.uncut.is_none() {
                self.uncut = self.source.next().await?;
            }
            let Some(batch) = &self.uncut else { return Ok(None) };
            let known = self.partitions.get(&batch.partition);
            if known.is_none_or(|owned| owned.ownership != batch.ownership) {
                let begin = || take_over(Arc::clone(&self.store), Upcoming::new(batch)).boxed();
                let owned = self.taking_over.get_or_insert_with(begin).await;
                self.taking_over = None;
                let mut owned = owned?;
                owned.cut_back = CutBack::find(batch, owned.mark.stored_to(), self.source.group());
                self.partitions.insert(batch.partition.clone(), owned);
            }
            self.cut_batch().await?;
        }
    }

    /// Drops the queued batches of an ownership that another process has claimed: nothing more of
    /// it is stored.
    ///
    /// # Errors
    /// Fails when the source does not move partitions between processes: then two processes do the
    /// same work.
    pub fn give_up(&mut self, partition: &PartitionId, ownership: u64) -> Result<(), AppError> {
        self.cut
            .retain(|work| work.batch.partition != *partition || work.name.ownership != ownership);
        let Some(owned) = self.partitions.get_mut(partition) else { return Ok(()) };
        if owned.ownership != ownership || owned.lost.is_some() {
            return Ok(());
        }
        owned.lost = Some(Instant::now());
        let group = self.source.group().ok_or_else(|| taken_over(partition))?;
        group.give_up(partition);
        Ok(())
    }

    /// The records that the log of a partition has lost, if it has.
    pub fn cut_back(&self, partition: &PartitionId) -> Option<&CutBack> {
        self.partitions.get(partition)?.cut_back.as_ref()
    }

    async fn cut_batch(&mut self) -> Result<(), AppError> {
        let Some(batch) = &self.uncut else { return Ok(()) };
        let Some(owned) = self.partitions.get_mut(&batch.partition) else { return Ok(()) };
        if let Some(since) = owned.lost {
            // Either the group soon revokes the partition from this process, or there are two
            // groups.
            if since.elapsed() > TAKEOVER_PATIENCE {
                return Err(taken_over(&batch.partition));
            }
            self.uncut = None;
            return Ok(());
        }
        owned.settle_what_is_gone(&self.store, batch).await?;
        let Some(batch) = self.uncut.take() else { return Ok(()) };
        let (partition, offsets) = (batch.partition.clone(), batch.offsets());
        self.cut.extend(owned.cut(batch));
        if self.cut.iter().all(|work| work.batch.is_stored)
            && !owned.mark.is_holding()
            && let Some((first_offset, last_offset)) = offsets
        {
            debug!(?partition, first_offset, last_offset, "is stored already");
            self.source.commit(&partition, last_offset).await?;
        }
        Ok(())
    }
}

fn taken_over(partition: &PartitionId) -> AppError {
    let PartitionId { topic, partition } = partition;
    AppError::TakenOver { topic: topic.to_string(), partition: *partition }
}

impl Owned {
    /// Settles an in-doubt batch whose records are no longer in the source: it cannot be written
    /// again.
    async fn settle_what_is_gone(
        &mut self,
        store: &Store,
        next: &RawBatch,
    ) -> Result<(), StoreError> {
        let Some(doubt) = self.mark.doubt_gone_before(next) else { return Ok(()) };
        let partition = &next.partition;
        let settled = store.until_available(|| store.settle(partition, &self.claim, doubt)).await?;
        let (first_offset, last_offset) = (doubt.first_offset, doubt.last_offset);
        if settled {
            info!(?partition, first_offset, last_offset, "an in-doubt batch was stored");
        } else {
            error!(
                ?partition,
                first_offset,
                last_offset,
                "records are lost: the source dropped them before they could be stored"
            );
        }
        self.mark.forget_doubt();
        Ok(())
    }

    fn cut(&mut self, batch: RawBatch) -> impl Iterator<Item = Named<RawBatch>> {
        let skipped = self.mark.skipped_before(&batch);
        if skipped > 0 {
            counter!("keywatch_skipped_offsets_total").increment(skipped);
            debug!(partition = ?batch.partition, skipped, "offsets without records");
        }
        let cuts = self.mark.cut(batch);
        if let Some(cut_back) = &self.cut_back {
            let stored = cuts.iter().filter(|cut| cut.batch.is_stored);
            let passed_over: u64 = stored.map(|cut| cut_back.passed_over(&cut.batch)).sum();
            counter!("keywatch_passed_over_records_total").increment(passed_over);
        }
        let (claim, ownership) = (self.claim.clone(), self.ownership);
        cuts.into_iter().map(move |Cut { mut batch, first_offset, last_offset, token }| {
            let (claim, requests) = (claim.clone(), std::mem::take(&mut batch.requests));
            let log_end = None;
            let name =
                BatchName { claim, ownership, first_offset, last_offset, token, log_end, requests };
            Named { batch, name }
        })
    }
}

/// The first batch of an ownership, without its records.
struct Upcoming {
    partition: PartitionId,
    topic_id: Arc<str>,
    ownership: u64,
    from: Option<i64>,
}

impl Upcoming {
    fn new(batch: &RawBatch) -> Self {
        Self {
            partition: batch.partition.clone(),
            topic_id: Arc::clone(&batch.topic_id),
            ownership: batch.ownership,
            from: batch.offsets().map(|(first, _)| first),
        }
    }
}

/// Claims the partition before it reads the ledger. Batches that other owners began before the
/// claim are then in the ledger, and the owners abandon batches that they begin after it.
async fn take_over(store: Arc<Store>, next: Upcoming) -> Result<Owned, StoreError> {
    let Upcoming { partition, topic_id, ownership, from } = &next;
    let from = *from;
    let claim = store.until_available(|| store.claim(partition, topic_id)).await?;
    let progress = store.until_available(|| store.progress(partition, &claim)).await?;
    let Progress { stored_to, in_doubt } = &progress;
    info!(
        topic = &*partition.topic,
        topic_id = &**topic_id,
        partition = partition.partition,
        epoch = claim.epoch,
        from,
        stored_to,
        in_doubt = ?in_doubt.as_ref().map(|doubt| (doubt.first_offset, doubt.last_offset)),
        "reading a partition"
    );
    if let (Some(from), Some(stored_to)) = (from, *stored_to)
        && in_doubt.is_none()
        && from > stored_to + 1
    {
        warn!(
            ?partition,
            first_offset = stored_to + 1,
            last_offset = from - 1,
            "these offsets are neither stored nor in the source: lost, or never a record"
        );
    }
    Ok(Owned {
        ownership: *ownership,
        claim,
        mark: Mark::new(progress),
        cut_back: None,
        lost: None,
    })
}
