//! Writes alerts to a Kafka topic. Each revision of an alert is one message, keyed by key id, or by
//! incident if the alert has no key.

use std::sync::Arc;

use serde_json::to_vec;

use super::{Channel, ChannelError, DeliveryError, delivery_id};
use crate::alert::Alert;
use crate::config::{AlertFormat, AlertsTopicConfig, KafkaConfig};
use crate::kafka::producer::{TopicError, TopicProducer};

pub struct TopicChannel {
    producer: TopicProducer,
    topic: String,
    format: AlertFormat,
}

impl TopicChannel {
    /// # Errors
    /// When the Kafka configuration cannot be used.
    pub fn new(kafka: &KafkaConfig, config: &AlertsTopicConfig) -> Result<Self, ChannelError> {
        let producer = TopicProducer::new(kafka, &config.topic)
            .map_err(|error| ChannelError::Start { channel: "topic", reason: error.to_string() })?;
        Ok(Self { producer, topic: config.topic.clone(), format: config.format })
    }

    fn payload(&self, alert: &Alert) -> Result<Vec<u8>, DeliveryError> {
        let json = match self.format {
            AlertFormat::Keywatch => to_vec(alert),
            AlertFormat::Ocsf => to_vec(&alert.to_ocsf()),
        };
        json.map_err(|error| DeliveryError::Permanent {
            reason: format!("the alert cannot be written as JSON: {error}"),
        })
    }
}

impl Channel for TopicChannel {
    fn name(&self) -> &'static str {
        "topic"
    }

    fn declines(&self, _alert: &Alert) -> Option<&'static str> {
        None
    }

    fn is_record(&self) -> bool {
        true
    }

    async fn deliver(&self, alerts: &[Arc<Alert>]) -> Result<String, DeliveryError> {
        for alert in alerts {
            let payload = self.payload(alert)?;
            let id = delivery_id(alert);
            let headers = [("type", alert.alert_type.as_str()), ("webhook-id", id.as_str())];
            // One message key per incident keeps its revisions in order, also without an API key.
            let key = alert.key_id.as_deref().unwrap_or(&alert.id);
            self.producer.send(Some(key), &payload, &headers).await.map_err(judge)?;
        }
        Ok(format!("written to topic {}", self.topic))
    }
}

fn judge(error: TopicError) -> DeliveryError {
    let reason = error.to_string();
    if error.is_permanent() {
        DeliveryError::Permanent { reason }
    } else {
        DeliveryError::Retryable { reason, retry_after: None }
    }
}
