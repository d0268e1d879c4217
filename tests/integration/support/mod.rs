//! Starts the real parts.

pub mod kafka;
