//! Where access logs come from: every source yields batches of raw records
//! with their positions, and is told when a batch is safe.

mod file;
mod http;
mod kafka;
mod lines;
#[cfg(feature = "train")]
mod parquet;
mod stdin;

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::mpsc;

use crate::config::SourceConfig;
use crate::event::{PartitionId, ShardId};

pub use self::file::{FileProgress, FileReader, FileSource};
pub use self::http::HttpSource;
pub use self::kafka::KafkaSource;
pub use self::stdin::StdinSource;

/// A contiguous range of one partition's records, in order, as bytes.
#[derive(Clone, Debug)]
pub struct RawBatch {
    pub partition: PartitionId,
    /// Tells the topic from another one that had or will have its name: Kafka's topic ID.
    /// Empty when the name itself is unique.
    pub topic_id: Arc<str>,
    pub shard: ShardId,
    /// Changes when the partition may have been read by somebody else meanwhile.
    pub ownership: u64,
    /// The ledger has these records: they are read again for the state alone.
    pub is_stored: bool,
    /// Offsets from here to the first record hold none: they are of transactions' ends, or were
    /// compacted. `None` when records may have been there.
    pub covers_from: Option<i64>,
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
            ownership: 0,
            is_stored: false,
            covers_from: None,
            bytes: Vec::new(),
            records: Vec::new(),
        }
    }

    /// Without records, of the same partition as this one.
    pub fn emptied(&self) -> Self {
        Self {
            topic_id: Arc::clone(&self.topic_id),
            shard: self.shard,
            ownership: self.ownership,
            ..Self::new(self.partition.clone())
        }
    }

    /// The records beyond `offset`.
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

/// An event's record, to be written to a topic that is partitioned by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRecord {
    pub key: String,
    pub payload: Vec<u8>,
}

/// Makes of a record, whose place is given as text, what is to be written of it.
pub type Rekey = Box<dyn Fn(&str, &[u8]) -> Vec<KeyedRecord> + Send>;

/// When a batch is cut: at so many records or bytes, or so long after its first record.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    pub records: usize,
    pub bytes: usize,
    pub interval: Duration,
}

impl BatchLimits {
    /// True when nothing more should be added to `batch`.
    fn are_reached_by(&self, batch: &RawBatch) -> bool {
        batch.len() >= self.records || batch.size_bytes() >= self.bytes
    }
}

impl From<&SourceConfig> for BatchLimits {
    fn from(config: &SourceConfig) -> Self {
        Self {
            records: config.batch_records,
            bytes: config.batch_bytes,
            interval: Duration::from_millis(config.batch_milliseconds),
        }
    }
}

/// Batches as they are read.
pub type History = mpsc::Receiver<Result<RawBatch, SourceError>>;

/// How far a partition is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    pub partition: PartitionId,
    /// Records that are not committed.
    pub records: u64,
    /// Offset of the next record that will be written to it.
    pub log_end: i64,
}

/// A stream of raw batches.
pub trait Source: Send {
    /// The next batch, or `None` when the source has ended. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Result<Option<RawBatch>, SourceError>> + Send;

    /// What stands between this source and its records, for operators; `None` when nothing does.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Records of `partition` that came before, again, from a task of their own; `None` when
    /// this source cannot give them. Those that are gone by now are left out.
    ///
    /// # Errors
    /// When the settings are not usable.
    fn history(
        &self,
        _partition: &PartitionId,
        _offsets: Range<i64>,
    ) -> Result<Option<History>, SourceError> {
        Ok(None)
    }

    /// Partitions of the topic that has most, over all readers; `None` when it is not known. Asks
    /// the broker, and takes the thread for seconds at worst.
    fn partition_count(&self) -> Option<usize> {
        None
    }

    /// Whether this process reads a partition of this number.
    fn owns(&self, _number: i32) -> bool {
        true
    }

    /// Of each partition that is read, as far as that is known at present.
    fn lags(&self) -> Vec<Lag> {
        Vec::new()
    }

    /// Says that another process has claimed `partition`, and that nothing of it that is under
    /// way will be committed. True when partitions of this source move between processes, so
    /// that nothing is wrong with that.
    fn give_up(&mut self, _partition: &PartitionId) -> bool {
        false
    }

    /// Partitions that are to be given to another process and of which nothing is under way, each
    /// once. They are kept for some seconds more, until they are released.
    fn take_leaving(&self) -> Vec<PartitionId> {
        Vec::new()
    }

    /// Says that what is known of a leaving partition is saved.
    fn release(&mut self, _partition: &PartitionId) {}

    /// Says that everything of `partition` up to and including `last_offset` is stored.
    fn commit(
        &mut self,
        partition: &PartitionId,
        last_offset: i64,
    ) -> impl Future<Output = Result<(), SourceError>> + Send;

    /// Ends the source: what was committed is made durable, what was not is left
    /// to be read again. Gives up after `within`.
    fn close(self, within: Duration) -> impl Future<Output = Result<(), SourceError>> + Send;
}

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{path}: {reason}")]
    File { path: String, reason: std::io::Error },
    #[error("{path}:{line}: {reason}")]
    FileContent { path: String, line: i64, reason: std::io::Error },
    #[error("source.kafka: {0}")]
    KafkaSettings(#[from] crate::kafka::SettingsError),
    #[error("Kafka: {0}")]
    Kafka(rdkafka::error::KafkaError),
    #[error("Kafka: offsets of {topic}/{partition} could not be stored: {reason}")]
    KafkaCommit { topic: String, partition: i32, reason: rdkafka::error::KafkaError },
    #[error("{what} did not end within {seconds} s: what was not committed is read again")]
    CloseTimeout { what: &'static str, seconds: f64 },
    #[error("source.http.listen: cannot listen on {address}: {reason}")]
    Listen { address: SocketAddr, reason: std::io::Error },
}

/// Counts a batch that is about to be handed out.
fn count_batch(batch: &RawBatch) {
    let topic = batch.partition.topic.to_string();
    let labels = [("topic", topic), ("partition", batch.partition.partition.to_string())];
    counter!("keywatch_source_records_total", &labels).increment(batch.len() as u64);
    counter!("keywatch_source_bytes_total", &labels).increment(batch.size_bytes() as u64);
}
