//! Copies rejections to the dead letter topic.
//!
//! The topic is a courtesy and promises nothing: the table `rejected_events` has every rejection
//! once. Storing, alerts and the end of the service never wait for the topic's broker: letters that
//! still wait when the process ends are not sent.

use futures_util::{StreamExt, stream};
use metrics::counter;
use tokio::sync::mpsc;
use tracing::warn;

use crate::config::KafkaConfig;
use crate::decode::Rejection;
use crate::event::PartitionId;
use crate::kafka::producer::{TopicError, TopicProducer};

/// Letters that wait for the broker; further ones are left out.
const QUEUED: usize = 10_000;
/// Letters sent without waiting for their acknowledgement.
const ON_THE_WAY: usize = 1_000;

/// The way to the task that sends dead letters. The task ends some time after this is dropped.
pub struct DeadLetters {
    queue: mpsc::Sender<Letter>,
}

struct Letter {
    payload: String,
    headers: [(&'static str, String); 5],
}

impl DeadLetters {
    /// Starts the task. Returns `None` if no topic is configured. Does not wait for a broker.
    ///
    /// # Errors
    /// Fails for a topic to which this configuration cannot produce.
    pub fn start(config: &KafkaConfig) -> Result<Option<Self>, TopicError> {
        let Some(topic) = &config.dead_letter_topic else { return Ok(None) };
        let producer = TopicProducer::new(config, topic)?;
        let (queue, letters) = mpsc::channel(QUEUED);
        tokio::spawn(send_all(producer, letters));
        Ok(Some(Self { queue }))
    }

    /// Queues the stored rejections of a batch. Never waits.
    pub fn enqueue(&self, partition: &PartitionId, rejections: &[Rejection]) {
        let letters = rejections.iter().map(|rejection| Letter::of(partition, rejection));
        let left_out = letters.filter_map(|letter| self.queue.try_send(letter).err()).count();
        if left_out > 0 {
            note_lost(left_out, "the queue is full");
        }
    }
}

impl Letter {
    fn of(partition: &PartitionId, rejection: &Rejection) -> Self {
        let headers = [
            ("keywatch-reason", rejection.reason.to_string()),
            ("keywatch-detail", rejection.detail.clone()),
            ("keywatch-topic", partition.topic.to_string()),
            ("keywatch-partition", partition.partition.to_string()),
            ("keywatch-offset", rejection.position.offset.to_string()),
        ];
        Self { payload: rejection.masked_payload.clone(), headers }
    }
}

async fn send_all(producer: TopicProducer, letters: mpsc::Receiver<Letter>) {
    let letters = stream::unfold(letters, async |mut letters| {
        letters.recv().await.map(|letter| (letter, letters))
    });
    let send = async |letter: Letter| {
        let headers = letter.headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        producer.send(None, letter.payload.as_bytes(), &headers).await
    };
    letters
        .map(send)
        .buffered(ON_THE_WAY)
        .for_each(async |outcome| {
            if let Err(error) = outcome {
                note_lost(1, &error.to_string());
            }
        })
        .await;
}

fn note_lost(letters: usize, reason: &str) {
    counter!("keywatch_dead_letters_lost_total").increment(letters as u64);
    warn!(letters, reason, "dead letters were not sent; the table rejected_events has them");
}
