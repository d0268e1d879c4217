//! Starts the real parts.

pub mod clickhouse;
pub mod kafka;
pub mod mailbox;
pub mod receiver;
