//! Sends messages to one Kafka topic.

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;

use crate::config::KafkaConfig;

#[derive(Debug, thiserror::Error)]
#[error("Kafka topic {topic}: {reason}")]
pub struct TopicError {
    topic: String,
    reason: KafkaError,
}

impl TopicError {
    /// True when sending the same record again cannot succeed.
    pub fn is_permanent(&self) -> bool {
        self.reason.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
    }
}

pub struct TopicProducer {
    producer: FutureProducer,
    topic: String,
}

impl TopicProducer {
    /// # Errors
    /// When librdkafka refuses the configuration. Brokers are not contacted yet.
    pub fn new(config: &KafkaConfig, topic: &str) -> Result<Self, TopicError> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &config.brokers)
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", "30000")
            .create()
            .map_err(|reason| TopicError { topic: topic.to_owned(), reason })?;
        Ok(Self { producer, topic: topic.to_owned() })
    }

    /// Resolves once the brokers have the message.
    ///
    /// # Errors
    /// When that did not happen within 30 s.
    pub async fn send(
        &self,
        key: Option<&str>,
        payload: &[u8],
        headers: &[(&str, &str)],
    ) -> Result<(), TopicError> {
        let headers = headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
            all.insert(Header { key, value: Some(*value) })
        });
        let mut record = FutureRecord::to(&self.topic).payload(payload).headers(headers);
        record.key = key;
        let sent = self.producer.send(record, Timeout::Never).await;
        sent.map(drop).map_err(|(reason, _)| TopicError { topic: self.topic.clone(), reason })
    }
}
