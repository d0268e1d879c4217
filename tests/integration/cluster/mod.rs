//! Tests on a real cluster of ClickHouse: two shards with two replicas each. `make cluster` runs
//! them.

mod doctor;
mod exact;
mod faults;
mod migrations;
mod moving;

use keywatch::config::ClickHouseConfig;

use crate::support::cluster::NAME;
use crate::support::settings::Settings;

fn settings(config: &ClickHouseConfig) -> Settings {
    Settings::new(config).set("clickhouse.cluster", NAME)
}
