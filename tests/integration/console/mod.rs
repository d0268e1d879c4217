//! Tests the console of a running service against the real ClickHouse engine.

pub mod access;
mod acting;
mod api;
mod away;
mod fleet;
mod guard;
mod many;
mod pages;
mod policy;
mod sources;
mod stream;

use keywatch::alert::Alert;
use keywatch::store::{Store, StoredBatch};

use crate::clickhouse::samples::{partition, unclaimed};

/// Stores alerts as a batch of their own. `offset` tells batches apart.
pub async fn store_alerts(store: &Store, offset: i64, alerts: &[Alert]) {
    let partition = partition(0);
    let batch =
        StoredBatch { first_offset: offset, last_offset: offset, alerts, ..unclaimed(&partition) };
    store.write_batch(&batch).await.unwrap();
}

pub fn fixture(name: &str) -> Alert {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/alerts");
    let text = std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}
