//! Starts the real parts for the tests.

pub mod alerts;
pub mod clickhouse;
pub mod cluster;
pub mod console;
pub mod eventually;
pub mod geo;
pub mod kafka;
pub mod mailbox;
pub mod names;
pub mod port;
pub mod proxy;
pub mod receiver;
pub mod service;
pub mod settings;
pub mod skip;
pub mod stored;
pub mod topic;
pub mod traffic;
