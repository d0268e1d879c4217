//! Tests the store and the embedded server against the real ClickHouse engine.

pub mod acts;
mod alerts;
mod batches;
mod blocks;
mod dashboards;
mod embedded;
mod heirs;
mod lost_parts;
mod migrations;
mod outages;
mod queries;
mod revocations;
mod roles;
pub mod samples;
mod source_attempts;
mod state;
