//! Where access logs come from: every source yields batches of raw records
//! with their positions, and is told when a batch is safe.

use std::ops::Range;

use crate::event::PartitionId;

/// A contiguous range of one partition's records, in order, as bytes.
#[derive(Clone, Debug)]
pub struct RawBatch {
    pub partition: PartitionId,
    /// All payloads, one after the other.
    bytes: Vec<u8>,
    records: Vec<(i64, Range<usize>)>,
}

impl RawBatch {
    pub fn new(partition: PartitionId) -> Self {
        Self { partition, bytes: Vec::new(), records: Vec::new() }
    }

    /// Appends a record. Offsets must rise; gaps (compaction, transactions) are allowed.
    pub fn push(&mut self, offset: i64, payload: &[u8]) {
        debug_assert!(self.records.last().is_none_or(|(last, _)| *last < offset));
        let start = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        self.records.push((offset, start..self.bytes.len()));
    }

    pub fn records(&self) -> impl Iterator<Item = (i64, &[u8])> {
        self.records.iter().map(|(offset, range)| (*offset, &self.bytes[range.clone()]))
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// First and last offset; `None` when empty.
    pub fn offsets(&self) -> Option<(i64, i64)> {
        Some((self.records.first()?.0, self.records.last()?.0))
    }
}

/// A stream of raw batches.
pub trait Source: Send {
    /// The next batch, or `None` when the source has ended. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Result<Option<RawBatch>, SourceError>> + Send;

    /// Says that everything of `partition` up to and including `last_offset` is stored.
    fn commit(
        &mut self,
        partition: &PartitionId,
        last_offset: i64,
    ) -> impl Future<Output = Result<(), SourceError>> + Send;
}

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{path}: {reason}")]
    File { path: String, reason: std::io::Error },
}
