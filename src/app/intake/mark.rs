//! Tracks how far one partition is stored and cuts its next batches accordingly.

use crate::record::RawBatch;
use crate::store::{BatchInDoubt, Progress};

/// The ledger's progress when this ownership began, and the records that arrived since.
#[derive(Debug)]
pub struct Mark {
    stored_to: Option<i64>,
    /// A batch that may or may not be stored; `None` once it was cut again.
    doubt: Option<BatchInDoubt>,
    /// Records of the in-doubt batch that have arrived so far.
    held: Option<RawBatch>,
    next_offset: Option<i64>,
    /// Everything up to this offset is stored or was cut.
    covered_to: Option<i64>,
}

/// Records to store under these bounds. An in-doubt batch keeps its original bounds even when the
/// source has dropped some of its records, because the token includes the bounds.
#[derive(Debug)]
pub struct Cut {
    pub batch: RawBatch,
    pub first_offset: i64,
    pub last_offset: i64,
    pub token: Option<String>,
}

impl Mark {
    pub fn new(progress: Progress) -> Self {
        let Progress { stored_to, in_doubt: doubt } = progress;
        let next_offset = stored_to.map(|offset| offset + 1);
        Self { stored_to, doubt, held: None, next_offset, covered_to: stored_to }
    }

    /// The highest offset that was stored when the ownership began.
    pub fn stored_to(&self) -> Option<i64> {
        self.stored_to
    }

    pub fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Returns the in-doubt batch, if none of its records has arrived and `next` starts behind it.
    pub fn doubt_gone_before(&self, next: &RawBatch) -> Option<&BatchInDoubt> {
        let doubt = self.doubt.as_ref().filter(|_| self.held.is_none())?;
        next.offsets().is_some_and(|(first, _)| first > doubt.last_offset).then_some(doubt)
    }

    pub fn forget_doubt(&mut self) {
        self.doubt = None;
    }

    /// Counts the offsets between the previous batch and `batch`. The source dropped them after its
    /// retention, compaction removed them, or they are transaction markers.
    pub fn skipped_before(&mut self, batch: &RawBatch) -> u64 {
        let Some((first, last)) = batch.offsets() else { return 0 };
        let skipped = self.next_offset.map_or(0, |next| first.saturating_sub(next));
        self.next_offset = Some(self.next_offset.unwrap_or(first).max(last + 1));
        u64::try_from(skipped).unwrap_or(0)
    }

    /// Cuts a batch into records that are stored already and records to store, in order.
    pub fn cut(&mut self, batch: RawBatch) -> Vec<Cut> {
        let covers_from = batch.covers_from;
        let mut cuts = self.cut_where_stored(batch);
        for cut in cuts.iter_mut().filter(|cut| !cut.batch.is_stored) {
            self.cover(cut, covers_from);
        }
        cuts
    }

    /// Extends a new batch to the end of the previous one when there is no record in between.
    /// Offsets that no batch of the ledger covers therefore count as missing.
    fn cover(&mut self, cut: &mut Cut, covers_from: Option<i64>) {
        if let (Some(covered_to), Some(from)) = (self.covered_to, covers_from)
            && cut.token.is_none()
            && from <= covered_to + 1
        {
            cut.first_offset = cut.first_offset.min(covered_to + 1);
        }
        self.covered_to = self.covered_to.max(Some(cut.last_offset));
    }

    fn cut_where_stored(&mut self, batch: RawBatch) -> Vec<Cut> {
        let stored_to = self.stored_to.unwrap_or(i64::MIN);
        if self.doubt.is_none() && batch.offsets().is_some_and(|(first, _)| first > stored_to) {
            return fresh(batch).into_iter().collect();
        }
        let empty = || batch.emptied();
        let mut before = empty();
        let mut within = self.held.take().unwrap_or_else(empty);
        let mut after = empty();
        let mut stored = empty();
        stored.is_stored = true;
        for (offset, payload) in batch.records() {
            match &self.doubt {
                _ if offset <= stored_to => stored.push(offset, payload),
                Some(doubt) if offset < doubt.first_offset => before.push(offset, payload),
                Some(doubt) if offset <= doubt.last_offset => within.push(offset, payload),
                _ => after.push(offset, payload),
            }
        }
        let again = self.complete(within, !after.is_empty());
        [fresh(stored), fresh(before), again, fresh(after)].into_iter().flatten().collect()
    }

    /// Returns the in-doubt batch when all of it has arrived, and holds its records until then.
    fn complete(&mut self, within: RawBatch, is_past: bool) -> Option<Cut> {
        let doubt = self.doubt.as_ref()?;
        let has_last = within.offsets().is_some_and(|(_, last)| last >= doubt.last_offset);
        if !is_past && !has_last {
            self.held = Some(within).filter(|held| !held.is_empty());
            return None;
        }
        let BatchInDoubt { first_offset, last_offset, token } = self.doubt.take()?;
        let batch = Some(within).filter(|within| !within.is_empty())?;
        Some(Cut { batch, first_offset, last_offset, token: Some(token) })
    }
}

fn fresh(batch: RawBatch) -> Option<Cut> {
    let (first_offset, last_offset) = batch.offsets()?;
    Some(Cut { batch, first_offset, last_offset, token: None })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::event::PartitionId;

    fn batch(offsets: std::ops::RangeInclusive<i64>) -> RawBatch {
        let mut batch = RawBatch::new(PartitionId { topic: "t".into(), partition: 0 });
        offsets.for_each(|offset| batch.push(offset, b"{}"));
        batch
    }

    fn stored_to_10(in_doubt: Option<(i64, i64)>) -> Mark {
        let in_doubt = in_doubt.map(|(first_offset, last_offset)| BatchInDoubt {
            first_offset,
            last_offset,
            token: "old".into(),
        });
        Mark::new(Progress { stored_to: Some(10), in_doubt })
    }

    /// The bounds of the cuts that are to be stored.
    fn bounds(cuts: &[Cut]) -> Vec<(i64, i64)> {
        cuts.iter()
            .filter(|cut| !cut.batch.is_stored)
            .map(|cut| (cut.first_offset, cut.last_offset))
            .collect()
    }

    #[test]
    fn stored_records_are_passed_on_for_the_state_alone() {
        let mut mark = stored_to_10(None);
        assert!(mark.cut(batch(1..=10))[0].batch.is_stored);
        let cuts = mark.cut(batch(8..=15));
        assert_eq!((cuts[0].batch.is_stored, cuts[0].last_offset), (true, 10));
        assert_eq!(bounds(&cuts), [(11, 15)]);
        assert_eq!(bounds(&mark.cut(batch(16..=20))), [(16, 20)]);
    }

    #[test]
    fn a_batch_in_doubt_is_cut_to_its_old_bounds() {
        let doubt = || stored_to_10(Some((11, 20)));
        let cuts = doubt().cut(batch(11..=30));
        assert_eq!(bounds(&cuts), [(11, 20), (21, 30)]);
        assert_eq!(cuts[0].token.as_deref(), Some("old"));
        assert_eq!(cuts[1].token, None);
        let mut mark = doubt();
        assert!(bounds(&mark.cut(batch(9..=14))).is_empty());
        assert!(mark.is_holding());
        assert_eq!(bounds(&mark.cut(batch(15..=22))), [(11, 20), (21, 22)]);
        assert!(!mark.is_holding());
        assert_eq!(bounds(&mark.cut(batch(23..=24))), [(23, 24)]);
    }

    #[test]
    fn a_batch_in_doubt_keeps_its_bounds_though_its_first_records_are_gone() {
        let mut mark = stored_to_10(Some((11, 20)));
        let cuts = mark.cut(batch(15..=22));
        assert_eq!(bounds(&cuts), [(11, 20), (21, 22)]);
        assert_eq!(cuts[0].batch.offsets(), Some((15, 20)));
        assert_eq!(cuts[0].token.as_deref(), Some("old"));
    }

    #[test]
    fn a_batch_in_doubt_whose_records_are_all_gone_is_named() {
        let mut mark = stored_to_10(Some((11, 20)));
        assert_eq!(mark.doubt_gone_before(&batch(18..=30)), None);
        assert_eq!(mark.doubt_gone_before(&batch(25..=30)).unwrap().last_offset, 20);
        mark.forget_doubt();
        assert_eq!(bounds(&mark.cut(batch(25..=30))), [(25, 30)]);
    }

    #[test]
    fn offsets_that_hold_no_record_are_covered_and_others_are_not() {
        let mut mark = stored_to_10(None);
        let mut after_marker = batch(12..=15);
        after_marker.covers_from = Some(11);
        assert_eq!(bounds(&mark.cut(after_marker)), [(11, 15)]);
        assert_eq!(bounds(&mark.cut(batch(18..=20))), [(18, 20)], "may have been lost");
        let mut late = batch(24..=25);
        late.covers_from = Some(23);
        assert_eq!(bounds(&mark.cut(late)), [(24, 25)], "21 and 22 were not looked at");
        let mut doubtful = stored_to_10(Some((11, 20)));
        let mut all = batch(12..=19);
        (22..=25).for_each(|offset| all.push(offset, b"{}"));
        all.covers_from = Some(11);
        assert_eq!(bounds(&doubtful.cut(all)), [(11, 20), (21, 25)]);
    }

    #[test]
    fn skipped_offsets_are_counted_once() {
        let mut mark = stored_to_10(None);
        assert_eq!(mark.skipped_before(&batch(8..=12)), 0);
        assert_eq!(mark.skipped_before(&batch(13..=14)), 0);
        assert_eq!(mark.skipped_before(&batch(18..=20)), 3);
        assert_eq!(mark.skipped_before(&batch(21..=21)), 0);
    }
}
