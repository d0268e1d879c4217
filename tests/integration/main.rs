//! Tests against real parts: ClickHouse, Kafka, SMTP, HTTP. One binary, so that it links once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod clickhouse;
mod support;
