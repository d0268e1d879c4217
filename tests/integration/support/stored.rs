//! Compares the stored rows with the independent account of the records sent.

use keywatch::store::{Store, analyst_query};

use super::clickhouse::lines;
use super::eventually::{LIMIT, eventually};
use super::traffic::Traffic;

const ROWS: &str = "SELECT request_id, key_id, toUnixTimestamp64Micro(time), status \
    FROM access_events ORDER BY concat(request_id, ' ', key_id)";
const ALERTS_TWICE: &str =
    "SELECT id, revision, count() FROM alerts GROUP BY ALL HAVING count() > 1";

/// IPv4 alone is in the records.
const SOURCES: &str = "SELECT replaceOne(toString(source), '::ffff:', ''), toUnixTimestamp(hour), \
    key_id, sum(requests), sum(refused) FROM source_usage_hour GROUP BY source, hour, key_id";

fn usage_query(bucket: &str) -> String {
    format!(
        "SELECT key_id, toUnixTimestamp({bucket}), sum(requests), sum(status_2xx), \
         sum(status_3xx), sum(status_4xx), sum(status_5xx), sum(unauthorized), sum(throttled), \
         sum(bytes_in), sum(bytes_out) \
         FROM key_usage_{bucket} GROUP BY key_id, {bucket} ORDER BY key_id, {bucket}"
    )
}

pub async fn count(store: &Store, table: &str) -> usize {
    // The table does not exist before the service has migrated the database.
    let answer = store.query_table(&format!("SELECT count() FROM {table}"), &[]).await;
    answer.map_or(0, |table| table.rows[0][0].parse().unwrap())
}

pub async fn wait_for_rows(store: &Store, table: &str, rows: usize) {
    eventually(&format!("{rows} rows in {table}"), LIMIT, async || {
        let found = count(store, table).await;
        (found >= rows).then_some(()).ok_or(found)
    })
    .await;
}

/// Checks that raw rows, minutes, hours and sources match the records sent, and that the ledger has no gap,
/// overlap or doubt.
pub async fn assert_exact(store: &Store, traffic: &Traffic) {
    Stored::complete(store).await.assert_is(traffic);
}

/// Raw rows, rollups, and alert revisions that are stored twice.
pub struct Stored {
    rows: Vec<String>,
    minutes: Vec<String>,
    hours: Vec<String>,
    sources: Vec<String>,
    alerts_twice: Vec<String>,
}

impl Stored {
    /// Reads them once every batch is done.
    pub async fn complete(store: &Store) -> Self {
        eventually("every batch is done", LIMIT, async || {
            let completeness = analyst_query("completeness").unwrap();
            store.query_table(completeness.sql, &[]).await.unwrap().rows.is_empty()
        })
        .await;
        let mut rows = lines(store, ROWS).await;
        rows.sort();
        let mut sources = lines(store, SOURCES).await;
        sources.sort();
        Self {
            rows,
            minutes: lines(store, &usage_query("minute")).await,
            hours: lines(store, &usage_query("hour")).await,
            sources,
            alerts_twice: lines(store, ALERTS_TWICE).await,
        }
    }

    pub fn assert_is(&self, traffic: &Traffic) {
        assert_same("raw rows", &self.rows, &traffic.rows());
        assert_same("minutes", &self.minutes, &traffic.usage(60));
        assert_same("hours", &self.hours, &traffic.usage(3_600));
        assert_same("sources", &self.sources, &traffic.sources());
        assert_eq!(self.alerts_twice, [""; 0], "alert revisions stored twice");
    }
}

/// Like `assert_eq`, without printing tens of thousands of lines.
fn assert_same(what: &str, found: &[String], expected: &[String]) {
    let differs = found.iter().zip(expected).find(|(found, expected)| found != expected);
    assert!(differs.is_none(), "{what}, found and expected: {differs:#?}");
    assert_eq!(found.len(), expected.len(), "{what}");
}
