//! Carries a batch from the intake through scoring to the writer.

use crate::decode::Rejection;
use crate::engine::ScoredBatch;
use crate::event::{EventTime, PartitionId};
use crate::record::PushedRequest;
use crate::store::Claim;

/// A batch, raw or scored, with the identity under which it is stored.
#[derive(Debug)]
pub struct Named<B> {
    pub batch: B,
    pub name: BatchName,
}

/// Identifies a batch in the ledger: the owner that stores it, its offsets, its deduplication
/// token.
#[derive(Clone, Debug)]
pub struct BatchName {
    pub claim: Claim,
    pub ownership: u64,
    pub first_offset: i64,
    pub last_offset: i64,
    /// The deduplication token of a batch that an earlier attempt began to write.
    pub token: Option<String>,
    /// The end of the partition's log when the batch was scored, if it was known.
    pub log_end: Option<i64>,
    /// The pushed requests that it holds.
    pub requests: Vec<PushedRequest>,
}

/// The writer's result for one batch.
#[derive(Clone, Debug)]
pub enum Settled {
    /// Everything of the partition up to this offset is stored. `newest` is the latest event time
    /// of the batch.
    Stored {
        partition: PartitionId,
        last_offset: i64,
        newest: Option<EventTime>,
        rejections: Vec<Rejection>,
        size: usize,
    },
    /// Another process has claimed the partition.
    TakenOver { partition: PartitionId, ownership: u64, size: usize },
}

/// The number of events and rejections that a batch holds in memory.
pub fn size(batch: &ScoredBatch) -> usize {
    batch.events.len() + batch.rejections.len()
}
