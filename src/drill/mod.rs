//! A fire drill: a marked attack on a canary key goes through the real path, and each hop is measured.
//!
//! ```text
//! canary (a key of its own) -> attack (a record in the topic) -> watch (row, alert, deliveries)
//!     -> clear (the canary is retired, its incidents are closed), however the drill ends
//! ```
//!
//! A drill cannot harm a key. Its requests are refused attempts, and attempts never ask for more than
//! a notice; its key is one that no customer has, under a reserved prefix; and it does not begin if
//! another key has that prefix.

mod attack;
mod canary;
mod clear;
mod hops;
mod watch;

use std::time::Duration;

use tokio::time::timeout;

use crate::config::{Config, SourceKind};
use crate::kafka::producer::{TopicError, TopicProducer};
use crate::registry::RegisteredKey;
use crate::store::{Store, StoreError};

pub use self::hops::{Drill, Hop, State};

/// ClickHouse may take so long for one step.
const STEP: Duration = Duration::from_secs(10);

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
        "the key {0} is no canary of a drill, and its id begins with `drill.key_prefix`: choose another prefix"
    )]
    Taken(String),
    #[error("others change the registry all the time; try again")]
    Contended,
    #[error("ClickHouse has not answered within {} s", .0.as_secs())]
    NoAnswer(Duration),
    #[error("the drill was stopped")]
    Stopped,
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

    /// Whether ClickHouse may do the same later.
    fn is_passing(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::NoAnswer(_) | Self::Contended => true,
            _ => false,
        }
    }
}

/// Runs a drill, and waits for its end for at most `within`, or until `stop`. `strangers` are the keys
/// of the registry file.
///
/// # Errors
/// [`DrillError`], when it cannot begin. Whatever fails later is no error: the result names the hops
/// that were not reached, and why.
pub async fn run(
    config: &Config,
    store: &Store,
    strangers: &[String],
    within: Duration,
    stop: impl Future<Output = ()>,
) -> Result<Drill, DrillError> {
    let producer = TopicProducer::new(&config.source.kafka, topic(config)?)?;
    let prefix = &config.drill.key_prefix;
    in_time(STEP, canary::refuse_strangers(store, prefix, strangers)).await?;
    let canary = canary::new(prefix);
    let mut drill = Drill::new(canary.key_id.to_string(), config.channel_names());
    let course = course(&mut drill, store, &producer, &canary, within);
    let outcome = tokio::select! {
        outcome = course => outcome,
        () = stop => Err(DrillError::Stopped),
    };
    match outcome {
        Err(taken @ DrillError::Taken(_)) => return Err(taken),
        Err(error) => drill.end(&error.to_string()),
        Ok(()) => {}
    }
    clear::away(&mut drill, store, &canary).await;
    Ok(drill)
}

async fn course(
    drill: &mut Drill,
    store: &Store,
    producer: &TopicProducer,
    canary: &RegisteredKey,
    within: Duration,
) -> Result<(), DrillError> {
    drill.registered(in_time(STEP, canary::register(store, canary)).await?);
    watch::until_told(drill, store, producer, within).await
}

/// Calls to ClickHouse have no end of their own, and some are repeated until it answers.
async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, DrillError>>,
) -> Result<T, DrillError> {
    timeout(limit, work).await.unwrap_or(Err(DrillError::NoAnswer(limit)))
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
