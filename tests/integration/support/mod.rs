//! Starting real parts.

pub mod clickhouse;
