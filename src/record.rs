//! Defines raw records: sources pass them to the decoder, and the decoder returns them under a new
//! key for repartitioning.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::event::{PartitionId, ShardId};

/// Consecutive records of one partition, in order, as bytes.
#[derive(Clone, Debug)]
pub struct RawBatch {
    pub partition: PartitionId,
    /// Kafka's topic ID, which distinguishes the topic from an earlier or later one of the same
    /// name. Empty when the name itself is unique.
    pub topic_id: Arc<str>,
    pub shard: ShardId,
    /// A record that is not a tombstone has no Kafka key, so that its producer may have written the
    /// other requests of its API key to other partitions.
    pub has_unkeyed: bool,
    /// Changes when another process may have read the partition in the meantime.
    pub ownership: u64,
    /// The ledger has these records already: they are read again only to update the state.
    pub is_stored: bool,
    /// Offsets from here to the first record never held a record, or compaction removed it. They
    /// include transaction markers. `None` when records may have been there.
    pub covers_from: Option<i64>,
    /// The end of the log when the batch was read, if the source knows it.
    pub log_end: Option<i64>,
    /// The offsets of the log fell since it was read last, though it is the same log.
    pub offsets_fell: bool,
    /// The requests that brought the records, where they have a key.
    pub requests: Vec<PushedRequest>,
    /// All payloads, one after the other.
    bytes: Vec<u8>,
    records: Vec<(i64, Range<usize>)>,
}

impl RawBatch {
    pub fn new(partition: PartitionId) -> Self {
        Self {
            partition,
            topic_id: "".into(),
            shard: ShardId::Shared,
            has_unkeyed: false,
            ownership: 0,
            is_stored: false,
            covers_from: None,
            log_end: None,
            offsets_fell: false,
            requests: Vec::new(),
            bytes: Vec::new(),
            records: Vec::new(),
        }
    }

    /// Returns an empty batch of the same partition.
    pub fn emptied(&self) -> Self {
        Self {
            topic_id: Arc::clone(&self.topic_id),
            shard: self.shard,
            ownership: self.ownership,
            ..Self::new(self.partition.clone())
        }
    }

    /// Returns the records after `offset`.
    pub fn after(self, offset: i64) -> Self {
        if self.offsets().is_none_or(|(first, _)| first > offset) {
            return self;
        }
        let mut rest = Self { is_stored: self.is_stored, ..self.emptied() };
        for (beyond, payload) in self.records().filter(|(beyond, _)| *beyond > offset) {
            rest.push(beyond, payload);
        }
        rest
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

/// A request whose events are records of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedRequest {
    /// A hash of what its sender calls it.
    pub key: String,
    /// A hash of its events.
    pub body: String,
    pub first_offset: i64,
    /// Included.
    pub last_offset: i64,
}

/// A part of a record that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedPart<'a> {
    pub offset: i64,
    /// The place of the part in the record.
    pub index: u32,
    pub reason: &'a str,
    /// A sentence for the sender.
    pub detail: &'a str,
}

/// A record to write to a topic that is partitioned by API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRecord {
    pub key: String,
    pub payload: Vec<u8>,
}

/// Converts a record into keyed records. The first argument is the record's place as text.
pub type Rekey = Box<dyn Fn(&str, &[u8]) -> Vec<KeyedRecord> + Send>;

/// Limits at which a batch is cut: a number of records, a number of bytes, or a time after its
/// first record.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    pub records: usize,
    pub bytes: usize,
    pub interval: Duration,
}

impl BatchLimits {
    /// Returns true when `batch` is full.
    pub fn are_reached_by(&self, batch: &RawBatch) -> bool {
        batch.len() >= self.records || batch.size_bytes() >= self.bytes
    }
}
