//! Tests every file of `sql/queries/` on rows with a known result.

use std::collections::BTreeSet;

use keywatch::event::{EnrichedEvent, EventTime};
use keywatch::store::{ANALYST_QUERIES, Store, analyst_query};

use super::samples::{batch, event, partition};
use crate::support::clickhouse::{TestDatabase, client, database};

mod alerts;
mod keys;
mod log;
mod registry;
mod sources;

/// Runs a query and returns the chosen columns as lines.
async fn answer(
    store: &Store,
    name: &str,
    values: &[(&str, &str)],
    columns: &[&str],
) -> Vec<String> {
    let query = analyst_query(name).unwrap();
    let table = store.query_table(query.sql, values).await.unwrap();
    let positions: Vec<usize> = columns
        .iter()
        .map(|column| table.columns.iter().position(|name| name == column).expect(column))
        .collect();
    let line = |row: &Vec<String>| {
        positions.iter().map(|position| row[*position].as_str()).collect::<Vec<_>>().join(" | ")
    };
    table.rows.iter().map(line).collect()
}

fn hours_ago(hours: f64) -> EventTime {
    EventTime::now().plus_seconds(-3_600.0 * hours)
}

/// Events with consecutive offsets, modified by `change`.
fn events<'a>(
    first_offset: i64,
    keys: impl IntoIterator<Item = &'a str>,
    hours: f64,
    change: impl Fn(&mut EnrichedEvent),
) -> Vec<EnrichedEvent> {
    let time = hours_ago(hours);
    let mut events: Vec<_> = keys
        .into_iter()
        .zip(first_offset..)
        .map(|(key, offset)| event(offset, time, key))
        .collect();
    events.iter_mut().for_each(change);
    events
}

async fn stored(batches: &[Vec<EnrichedEvent>]) -> TestDatabase {
    let database = database().await;
    for events in batches {
        database.store.write_batch(&batch(&partition(0), events)).await.unwrap();
    }
    database
}

/// Runs a statement that writes.
async fn execute(database: &TestDatabase, statement: &str) {
    client(&database.config).query(statement).execute().await.unwrap();
}

/// Fails for each query file that has no test.
#[test]
fn every_query_has_a_test() {
    let files = [
        include_str!("alerts.rs"),
        include_str!("keys.rs"),
        include_str!("log.rs"),
        include_str!("registry.rs"),
        include_str!("sources.rs"),
    ];
    let tested: BTreeSet<&str> = files
        .iter()
        .flat_map(|file| file.lines())
        .filter_map(|line| line.strip_prefix("async fn ")?.strip_suffix("() {"))
        .collect();
    for query in ANALYST_QUERIES {
        assert!(tested.contains(query.name), "{}", query.name);
    }
}
