//! Real parts, started for one test and ended with it.

pub mod mailbox;
pub mod receiver;
