//! Who is told, and how.

pub mod kafka;
