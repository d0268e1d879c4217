//! Sends alerts, and records that could not be decoded, to a Kafka topic.

use std::sync::Arc;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;

use crate::config::KafkaConfig;
use crate::kafka::{ConnectionLog, SettingsError, client_config, log_line};

/// After this time a record counts as not sent, and its sender decides how to continue.
const DEFAULTS: [(&str, &str); 2] = [("message.timeout.ms", "30000"), ("linger.ms", "5")];

/// With these settings, a retry inside the client neither loses nor duplicates a record.
const INVARIANTS: [(&str, &str); 2] = [("enable.idempotence", "true"), ("acks", "all")];

#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    #[error("source.kafka: {0}")]
    Settings(#[from] SettingsError),
    #[error("Kafka topic {topic}: {reason}")]
    NotSent { topic: Arc<str>, reason: KafkaError },
}

impl TopicError {
    /// Returns true when sending the same record again cannot succeed.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Settings(_) => true,
            Self::NotSent { reason, .. } => matches!(
                reason.rdkafka_error_code(),
                Some(
                    RDKafkaErrorCode::MessageSizeTooLarge
                        | RDKafkaErrorCode::InvalidMessage
                        | RDKafkaErrorCode::InvalidRecord
                )
            ),
        }
    }
}

/// Writes records to one topic. Cheap to clone.
#[derive(Clone)]
pub struct TopicProducer {
    producer: FutureProducer<Context>,
    connection: Arc<ConnectionLog>,
    topic: Arc<str>,
}

impl TopicProducer {
    /// Creates the producer. Does not wait for a broker.
    ///
    /// # Errors
    /// Fails when the settings are not usable.
    pub fn new(config: &KafkaConfig, topic: &str) -> Result<Self, TopicError> {
        let mut client = client_config(config, &DEFAULTS)?;
        for (property, value) in INVARIANTS {
            client.set(property, value);
        }
        let connection = Arc::new(ConnectionLog::new(config));
        let context = Context { connection: Arc::clone(&connection) };
        let producer = client.create_with_context(context).map_err(SettingsError::from)?;
        Ok(Self { producer, connection, topic: topic.into() })
    }

    /// Sends a record and returns when all in-sync replicas have it. Records with the same key stay
    /// in order when they are sent one after the other.
    ///
    /// # Errors
    /// Fails when that did not happen within `message.timeout.ms` (30 s).
    pub async fn send(
        &self,
        key: Option<&str>,
        payload: &[u8],
        headers: &[(&str, &str)],
    ) -> Result<(), TopicError> {
        let mut record = FutureRecord::to(&self.topic).payload(payload).headers(owned(headers));
        record.key = key;
        match self.producer.send(record, Timeout::Never).await {
            Ok(_) => {
                self.connection.up();
                Ok(())
            }
            Err((reason, _)) => Err(TopicError::NotSent { topic: self.topic.clone(), reason }),
        }
    }
}

fn owned(headers: &[(&str, &str)]) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(headers.len());
    headers.iter().fold(empty, |all, (key, value)| all.insert(Header { key, value: Some(*value) }))
}

struct Context {
    connection: Arc<ConnectionLog>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connection.error(&error, reason);
    }
}
