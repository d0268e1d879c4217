//! Reports the state of the process: logs, metrics and health.

pub mod health;
pub mod logging;
pub mod metrics;
pub mod ops;

pub use self::health::{Drifted, Fit, Health, Part};

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("log.filter '{filter}': {reason}; write it as `info` or `keywatch=debug,warn`")]
    Filter { filter: String, reason: String },
    #[error("{what} were already set up in this process")]
    AlreadyInstalled { what: &'static str },
}
