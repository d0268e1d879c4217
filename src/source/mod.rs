//! Provides the log sources. Every source yields batches of raw records with their positions, and
//! learns when a batch is stored.

mod check;
mod compression;
mod container;
mod file;
mod http;
mod json_shape;
mod kafka;
mod lines;
#[cfg(feature = "train")]
mod parquet;
mod records;
mod stdin;

use std::ops::Range;
use std::time::Duration;

use metrics::counter;
use tokio::sync::mpsc;

use crate::config::SourceConfig;
use crate::event::PartitionId;
use crate::http::listener::ListenError;
use crate::http::tls::TlsError;
use crate::http::tokens::NotAHash;
use crate::record::{BatchLimits, RawBatch, RefusedPart};

pub use self::check::check;
pub use self::file::{FileProgress, FileReader, FileSource};
pub use self::http::{Earlier, FindEarlier, HttpSource, Progress};
pub use self::kafka::{KafkaSource, TopicSample, sample_topic};
pub use self::stdin::StdinSource;

impl From<&SourceConfig> for BatchLimits {
    fn from(config: &SourceConfig) -> Self {
        Self {
            records: config.batch_records,
            bytes: config.batch_bytes,
            interval: Duration::from_millis(config.batch_milliseconds),
        }
    }
}

/// Receives the batches of a history reader.
pub type History = mpsc::Receiver<Result<RawBatch, SourceError>>;

/// The lag of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    pub partition: PartitionId,
    /// Records that are not yet committed.
    pub records: u64,
    /// Offset of the next record that will be written to the partition.
    pub log_end: i64,
}

/// A stream of raw batches.
pub trait Source: Send {
    /// Returns the next batch, or `None` when the source has ended. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Result<Option<RawBatch>, SourceError>> + Send;

    /// Returns the problem that keeps this source from its records, for operators; `None` when
    /// there is none.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Returns the group of processes that share this source; `None` when this process reads all of
    /// it.
    fn group(&self) -> Option<&dyn GroupMember> {
        None
    }

    /// Notes a part of a record that was not taken. It is called for those of a batch before the
    /// batch is committed.
    fn note_refused(&mut self, _part: &RefusedPart<'_>) {}

    /// Commits everything of `partition` up to and including `last_offset`, which is stored.
    fn commit(
        &mut self,
        partition: &PartitionId,
        last_offset: i64,
    ) -> impl Future<Output = Result<(), SourceError>> + Send;

    /// Closes the source. Commits become durable; uncommitted records will be read again. Gives up
    /// after `within`.
    fn close(self, within: Duration) -> impl Future<Output = Result<(), SourceError>> + Send;
}

/// One process of a group whose partitions move between its members and can be read again. These
/// methods are called now and then, not for every batch.
pub trait GroupMember {
    /// Reads earlier records of `partition` again, in a separate task. Records that the source has
    /// deleted are left out.
    ///
    /// # Errors
    /// Fails when the settings are not usable.
    fn history(&self, partition: &PartitionId, offsets: Range<i64>)
    -> Result<History, SourceError>;

    /// Returns the partition count of the largest topic over all readers; `None` when it is
    /// unknown. Asks the broker, which may block the thread for seconds.
    fn partition_count(&self) -> Option<usize>;

    /// Whether this process reads a partition of this number.
    fn owns(&self, number: i32) -> bool;

    /// Returns the offset behind the last record of `partition`, by asking its leader, which may
    /// block the thread for seconds; `None` when it does not answer.
    fn log_end(&self, partition: &PartitionId) -> Option<i64>;

    /// Returns the lag of each partition that this process reads, as far as it is known.
    fn lags(&self) -> Vec<Lag>;

    /// Notes that another process has claimed `partition`: its batches in flight will not be
    /// committed.
    fn give_up(&self, partition: &PartitionId);

    /// Returns revoked partitions without batches in flight, each once. They are kept for some
    /// seconds until they are released.
    fn take_leaving(&self) -> Vec<PartitionId>;

    /// Releases a revoked partition, whose state is saved.
    fn release(&self, partition: &PartitionId);
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
    #[error("Kafka has no topic {topic}, or does not show it to this client")]
    NoTopic { topic: String },
    #[error("Kafka has sent nothing of the topic {topic} for {seconds} s; try again")]
    Silent { topic: String, seconds: u64 },
    #[error("Kafka: offsets of {topic}/{partition} could not be stored: {reason}")]
    KafkaCommit { topic: String, partition: i32, reason: rdkafka::error::KafkaError },
    #[error("Kafka: the record {topic}/{partition}/{offset} came outside of its partition's queue")]
    OutOfPlace { topic: String, partition: i32, offset: i64 },
    #[error("{what} ended with a fault of Keywatch's own; the log says where")]
    Panicked { what: &'static str },
    #[error("{what} did not end within {seconds} s: uncommitted records are read again")]
    CloseTimeout { what: &'static str, seconds: f64 },
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("source.http.tokens: {0}")]
    Tokens(#[from] NotAHash),
    #[error("source.http.listen: the listening address is unknown: {0}")]
    Address(std::io::Error),
}

/// Counts a batch that is about to be returned.
fn count_batch(batch: &RawBatch) {
    let topic = batch.partition.topic.to_string();
    let labels = [("topic", topic), ("partition", batch.partition.partition.to_string())];
    counter!("keywatch_source_records_total", &labels).increment(batch.len() as u64);
    counter!("keywatch_source_bytes_total", &labels).increment(batch.size_bytes() as u64);
}
