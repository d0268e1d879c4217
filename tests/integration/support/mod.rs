//! Starts the real parts.

pub mod kafka;
pub mod mailbox;
pub mod receiver;
