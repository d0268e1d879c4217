//! Tests against real parts: ClickHouse, Kafka, SMTP, HTTP. All tests share one binary, so that it
//! is linked once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alerts_cli;
mod audit;
mod backtest_cli;
mod blind;
mod browser;
mod case_bundle;
mod chaos;
mod check_config;
mod clickhouse;
mod cluster;
mod compliance;
mod console;
mod cut_back;
mod deliver;
mod demo;
mod doctor_cli;
mod doctor_topic;
mod drill;
mod end_to_end;
mod enrich;
mod faults;
mod formats_cli;
mod gateways;
mod generate;
mod hostile;
mod http_source;
mod hunt_cli;
mod idempotency;
mod kafka_source;
mod key_feeds;
mod keys;
mod keys_cli;
mod leaks;
mod names;
mod odd_topics;
mod people;
mod promise;
mod receivers;
mod release;
mod repartition;
mod replay;
mod response;
mod retention;
mod revocation;
mod sigma_cli;
mod sources;
mod state;
mod storm;
mod support;
mod suppression;
mod tls;
mod topic_producer;
#[cfg(feature = "train")]
mod train_cli;
