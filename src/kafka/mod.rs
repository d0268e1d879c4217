//! Connects to Kafka. This module holds the settings, logs and connection state of the consumer and
//! the producers, and the producer that alerts and dead letters share.

mod client;
pub mod producer;

pub use self::client::SettingsError;
pub(crate) use self::client::{ConnectionLog, client_config, log_line};
