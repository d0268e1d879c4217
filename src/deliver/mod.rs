//! Delivers alerts to people and machines: by e-mail, signed webhook, JSON of templates and Kafka
//! topic.
//!
//! ```text
//! enqueue -> lane (one a channel: bounded inbox, schedule) -> channel -> receiver
//!                        ^ undelivered alerts                 | every attempt
//!                        +----------- delivery log <----------+
//! ```
//!
//! A lane sends requests first, then critical alerts, then the rest, several at once where its channel
//! allows it, and never two revisions of one incident at once.
//!
//! The store holds every alert before the outbox gets it, so the outbox keeps nothing durable. The
//! lane reads back from the store each alert that its queue could not hold or that was undelivered
//! at shutdown.

mod account;
pub mod answer;
mod casebook;
mod check;
pub mod email;
mod inbox;
mod lane;
pub mod memory;
mod ocsf;
mod once;
pub mod outbox;
mod owner;
mod pending;
mod post;
mod recent;
pub mod record;
mod signature;
pub mod template;
pub mod topic;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::alert::Alert;
use crate::config::Config;

pub use self::casebook::Casebook;
pub use self::check::{check_channels, check_email, check_owner, check_webhook};
pub use self::email::EmailChannel;
pub use self::once::{OnceError, deliver_once, sample};
pub use self::outbox::{DeliveryLog, Outbox, OutboxSettings, Reminder};
pub use self::owner::{OwnerBook, OwnerChannel, links as owner_links};
pub use self::template::TemplateChannel;
pub use self::topic::TopicChannel;
pub use self::webhook::WebhookChannel;

/// A way to deliver alerts to a receiver.
pub trait Channel: Send + Sync + 'static {
    /// A stable name: metrics and stored deliveries carry it.
    fn name(&self) -> &'static str;

    /// Why this channel does not deliver `alert`; `None` when it does. The lane asks before each
    /// attempt.
    fn declines(&self, alert: &Alert) -> Option<&'static str>;

    /// Whether the receiver keeps a record of all revisions, and wakes nobody: it gets those too
    /// that are kept quiet for people.
    fn is_record(&self) -> bool {
        false
    }

    /// How many deliveries may be on their way at once. Two about one incident never are.
    fn parallel(&self) -> usize {
        1
    }

    /// How many alerts may leave in one delivery at `now`.
    fn allowance(&self, _now: Instant) -> Allowance {
        Allowance::One
    }

    /// Delivers `alerts` as one message. There is more than one alert only if
    /// [`Channel::allowance`] permitted it. Returns the receiver's reply, for the record.
    fn deliver(
        &self,
        alerts: &[Arc<Alert>],
    ) -> impl Future<Output = Result<String, DeliveryError>> + Send;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    One,
    /// All waiting alerts, in one delivery.
    All,
    /// No delivery before this instant.
    NotBefore(Instant),
}

/// Why a delivery failed. The kind decides how the lane treats the alert and the channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// A later attempt may succeed. With `retry_after`, the receiver asked the whole channel to
    /// wait.
    #[error("{reason}")]
    Retryable { reason: String, retry_after: Option<Duration> },
    /// The receiver will never take this alert.
    #[error("{reason}")]
    Permanent { reason: String },
    /// The channel found out that this alert is not for it.
    #[error("{reason}")]
    Declined { reason: String },
    /// No alert can be delivered until an operator repairs something, such as a wrong password. The
    /// lane keeps the alerts and tries the channel again at intervals.
    #[error("{reason}")]
    Blocked { reason: String },
    /// The receiver answered that it must never be called again. Alerts stay in the store.
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
    #[error("channel.{name}: {reason}")]
    Named { name: String, reason: String },
}

/// Starts a lane for each channel that `config` names.
///
/// Secrets must have been read from their files already. `casebook` tells the lanes what people did
/// to incidents, and `owners` who owns a key.
///
/// # Errors
/// When a channel cannot work with its configuration. Servers are not contacted yet.
pub fn start<L: DeliveryLog>(
    config: &Config,
    log: &Arc<L>,
    casebook: &Arc<Casebook>,
    owners: impl OwnerBook,
) -> Result<Outbox, ChannelError> {
    casebook.route_monitor(config.policy.rules.monitor.channels.clone());
    let mut outbox = Outbox::new(casebook);
    let settings = OutboxSettings::default();
    if let Some(email) = &config.email {
        outbox.add(EmailChannel::new(email, &config.clickhouse.database)?, log, settings);
    }
    if let Some(webhook) = &config.webhook {
        outbox.add(WebhookChannel::new(webhook)?, log, settings);
    }
    for (name, channel) in &config.channel {
        outbox.add(TemplateChannel::new(name, channel)?, log, settings);
    }
    if let Some(topic) = &config.alerts_topic {
        outbox.add(TopicChannel::new(&config.source.kafka, topic)?, log, settings);
    }
    if let Some(owner) = &config.owner {
        outbox.add(OwnerChannel::new(config, owner, owners)?, log, settings);
    }
    Ok(outbox)
}

/// The id of a delivery. Every attempt at one revision has the same id, so that receivers can
/// recognise a repetition. It holds letters, digits, `_` and `-` only: Standard Webhooks forbids
/// the full stop.
pub fn delivery_id(alert: &Alert) -> String {
    let id = alert.id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    format!("{}-{}", id.collect::<String>(), alert.revision)
}

#[cfg(test)]
pub(crate) mod fixtures {
    #![allow(clippy::expect_used)]

    use crate::alert::Alert;

    /// Reads an alert of `tests/fixtures/alerts/`.
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

    /// Receivers, stored alerts and the topic all rely on this JSON form.
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
