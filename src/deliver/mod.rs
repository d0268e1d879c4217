//! Alerts to people and machines: e-mail, signed webhook, Kafka topic.
//!
//! ```text
//! enqueue -> lane (one a channel: bounded queue, schedule) -> channel -> receiver
//!                        ^ undelivered alerts                 | every attempt
//!                        +----------- delivery log <----------+
//! ```
//!
//! An alert is durable in the store before it comes here, so that nothing here
//! has to be: what a lane cannot hold, or still holds at shutdown, is read back.

pub mod email;
pub mod kafka;
mod lane;
pub mod memory;
mod ocsf;
pub mod outbox;
mod pending;
mod recent;
mod signature;
pub mod topic;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::alert::Alert;
use crate::config::Config;

pub use self::email::EmailChannel;
pub use self::outbox::{DeliveryLog, Outbox, OutboxSettings};
pub use self::topic::TopicChannel;
pub use self::webhook::WebhookChannel;

/// One way out of the house.
pub trait Channel: Send + Sync + 'static {
    /// Stable: metrics and stored deliveries carry it.
    fn name(&self) -> &'static str;

    /// Why `alert` is not for this channel; `None` when it is. Asked before each attempt.
    fn declines(&self, alert: &Alert) -> Option<&'static str>;

    /// How many alerts may leave in one delivery at `now`.
    fn allowance(&mut self, _now: Instant) -> Allowance {
        Allowance::One
    }

    /// Delivers `alerts` as one message; more than one only where [`Channel::allowance`]
    /// said so. The answer is what the receiver said, for the record.
    fn deliver(
        &mut self,
        alerts: &[Arc<Alert>],
    ) -> impl Future<Output = Result<String, DeliveryError>> + Send;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    One,
    /// Everything that waits, bundled.
    All,
    /// Nothing before this instant.
    NotBefore(Instant),
}

/// Why a delivery failed. The kinds differ in what becomes of the alert and of the channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// It may work later. With `retry_after` the receiver asked the whole channel to wait.
    #[error("{reason}")]
    Retryable { reason: String, retry_after: Option<Duration> },
    /// The receiver will never take this alert.
    #[error("{reason}")]
    Permanent { reason: String },
    /// No alert can pass until a person mends something, such as a wrong password.
    /// Alerts are kept and the channel is tried again now and then.
    #[error("{reason}")]
    Blocked { reason: String },
    /// The receiver asked never to be called again. Alerts stay in the store.
    #[error("{reason}")]
    Gone { reason: String },
}

/// A channel that cannot start with this configuration.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    #[error("{key}: {reason}")]
    Config { key: &'static str, reason: String },
    #[error("{key}: cannot read {path}: {reason}")]
    File { key: &'static str, path: String, reason: std::io::Error },
    #[error("{channel}: cannot start: {reason}")]
    Start { channel: &'static str, reason: String },
}

/// Starts a lane for each channel that `config` names.
///
/// Secrets must have been read from their files already.
///
/// # Errors
/// When a channel cannot work with its configuration. Servers are not contacted yet.
pub fn start<L: DeliveryLog>(config: &Config, log: &Arc<L>) -> Result<Outbox, ChannelError> {
    let mut outbox = Outbox::default();
    let settings = OutboxSettings::default();
    if let Some(email) = &config.email {
        outbox.add(EmailChannel::new(email, &config.clickhouse.database)?, log, settings);
    }
    if let Some(webhook) = &config.webhook {
        outbox.add(WebhookChannel::new(webhook)?, log, settings);
    }
    if let Some(topic) = &config.alerts_topic {
        outbox.add(TopicChannel::new(&config.source.kafka, topic)?, log, settings);
    }
    Ok(outbox)
}

/// The same for every attempt at the same revision, so that receivers can tell a
/// repetition. Letters, digits, `_` and `-` only: Standard Webhooks forbids the full stop.
pub fn delivery_id(alert: &Alert) -> String {
    let id = alert.id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    format!("{}-{}", id.collect::<String>(), alert.revision)
}

#[cfg(test)]
pub(crate) mod fixtures {
    #![allow(clippy::expect_used)]

    use crate::alert::Alert;

    /// An alert of `tests/fixtures/alerts/`.
    pub(crate) fn alert(name: &str) -> Alert {
        let path = format!("{}/tests/fixtures/alerts/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("a fixture");
        serde_json::from_str(&text).expect("an alert")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Receivers, stored alerts and the topic all rely on this form.
    #[test]
    fn alerts_keep_their_form_as_json_and_come_back_whole() {
        for name in ["impossible_travel", "revocation_requested", "hostile", "source_resolved"] {
            let alert = fixtures::alert(name);
            let json = serde_json::to_string_pretty(&alert).unwrap();
            assert_eq!(serde_json::from_str::<Alert>(&json).unwrap(), alert, "{name}");
            insta::assert_snapshot!(name, json);
        }
    }

    #[test]
    fn delivery_ids_name_the_revision_and_hold_no_separator_of_the_signature() {
        let mut alert = fixtures::alert("impossible_travel");
        alert.id = "al.1/2".into();
        alert.revision = 7;
        assert_eq!(delivery_id(&alert), "al_1_2-7");
    }
}
