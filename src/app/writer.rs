//! The storing half: rows first, then alerts to the outbox, then the word to the source.
//!
//! Batches of one partition are stored one after the other, those of different ones side by
//! side: most of the time of a batch is waiting for answers.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use metrics::counter;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::warn;

use crate::config::KafkaConfig;
use crate::decode::Rejection;
use crate::deliver::Outbox;
use crate::deliver::kafka::{TopicError, TopicProducer};
use crate::event::{EventTime, PartitionId};
use crate::store::{Store, StoreError, StoredBatch, Written};

use super::core::Processed;
use super::intake::BatchName;
use super::tell::announce;
use super::{AppError, Summary};

/// A flood of garbage must not wait for one acknowledgement after the other.
const DEAD_LETTERS_ON_THE_WAY: usize = 1_000;

/// Partitions whose batches are being stored at the same time.
const BATCHES_UNDER_WAY: usize = 4;
/// Scored batches that wait for an earlier one of their partition.
const BATCHES_WAITING: usize = 4;

/// What was scored, and what to store it as.
pub struct Scored {
    pub processed: Processed,
    pub name: BatchName,
    /// Where the log ended.
    pub log_end: Option<i64>,
}

/// What became of a batch.
#[derive(Clone, Debug)]
pub enum Settled {
    /// Everything of the partition up to this offset is safe.
    /// `newest` is the latest event time of the batch.
    Stored { partition: PartitionId, last_offset: i64, newest: Option<EventTime> },
    /// Another process has claimed the partition.
    TakenOver { partition: PartitionId, ownership: u64 },
}

pub struct Writer {
    store: Arc<Store>,
    outbox: Arc<Outbox>,
    dead_letters: Option<TopicProducer>,
    settled: mpsc::Sender<Settled>,
    waiting: VecDeque<Scored>,
    /// Not more than one of a partition.
    under_way: JoinSet<Result<(Scored, Written), StoreError>>,
    busy: Vec<PartitionId>,
    /// The last ownership that ended so: what is left of it must not be stored.
    taken_over: HashMap<PartitionId, u64>,
    summary: Summary,
}

impl Writer {
    pub fn new(
        store: Arc<Store>,
        outbox: Arc<Outbox>,
        dead_letters: Option<TopicProducer>,
        settled: mpsc::Sender<Settled>,
    ) -> Self {
        Self {
            store,
            outbox,
            dead_letters,
            settled,
            waiting: VecDeque::new(),
            under_way: JoinSet::new(),
            busy: Vec::new(),
            taken_over: HashMap::new(),
            summary: Summary::default(),
        }
    }

    /// Stores batches, each partition's in order, until the queue ends.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn run(mut self, mut queue: mpsc::Receiver<Scored>) -> Result<Summary, AppError> {
        let mut is_open = true;
        loop {
            self.begin();
            tokio::select! {
                Some(ended) = self.under_way.join_next() => self.end(ended??).await,
                scored = queue.recv(), if is_open && self.waiting.len() < BATCHES_WAITING => {
                    match scored {
                        Some(scored) => self.waiting.push_back(scored),
                        None => is_open = false,
                    }
                }
                else => return Ok(self.summary),
            }
        }
    }

    /// Begins what can be: the first waiting batch of each partition that is not busy.
    fn begin(&mut self) {
        while self.under_way.len() < BATCHES_UNDER_WAY {
            let is_free = |scored: &Scored| !self.busy.contains(&scored.processed.partition);
            let Some(at) = self.waiting.iter().position(is_free) else { return };
            let Some(scored) = self.waiting.remove(at) else { return };
            self.busy.push(scored.processed.partition.clone());
            let (store, left) = (Arc::clone(&self.store), self.is_left_over(&scored));
            self.under_way.spawn(async move {
                let written = match left {
                    Some(by) => by,
                    None => store.write_batch_until_done(&scored.as_stored()).await?,
                };
                Ok((scored, written))
            });
        }
    }

    /// A batch of an ownership that is known to be over is not begun.
    fn is_left_over(&self, scored: &Scored) -> Option<Written> {
        let ended = self.taken_over.get(&scored.processed.partition);
        ended
            .is_some_and(|ownership| *ownership == scored.name.ownership)
            .then(|| Written::Superseded { by: String::new() })
    }

    async fn end(&mut self, (scored, written): (Scored, Written)) {
        let Scored { processed, name, .. } = &scored;
        self.busy.retain(|partition| *partition != processed.partition);
        let settled = match written {
            Written::Stored => {
                self.count(processed);
                self.send_dead_letters(processed).await;
                announce(&self.outbox, &processed.alerts);
                Settled::Stored {
                    partition: processed.partition.clone(),
                    last_offset: name.last_offset,
                    newest: processed.events.iter().map(|event| event.event.time).max(),
                }
            }
            Written::Superseded { by } => {
                counter!("keywatch_abandoned_batches_total").increment(1);
                if self.taken_over.insert(processed.partition.clone(), name.ownership)
                    != Some(name.ownership)
                {
                    warn!(partition = ?processed.partition, by, "another process has taken over");
                }
                Settled::TakenOver {
                    partition: processed.partition.clone(),
                    ownership: name.ownership,
                }
            }
        };
        // The pipeline may have left already; then the records are read again.
        let _ = self.settled.send(settled).await;
    }

    fn count(&mut self, processed: &Processed) {
        self.summary.batches += 1;
        self.summary.events += processed.events.len() as u64;
        self.summary.rejections += processed.rejections.len() as u64;
        self.summary.alerts += processed.alerts.len() as u64;
        for quarantined in &processed.quarantined {
            let reason = quarantined.reason.as_str();
            counter!("keywatch_quarantined_total", "reason" => reason).increment(1);
        }
    }

    /// A failure here loses nothing: `rejected_events` has the rejection already.
    async fn send_dead_letters(&self, processed: &Processed) {
        let Some(producer) = &self.dead_letters else { return };
        let send = async |rejection: &Rejection| {
            let headers = headers(&processed.partition, rejection);
            let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
            producer.send(None, rejection.masked_payload.as_bytes(), &headers).await
        };
        let mut sent =
            stream::iter(&processed.rejections).map(send).buffered(DEAD_LETTERS_ON_THE_WAY);
        while let Some(outcome) = sent.next().await {
            if let Err(error) = outcome {
                warn!(%error, "dead letters not sent; they are in rejected_events");
                return;
            }
        }
    }
}

impl Scored {
    fn as_stored(&self) -> StoredBatch<'_> {
        let Self { processed, name, log_end } = self;
        StoredBatch {
            first_offset: name.first_offset,
            last_offset: name.last_offset,
            token: name.token.as_deref(),
            log_end: *log_end,
            events: &processed.events,
            quarantined: &processed.quarantined,
            rejections: &processed.rejections,
            attempts: &processed.attempts,
            alerts: &processed.alerts,
            ..StoredBatch::empty(&processed.partition, &name.claim)
        }
    }
}

/// # Errors
/// A topic that cannot be produced to with this configuration. Brokers are not contacted yet.
pub fn dead_letter_producer(config: &KafkaConfig) -> Result<Option<TopicProducer>, TopicError> {
    let topic = config.dead_letter_topic.as_ref();
    topic.map(|topic| TopicProducer::new(config, topic)).transpose()
}

fn headers(partition: &PartitionId, rejection: &Rejection) -> [(&'static str, String); 5] {
    [
        ("keywatch-reason", rejection.reason.to_owned()),
        ("keywatch-detail", rejection.detail.clone()),
        ("keywatch-topic", partition.topic.to_string()),
        ("keywatch-partition", partition.partition.to_string()),
        ("keywatch-offset", rejection.position.offset.to_string()),
    ]
}
