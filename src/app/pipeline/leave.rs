//! Saves the state of revoked partitions before it releases them.

use tracing::info;

use super::Pipeline;
use crate::event::{PartitionId, ShardId};
use crate::source::Source;

impl<S: Source> Pipeline<S> {
    /// Saves the state of partitions that are being revoked, so that the next owner continues where
    /// this process stops. Releases the partitions whose state is saved.
    pub(super) fn let_go(&mut self) {
        let Some(group) = self.intake.source.group() else { return };
        let leaving = &mut self.ownerships.leaving;
        for partition in group.take_leaving() {
            self.checkpoints.hurry(ShardId::Partition(partition.partition));
            leaving.push(partition);
        }
        if leaving.is_empty() {
            return;
        }
        self.checkpoints.turn(self.scorer.engine_mut());
        let is_saved = |partition: &mut PartitionId| {
            let shard = ShardId::Partition(partition.partition);
            self.checkpoints.is_saved(self.scorer.engine(), shard)
        };
        for partition in leaving.extract_if(.., is_saved) {
            group.release(&partition);
        }
    }

    /// Drops the state of shards whose partitions other processes read now.
    pub(super) fn forget_lost_shards(&mut self) {
        for (shard, _) in self.scorer.engine().shards() {
            let ShardId::Partition(number) = shard else { continue };
            if !self.owns(number) {
                info!(number, "forgetting the state of a partition that another process reads");
                self.scorer.engine_mut().forget(shard);
                self.checkpoints.forget(shard);
                self.ownerships.current.retain(|partition, _| partition.partition != number);
            }
        }
    }
}
