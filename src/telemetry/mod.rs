//! What the process says about itself: logs, metrics, and whether it is well.

pub mod health;
pub mod logging;
pub mod metrics;
pub mod ops;

pub use self::health::{Health, Part};

use std::net::SocketAddr;

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("log.filter '{filter}': {reason}; write it as `info` or `keywatch=debug,warn`")]
    Filter { filter: String, reason: String },
    #[error("{what} were already set up in this process")]
    AlreadyInstalled { what: &'static str },
    #[error("service.listen {address}: {reason}; free the port or configure another")]
    Listen { address: SocketAddr, reason: std::io::Error },
}
