//! Lists the errors that end the service before its source ends.

use crate::decode::DecodeError;
use crate::deliver::ChannelError;
use crate::engine::ScorerError;
use crate::event::EventTime;
use crate::kafka::producer::TopicError;
use crate::source::SourceError;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Scorer(#[from] ScorerError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("source.kafka.dead_letter_topic: {0}")]
    DeadLetters(#[from] TopicError),
    #[error(
        "{topic}/{partition} was claimed by another process (see the table partition_owners). \
         Only one consumer group, or one import, may write a topic or file to a database"
    )]
    TakenOver { topic: String, partition: i32 },
    #[error(transparent)]
    Expired(#[from] Expired),
    #[error("the writer stopped: {0}")]
    Writer(#[from] tokio::task::JoinError),
}

/// An event that ClickHouse would delete soon after it is stored.
#[derive(Debug, thiserror::Error)]
#[error(
    "{topic} has events of {oldest}, and rows older than {days} days are deleted (raw_retention_days \
     in [clickhouse]): set it to more days, or to 0 to keep raw events for ever"
)]
pub struct Expired {
    pub topic: String,
    pub oldest: EventTime,
    pub days: u32,
}
