//! What of a source is to be stored: what the ledger has already is marked as such, and a
//! batch in doubt is cut to its old bounds, so that its deduplication token matches.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tracing::{debug, info};

use crate::event::PartitionId;
use crate::source::{RawBatch, Source};
use crate::store::{Store, StoreError};

use super::AppError;

/// A source, and what the ledger says of its partitions.
pub struct Intake<S> {
    pub source: S,
    store: Arc<Store>,
    marks: HashMap<PartitionId, Mark>,
    /// Came from the source and waits for the ledger.
    uncut: Option<RawBatch>,
    /// To be handed out, in order.
    cut: VecDeque<RawBatch>,
}

impl<S: Source> Intake<S> {
    pub fn new(source: S, store: Arc<Store>) -> Self {
        Self { source, store, marks: HashMap::new(), uncut: None, cut: VecDeque::new() }
    }

    /// The next batch, or `None` when the source has ended. Waits for as long as
    /// ClickHouse is away when the ledger must be asked. Cancel safe.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn next(&mut self) -> Result<Option<RawBatch>, AppError> {
        loop {
            if let Some(batch) = self.cut.pop_front() {
                return Ok(Some(batch));
            }
            if self.uncut.is_none() {
                self.uncut = self.source.next().await?;
            }
            let Some(batch) = &self.uncut else { return Ok(None) };
            let known = self.marks.get(&batch.partition);
            if known.is_none_or(|mark| mark.ownership != batch.ownership) {
                let mark = read_mark(&self.store, batch).await?;
                self.marks.insert(batch.partition.clone(), mark);
            }
            self.cut_batch().await?;
        }
    }

    async fn cut_batch(&mut self) -> Result<(), AppError> {
        let Some(batch) = self.uncut.take() else { return Ok(()) };
        let Some(mark) = self.marks.get_mut(&batch.partition) else { return Ok(()) };
        let (partition, offsets) = (batch.partition.clone(), batch.offsets());
        self.cut.extend(mark.cut(batch));
        if self.cut.iter().all(|batch| batch.is_stored)
            && mark.held.is_none()
            && let Some((first_offset, last_offset)) = offsets
        {
            debug!(?partition, first_offset, last_offset, "is stored already");
            self.source.commit(&partition, last_offset).await?;
        }
        Ok(())
    }
}

/// What the ledger said of one partition when this ownership of it began.
#[derive(Debug)]
struct Mark {
    ownership: u64,
    stored_to: Option<i64>,
    /// Bounds of a batch that may or may not be stored, until it was cut again.
    doubt: Option<(i64, i64)>,
    /// Records of the batch in doubt that have come so far.
    held: Option<RawBatch>,
}

async fn read_mark(store: &Store, batch: &RawBatch) -> Result<Mark, StoreError> {
    let RawBatch { partition, ownership, .. } = batch;
    let stored_to = store.until_available(|| store.last_stored_offset(partition)).await?;
    let doubt = store.until_available(|| store.batch_in_doubt(partition)).await?;
    let doubt = doubt.map(|bounds| (bounds.first_offset, bounds.last_offset));
    info!(
        topic = &*partition.topic,
        partition = partition.partition,
        from = batch.offsets().map(|(first, _)| first),
        stored_to,
        in_doubt = ?doubt,
        "reading a partition"
    );
    Ok(Mark { ownership: *ownership, stored_to, doubt, held: None })
}

impl Mark {
    /// Cuts a batch into what is stored already and those that are to be stored, in order.
    fn cut(&mut self, batch: RawBatch) -> Vec<RawBatch> {
        let stored_to = self.stored_to.unwrap_or(i64::MIN);
        if self.doubt.is_none() && batch.offsets().is_some_and(|(first, _)| first > stored_to) {
            return vec![batch];
        }
        let empty = || batch.emptied();
        let mut before = empty();
        let mut within = self.held.take().unwrap_or_else(empty);
        let mut after = empty();
        let mut stored = empty();
        stored.is_stored = true;
        for (offset, payload) in batch.records() {
            match self.doubt {
                _ if offset <= stored_to => stored.push(offset, payload),
                Some((first, _)) if offset < first => before.push(offset, payload),
                Some((_, last)) if offset <= last => within.push(offset, payload),
                _ => after.push(offset, payload),
            }
        }
        if let Some((_, last)) = self.doubt {
            let complete = !after.is_empty() || within.offsets().is_some_and(|(_, l)| l >= last);
            if complete {
                self.doubt = None;
            } else {
                self.held = Some(std::mem::replace(&mut within, empty()));
            }
        }
        [stored, before, within, after].into_iter().filter(|batch| !batch.is_empty()).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn batch(offsets: std::ops::RangeInclusive<i64>) -> RawBatch {
        let mut batch = RawBatch::new(PartitionId { topic: "t".into(), partition: 0 });
        offsets.for_each(|offset| batch.push(offset, b"{}"));
        batch
    }

    fn bounds(batches: &[RawBatch]) -> Vec<(i64, i64)> {
        let to_store = batches.iter().filter(|batch| !batch.is_stored);
        to_store.map(|batch| batch.offsets().unwrap()).collect()
    }

    #[test]
    fn what_is_stored_is_handed_on_for_the_state_alone() {
        let mut mark = Mark { ownership: 0, stored_to: Some(10), doubt: None, held: None };
        assert!(mark.cut(batch(1..=10))[0].is_stored);
        let cut = mark.cut(batch(8..=15));
        assert_eq!((cut[0].is_stored, cut[0].offsets()), (true, Some((8, 10))));
        assert_eq!(bounds(&cut), [(11, 15)]);
        assert_eq!(bounds(&mark.cut(batch(16..=20))), [(16, 20)]);
    }

    #[test]
    fn a_batch_in_doubt_is_cut_to_its_old_bounds() {
        let doubt =
            || Mark { ownership: 0, stored_to: Some(10), doubt: Some((11, 20)), held: None };
        assert_eq!(bounds(&doubt().cut(batch(11..=30))), [(11, 20), (21, 30)]);
        let mut mark = doubt();
        assert!(bounds(&mark.cut(batch(9..=14))).is_empty());
        assert_eq!(bounds(&mark.cut(batch(15..=22))), [(11, 20), (21, 22)]);
        assert_eq!(bounds(&mark.cut(batch(23..=24))), [(23, 24)]);
    }
}
