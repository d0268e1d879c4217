//! Tests what a server makes good that was killed between the two steps of storing a block.
//!
//! ClickHouse writes the token of a block into its log, and only then makes the block's part
//! visible. After a kill in between, it takes the repeated block for a duplicate, and has no part.
//! The kill rarely falls there by chance, so the tests take the part away.

use keywatch::event::{EnrichedEvent, EventTime};
use keywatch::store::{Store, StoredBatch};

use super::batches::{
    USAGE_BY_HOUR, USAGE_BY_MINUTE, USAGE_BY_SOURCE, execute, usage, usage_by_source,
};
use super::samples::{batch, partition, varied_events};
use crate::support::clickhouse::{database, lines, start};

const TABLES: [&str; 5] =
    ["access_events", "key_usage_minute", "key_usage_hour", "source_usage_hour", "key_scope_day"];

const BATCH: usize = 600;

#[tokio::test]
async fn a_block_of_any_table_that_the_server_knows_and_lacks_is_stored_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = start(directory.path(), None).await;
    let config = server.config();
    let port = config.url.rsplit(':').next().unwrap().parse().unwrap();
    let store = Store::new(&config);
    store.migrate().await.unwrap();
    let partition = partition(0);
    let events = events_with_scopes(TABLES.len() * BATCH);
    for (number, table) in TABLES.into_iter().enumerate() {
        let so_far = &events[..(number + 1) * BATCH];
        let batch = batch(&partition, &so_far[number * BATCH..]);
        execute(&config, "SYSTEM STOP MERGES").await;
        store.write_batch(&batch).await.unwrap();
        let newest = newest_part(&store, table).await;
        drop(server);
        std::fs::remove_dir_all(&newest).unwrap();
        server = start(directory.path(), Some(port)).await;
        assert_ne!(stored(&store).await, expected(so_far), "{table} lost nothing");

        let token = format!("access/0/{}-{}", batch.first_offset, batch.last_offset);
        for _attempt in 0..2 {
            store.write_batch(&StoredBatch { token: Some(&token), ..batch }).await.unwrap();
            assert_eq!(stored(&store).await, expected(so_far), "{table}");
        }
    }
}

fn events_with_scopes(count: usize) -> Vec<EnrichedEvent> {
    let start = EventTime::now().plus_seconds(-7_200.0);
    let mut events = varied_events(count, 0, start, 0.5);
    for (i, enriched) in events.iter_mut().enumerate() {
        enriched.event.scope = Some(["read", "trade"][i % 2].into());
    }
    events
}

async fn newest_part(store: &Store, table: &str) -> String {
    let sql = format!(
        "SELECT path FROM system.parts WHERE database = currentDatabase() AND active \
         AND table = '{table}' ORDER BY max_block_number DESC LIMIT 1"
    );
    lines(store, &sql).await.remove(0)
}

/// Raw rows, minutes, hours, sources and scopes.
type Contents = [Vec<String>; 5];

async fn stored(store: &Store) -> Contents {
    [
        lines(store, "SELECT record_offset FROM access_events ORDER BY ALL").await,
        lines(store, USAGE_BY_MINUTE).await,
        lines(store, USAGE_BY_HOUR).await,
        lines_sorted(store, USAGE_BY_SOURCE).await,
        lines(store, "SELECT sum(requests) FROM key_scope_day").await,
    ]
}

async fn lines_sorted(store: &Store, sql: &str) -> Vec<String> {
    let mut lines = lines(store, sql).await;
    lines.sort();
    lines
}

fn expected(events: &[EnrichedEvent]) -> Contents {
    [
        (0..events.len()).map(|offset| offset.to_string()).collect(),
        usage(events, 60),
        usage(events, 3_600),
        usage_by_source(events),
        vec![events.len().to_string()],
    ]
}

/// A view that is not compared would stay wrong.
#[tokio::test]
async fn every_view_of_the_raw_rows_is_compared() {
    let database = database().await;
    let views = "SELECT replaceOne(name, '_view', '') FROM system.tables \
        WHERE database = currentDatabase() AND engine = 'MaterializedView' \
        AND hasAny([extract(as_select, 'FROM \\\\w+\\\\.(\\\\w+)')], \
            ['access_events', 'key_usage_minute']) ORDER BY name";
    let mut compared = TABLES[1..].to_vec();
    compared.sort_unstable();
    assert_eq!(lines(&database.store, views).await, compared);
}
