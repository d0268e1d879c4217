//! Tests the queries about the log itself: what is stored, rejected, set aside.

use keywatch::decode::RejectReason;
use keywatch::store::StoredBatch;

use super::{answer, events, execute, stored};
use crate::clickhouse::samples::{partition, rejection, unclaimed};
use crate::support::clickhouse::database;

#[tokio::test]
async fn rejections() {
    let database = database().await;
    let rejections = [
        rejection(1, RejectReason::BadStatus),
        rejection(2, RejectReason::InvalidJson),
        rejection(3, RejectReason::InvalidJson),
    ];
    let partition = partition(0);
    let batch = StoredBatch {
        first_offset: 1,
        last_offset: 3,
        rejections: &rejections,
        ..unclaimed(&partition)
    };
    database.store.write_batch(&batch).await.unwrap();
    let columns = ["reason", "records", "partitions"];
    let rows = answer(&database.store, "rejections", &[], &columns).await;
    assert_eq!(rows, ["invalid_json | 2 | 1", "bad_status | 1 | 1"]);
}

#[tokio::test]
async fn completeness() {
    let complete =
        stored(&[events(0, ["a"; 5], 0.1, |_| {}), events(5, ["a"; 5], 0.1, |_| {})]).await;
    let columns = ["finding", "from_offset", "to_offset"];
    let rows = answer(&complete.store, "completeness", &[], &columns).await;
    assert_eq!(rows, Vec::<String>::new());

    let incomplete = stored(&[
        events(0, ["a"; 5], 0.1, |_| {}),
        events(8, ["a"; 5], 0.1, |_| {}),
        events(11, ["a"; 5], 0.1, |_| {}),
    ])
    .await;
    // An intent is not in doubt if a newer owner's batches have passed it.
    let doubt = "INSERT INTO ingest_batches \
                 (topic, partition, first_offset, last_offset, state, log_end, time) \
                 VALUES ('access', 0, 16, 20, 'intent', NULL, now()), \
                 ('access', 0, 9, 14, 'intent', NULL, now()), \
                 ('access', 1, 0, 9, 'done', 30, now())";
    execute(&incomplete, doubt).await;
    let rows = answer(&incomplete.store, "completeness", &[], &columns).await;
    assert_eq!(
        rows,
        ["gap | 5 | 7", "overlap | 11 | 12", "in doubt | 16 | 20", "behind | 10 | 29"]
    );
}

#[tokio::test]
async fn progress() {
    let database =
        stored(&[events(5, ["a"; 5], 0.1, |_| {}), events(10, ["a"; 5], 0.1, |_| {})]).await;
    let more = "INSERT INTO ingest_batches \
                (topic, partition, first_offset, last_offset, state, log_end, events, time) \
                VALUES ('access', 0, 15, 20, 'intent', NULL, 0, now()), \
                ('access', 0, 9, 14, 'intent', NULL, 0, now()), \
                ('access', 1, 0, 9, 'done', 30, 10, now()), \
                ('access', 1, 0, 9, 'done', 30, 10, now())";
    execute(&database, more).await;
    let columns =
        ["partition", "stored_from", "stored_to", "behind", "in_doubt", "events", "rejections"];
    let rows = answer(&database.store, "progress", &[], &columns).await;
    assert_eq!(rows, ["0 | 5 | 14 | 0 | 1 | 10 | 0", "1 | 0 | 9 | 20 | 0 | 10 | 0"]);
}

#[tokio::test]
async fn quarantined() {
    let database = stored(&[events(0, ["a"; 3], 0.1, |_| {})]).await;
    let late = "INSERT INTO access_events (topic, partition, record_offset, time, key_id, quarantined) \
                VALUES ('access', 2, 1, now() - 5000, 'a', 'very_late'), \
                ('access', 2, 2, now() - 5000, 'b', 'very_late')";
    execute(&database, late).await;
    let columns = ["reason", "topic", "partition", "events", "keys_named"];
    let rows = answer(&database.store, "quarantined", &[], &columns).await;
    assert_eq!(rows, ["very_late | access | 2 | 2 | 2"]);
}
