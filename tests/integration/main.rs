//! Tests against real parts: ClickHouse, Kafka, SMTP, HTTP. One binary, so that it links once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backtest_cli;
mod blind;
mod chaos;
mod check_config;
mod clickhouse;
mod deliver;
mod demo;
mod end_to_end;
mod enrich;
mod faults;
mod generate;
mod http_source;
mod kafka_source;
mod repartition;
mod replay;
mod sources;
mod state;
mod support;
mod topic_producer;
#[cfg(feature = "train")]
mod train_cli;
