//! A fire drill: a marked attack on a canary key goes through the real path, and each hop is measured.
//!
//! ```text
//! canary (a key of its own) -> attack (a record in the topic) -> watch (row, alert, deliveries)
//! ```
//!
//! A drill cannot harm a key. Its requests are refused attempts, and attempts never ask for more than
//! a notice; its key is one that no customer has, under a reserved prefix; and it does not begin if
//! another key has that prefix.

mod attack;
mod canary;
mod hops;
mod watch;

use std::time::Duration;

use crate::alert::CloseReason;
use crate::casework::{Order, act_on_all};
use crate::config::{Config, SourceKind};
use crate::kafka::producer::{TopicError, TopicProducer};
use crate::store::{Store, StoreError};
use crate::text::visible;
use crate::workflow::{Kind, Origin};

pub use self::hops::{Drill, Hop, State};

/// The owner of every canary of a drill, and the name under which a drill acts.
pub const OWNER: &str = "keywatch drill";

#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    #[error("`source.kind` is not `kafka`: a drill sends its records to the topic that is read")]
    NoTopic,
    #[error(
        "`decode.format` is `{0}`: the records of a drill are of the format `keywatch`, and would be rejected"
    )]
    Format(String),
    #[error(
        "the key {} is no canary of a drill, and its id begins with `drill.key_prefix`: choose another prefix",
        visible(.0)
    )]
    Taken(String),
    #[error("others change the registry all the time; try again")]
    Contended,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Topic(#[from] TopicError),
}

impl DrillError {
    /// Whether the caller can repair it by the configuration.
    pub fn is_of_configuration(&self) -> bool {
        matches!(self, Self::NoTopic | Self::Format(_) | Self::Taken(_))
    }
}

/// Runs a drill, and waits for its end for at most `within`. `strangers` are the keys of the registry
/// file.
///
/// # Errors
/// [`DrillError`], when it cannot begin or ClickHouse or Kafka fails. A hop that is not reached is no
/// error: the result names it.
pub async fn run(
    config: &Config,
    store: &Store,
    strangers: &[String],
    within: Duration,
) -> Result<Drill, DrillError> {
    let topic = topic(config)?;
    let producer = TopicProducer::new(&config.source.kafka, topic)?;
    canary::refuse_strangers(store, &config.drill.key_prefix, strangers).await?;
    let key = canary::new_id(&config.drill.key_prefix);
    let mut drill = Drill::new(key.clone(), config.channel_names());
    drill.registered(canary::register(store, &key).await?);
    watch::until_told(&mut drill, store, &producer, within).await?;
    if let Some(incident) = &drill.incident {
        close(store, incident).await?;
    }
    Ok(drill)
}

/// The topic to which the gateways write.
fn topic(config: &Config) -> Result<&str, DrillError> {
    if config.source.kind != SourceKind::Kafka {
        return Err(DrillError::NoTopic);
    }
    if config.decode.format != "keywatch" {
        return Err(DrillError::Format(config.decode.format.clone()));
    }
    config.source.kafka.topics.first().map(String::as_str).ok_or(DrillError::NoTopic)
}

/// The incident of a drill does not stay among those that people look at.
async fn close(store: &Store, incident: &str) -> Result<(), StoreError> {
    let order = Order {
        kind: Kind::Dismiss,
        reason: Some(CloseReason::Test),
        assignee: None,
        text: "A fire drill: keywatch drill.".into(),
        quiet_seconds: 0,
        who: OWNER.into(),
        origin: Origin::CommandLine,
    };
    act_on_all(&order, store, &[incident]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_stranger_cannot_deceive_who_reads_the_error() {
        let said = DrillError::Taken("keywatch-drill-\u{1b}[2J\u{202e}x".into()).to_string();
        assert!(said.starts_with("the key keywatch-drill-⟨U+001B⟩[2J⟨U+202E⟩x is no"), "{said}");
    }
}
