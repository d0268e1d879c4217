//! Tests against real parts: ClickHouse, Kafka, SMTP, HTTP. All tests share one binary, so that it
//! is linked once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alerts_cli;
mod backtest_cli;
mod blind;
mod browser;
mod chaos;
mod check_config;
mod clickhouse;
mod console;
mod deliver;
mod demo;
mod doctor_cli;
mod end_to_end;
mod enrich;
mod faults;
mod formats_cli;
mod generate;
mod http_source;
mod kafka_source;
mod people;
mod promise;
mod repartition;
mod replay;
mod response;
mod revocation;
mod sources;
mod state;
mod storm;
mod support;
mod suppression;
mod topic_producer;
#[cfg(feature = "train")]
mod train_cli;
