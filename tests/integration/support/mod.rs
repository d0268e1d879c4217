//! Starts the real parts.

pub mod alerts;
pub mod clickhouse;
pub mod geo;
pub mod kafka;
pub mod mailbox;
pub mod proxy;
pub mod receiver;
pub mod service;
pub mod traffic;
