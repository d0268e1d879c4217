//! Where storing goes on after a restart: what the ledger knows is not stored again, and
//! a batch in doubt is cut to the same bounds, so that its deduplication token matches.

use std::collections::HashMap;

use tracing::info;

use crate::event::PartitionId;
use crate::source::RawBatch;
use crate::store::{Store, StoreError};

/// What the ledger said of one partition when it was first seen.
#[derive(Debug)]
struct Mark {
    stored_to: Option<i64>,
    /// Bounds of a batch that may or may not be stored, until it was cut again.
    doubt: Option<(i64, i64)>,
    /// Records of the batch in doubt that have come so far.
    held: Option<RawBatch>,
}

/// Marks of the partitions seen since the start.
#[derive(Debug, Default)]
pub struct Resume {
    marks: HashMap<PartitionId, Mark>,
}

impl Resume {
    /// Cuts a batch into those that are to be stored, in order.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn cut(
        &mut self,
        store: &Store,
        batch: RawBatch,
    ) -> Result<Vec<RawBatch>, StoreError> {
        if !self.marks.contains_key(&batch.partition) {
            let mark = read_mark(store, &batch.partition).await?;
            info!(partition = ?batch.partition, ?mark, "reading begins");
            self.marks.insert(batch.partition.clone(), mark);
        }
        match self.marks.get_mut(&batch.partition) {
            Some(mark) => Ok(mark.cut(batch)),
            None => Ok(vec![batch]),
        }
    }
}

async fn read_mark(store: &Store, partition: &PartitionId) -> Result<Mark, StoreError> {
    let stored_to = store.last_stored_offset(partition).await?;
    let doubt = store.batch_in_doubt(partition).await?;
    let doubt = doubt.map(|bounds| (bounds.first_offset, bounds.last_offset));
    Ok(Mark { stored_to, doubt, held: None })
}

impl Mark {
    fn cut(&mut self, batch: RawBatch) -> Vec<RawBatch> {
        let stored_to = self.stored_to.unwrap_or(i64::MIN);
        let partition = batch.partition.clone();
        if self.doubt.is_none() && batch.offsets().is_some_and(|(first, _)| first > stored_to) {
            return vec![batch];
        }
        let empty = || RawBatch::new(partition.clone());
        let mut before = empty();
        let mut within = self.held.take().unwrap_or_else(empty);
        let mut after = empty();
        for (offset, payload) in batch.records().filter(|(offset, _)| *offset > stored_to) {
            match self.doubt {
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
        [before, within, after].into_iter().filter(|batch| !batch.is_empty()).collect()
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
        batches.iter().map(|batch| batch.offsets().unwrap()).collect()
    }

    #[test]
    fn what_is_stored_is_left_out() {
        let mut mark = Mark { stored_to: Some(10), doubt: None, held: None };
        assert!(mark.cut(batch(1..=10)).is_empty());
        assert_eq!(bounds(&mark.cut(batch(8..=15))), [(11, 15)]);
        assert_eq!(bounds(&mark.cut(batch(16..=20))), [(16, 20)]);
    }

    #[test]
    fn a_batch_in_doubt_is_cut_to_its_old_bounds() {
        let doubt = || Mark { stored_to: Some(10), doubt: Some((11, 20)), held: None };
        assert_eq!(bounds(&doubt().cut(batch(11..=30))), [(11, 20), (21, 30)]);
        let mut mark = doubt();
        assert!(mark.cut(batch(9..=14)).is_empty());
        assert_eq!(bounds(&mark.cut(batch(15..=22))), [(11, 20), (21, 22)]);
        assert_eq!(bounds(&mark.cut(batch(23..=24))), [(23, 24)]);
    }
}
