//! Delivers one alert at once, outside of any lane: for a person who asks for it.

use std::sync::Arc;

use super::{
    Channel, ChannelError, DeliveryError, EmailChannel, TemplateChannel, TopicChannel,
    WebhookChannel,
};
use crate::alert::{Action, Alert, AlertPosition, AlertType, Guidance, Handling, Severity};
use crate::config::Config;
use crate::event::EventTime;

/// Why an alert was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    #[error("no channel is named {name}; {configured}")]
    Unknown { name: String, configured: String },
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("{0}")]
    Delivery(#[from] DeliveryError),
}

/// Delivers `alert` through the channel of that name, whatever its severity. Returns the
/// receiver's reply. It is not tried again.
///
/// # Errors
/// [`OnceError`].
pub async fn deliver_once(config: &Config, name: &str, alert: &Alert) -> Result<String, OnceError> {
    match (name, &config.email, &config.webhook, &config.alerts_topic) {
        ("email", Some(email), ..) => {
            through(EmailChannel::new(email, &config.clickhouse.database)?, alert).await
        }
        ("webhook", _, Some(webhook), _) => through(WebhookChannel::new(webhook)?, alert).await,
        ("topic", .., Some(topic)) => {
            through(TopicChannel::new(&config.source.kafka, topic)?, alert).await
        }
        _ => match config.channel.get(name) {
            Some(channel) => through(TemplateChannel::new(name, channel)?, alert).await,
            None => {
                Err(OnceError::Unknown { name: name.to_owned(), configured: configured(config) })
            }
        },
    }
}

async fn through(channel: impl Channel, alert: &Alert) -> Result<String, OnceError> {
    Ok(channel.deliver(&[Arc::new(alert.clone())]).await?)
}

fn configured(config: &Config) -> String {
    match config.channel_names().as_slice() {
        [] => {
            "the configuration has none: set [email], [webhook], [channel.NAME] or [alerts_topic]"
                .to_owned()
        }
        names => format!("the configuration has {}", names.join(", ")),
    }
}

/// A sample that cannot be taken for an alert: it concerns no key, and asks for nothing.
pub fn sample(id: &str, who: &str, now: EventTime) -> Alert {
    Alert {
        id: format!("test_{id}"),
        revision: 1,
        alert_type: AlertType::Opened,
        key_id: None,
        source_ip: None,
        affected_keys: Vec::new(),
        tenant: None,
        severity: Severity::Low,
        risk: 0.0,
        confidence: 0.0,
        action: Action::Observe,
        restraint: None,
        dry_run: true,
        title: "TEST: a sample from Keywatch, not an alert".to_owned(),
        explanation: format!(
            "{who} sent this with `keywatch alerts test` to try the channel. No key is concerned, \
             and nothing needs to be done."
        ),
        detectors: Vec::new(),
        evidence: Vec::new(),
        first_event_time: now,
        last_event_time: now,
        detected_event_time: now,
        detected_at: now,
        position: AlertPosition {
            topic: "none".into(),
            partition: 0,
            first_offset: 0,
            last_offset: 0,
        },
        policy_version: "test".to_owned(),
        model_version: "test".to_owned(),
        guidance: Guidance::default(),
        handling: Handling::default(),
    }
}
