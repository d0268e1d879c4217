//! The storing half: rows first, then alerts to the outbox, then the word to the source.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use metrics::{counter, histogram};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::config::KafkaConfig;
use crate::decode::Rejection;
use crate::deliver::Outbox;
use crate::deliver::kafka::{TopicError, TopicProducer};
use crate::event::{EventTime, PartitionId};
use crate::store::{Store, StoreError, StoredBatch};

use super::Summary;
use super::core::Processed;

/// A flood of garbage must not wait for one acknowledgement after the other.
const DEAD_LETTERS_ON_THE_WAY: usize = 1_000;

/// Everything of a partition up to this offset is safe.
#[derive(Clone, Debug)]
pub struct Stored {
    pub partition: PartitionId,
    pub last_offset: i64,
}

pub struct Writer {
    store: Arc<Store>,
    outbox: Outbox,
    dead_letters: Option<TopicProducer>,
    stored: mpsc::Sender<Stored>,
    summary: Summary,
}

impl Writer {
    pub fn new(
        store: Arc<Store>,
        outbox: Outbox,
        dead_letters: Option<TopicProducer>,
        stored: mpsc::Sender<Stored>,
    ) -> Self {
        Self { store, outbox, dead_letters, stored, summary: Summary::default() }
    }

    /// Stores batches in order until the queue ends.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn run(
        mut self,
        mut queue: mpsc::Receiver<Processed>,
    ) -> Result<(Outbox, Summary), StoreError> {
        while let Some(processed) = queue.recv().await {
            self.write(&processed).await?;
            let stored =
                Stored { partition: processed.partition, last_offset: processed.last_offset };
            // The pipeline may have left already; then the records are read again.
            let _ = self.stored.send(stored).await;
        }
        Ok((self.outbox, self.summary))
    }

    async fn write(&mut self, processed: &Processed) -> Result<(), StoreError> {
        let batch = StoredBatch {
            partition: &processed.partition,
            first_offset: processed.first_offset,
            last_offset: processed.last_offset,
            events: &processed.events,
            rejections: &processed.rejections,
            alerts: &processed.alerts,
        };
        self.store.write_batch_until_done(&batch).await?;
        self.summary.batches += 1;
        self.summary.events += processed.events.len() as u64;
        self.summary.rejections += processed.rejections.len() as u64;
        self.summary.alerts += processed.alerts.len() as u64;
        self.send_dead_letters(processed).await;
        self.announce(processed);
        Ok(())
    }

    fn announce(&self, processed: &Processed) {
        let now = EventTime::now();
        for alert in processed.late_alerts.iter().chain(&processed.alerts) {
            let (kind, severity) = (alert.alert_type.as_str(), alert.severity.as_str());
            info!(id = alert.id, revision = alert.revision, kind, severity, title = alert.title);
            counter!("keywatch_alerts_total", "type" => kind, "severity" => severity).increment(1);
            histogram!("keywatch_event_to_alert_seconds")
                .record(now.seconds_since(alert.detected_event_time).max(0.0));
            self.outbox.enqueue(alert.clone());
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
