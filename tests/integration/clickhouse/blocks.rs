//! Tests that events sent as a block of columns are stored as rows would be.

use keywatch::config::ClickHouseConfig;
use keywatch::event::{EnrichedEvent, EventTime, Fingerprint, Nonce, Origin, PartitionId};
use keywatch::store::{EventRow, Store, StoredBatch, Written};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::batches::{USAGE_BY_HOUR, USAGE_BY_MINUTE, usage};
use super::samples::{batch, event, partition, varied_events};
use crate::support::clickhouse::{client, database, lines};

/// Sends the rows as RowBinary, as releases before blocks did.
async fn insert_by_rows(
    config: &ClickHouseConfig,
    table: &str,
    token: &str,
    partition: &PartitionId,
    events: &[EnrichedEvent],
) {
    let mut insert = client(config)
        .insert::<EventRow<'_>>(table)
        .await
        .unwrap()
        .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
        .with_setting("min_insert_block_size_rows", "100000000")
        .with_setting("max_partitions_per_insert_block", "0")
        .with_setting("insert_deduplication_token", token);
    for event in events {
        insert.write(&EventRow::new(partition, event)).await.unwrap();
    }
    insert.end().await.unwrap();
}

/// Texts at both sides of each length of a length, and characters of one to four bytes.
fn text() -> BoxedStrategy<String> {
    prop_oneof![
        3 => ".{0,12}",
        1 => "\\PC{0,40}",
        1 => Just(String::new()),
        1 => Just("\0'\"\\\n\u{1F511}\u{10FFFF}".to_owned()),
        1 => prop_oneof![Just(127), Just(128), Just(16_383), Just(16_384), Just(70_000)]
            .prop_map(|length| "ü".repeat(length / 2) + &"x".repeat(length % 2)),
    ]
    .boxed()
}

fn number<T: Arbitrary + Clone + 'static>(extremes: [T; 2]) -> BoxedStrategy<T> {
    let [least, most] = extremes;
    prop_oneof![any::<T>(), Just(least), Just(most)].boxed()
}

fn float() -> BoxedStrategy<f32> {
    prop_oneof![
        any::<f32>().prop_filter("a NaN equals nothing", |it| !it.is_nan()),
        Just(-0.0),
        Just(f32::INFINITY),
        Just(f32::MIN_POSITIVE / 2.0),
    ]
    .boxed()
}

fn request() -> BoxedStrategy<EnrichedEvent> {
    let texts = proptest::collection::vec(text(), 5);
    let optional = proptest::collection::vec(proptest::option::of(text()), 7);
    let numbers = (
        number([0, u16::MAX]),
        proptest::option::of(number([0, u64::MAX])),
        proptest::option::of(number([0, u64::MAX])),
        proptest::option::of(number([0, u32::MAX])),
        proptest::option::of(float()),
        number([0, u32::MAX]),
        number([0, u32::MAX]),
    );
    let hashes = (
        proptest::option::of(number([1_u128, u128::MAX])),
        proptest::option::of(number([1_u128, u128::MAX])),
        any::<std::net::IpAddr>(),
    );
    let times = (0..3_600_000_000_i64, proptest::option::of(number([i64::MIN, i64::MAX])));
    let flags = (any::<Option<bool>>(), any::<bool>());
    (texts, optional, numbers, hashes, times, flags).prop_map(filled).boxed()
}

type Parts = (
    Vec<String>,
    Vec<Option<String>>,
    (u16, Option<u64>, Option<u64>, Option<u32>, Option<f32>, u32, u32),
    (Option<u128>, Option<u128>, std::net::IpAddr),
    (i64, Option<i64>),
    (Option<bool>, bool),
);

fn filled((texts, optional, numbers, hashes, times, flags): Parts) -> EnrichedEvent {
    let now = EventTime::now().as_micros();
    let mut enriched = event(0, EventTime::from_micros(now - times.0), &texts[0]);
    let request = &mut enriched.event;
    request.method = texts[1].as_str().into();
    request.path = texts[2].as_str().into();
    (request.status, request.bytes_in, request.bytes_out) = (numbers.0, numbers.1, numbers.2);
    (request.validity_ms, request.latency_ms) = (numbers.3, numbers.4);
    request.nonce = hashes.0.map(|hash| Nonce { fingerprint: Fingerprint(hash), number: None });
    request.signature = hashes.1.map(Fingerprint);
    request.client_ip = hashes.2;
    request.client_time = times.1.map(EventTime::from_micros);
    (request.authenticated, request.has_secret) = flags;
    let text = |index: usize| optional[index].as_deref().map(Into::into);
    (request.request_id, request.user_agent, request.environment) = (text(0), text(1), text(2));
    (request.scope, request.tenant) = (text(3), text(4));
    (request.client_fingerprint, request.auth_method) = (text(5), text(6));
    enriched.origin = Origin {
        country: texts[3].as_str().into(),
        city: texts[4].as_str().into(),
        asn: numbers.6,
        ..Origin::default()
    }
    .into();
    enriched.position.index = numbers.5;
    enriched
}

#[tokio::test]
async fn odd_events_are_stored_as_their_rows_would_be() {
    let database = database().await;
    let mut runner = TestRunner::deterministic();
    let requests = proptest::collection::vec(request(), 1_000);
    let mut events = requests.new_tree(&mut runner).unwrap().current();
    for (offset, event) in events.iter_mut().enumerate() {
        event.position.offset = offset as i64;
    }
    let partition = PartitionId { topic: "ünï/1".into(), partition: i32::MAX };
    database.store.write_batch(&batch(&partition, &events)).await.unwrap();

    client(&database.config)
        .query("CREATE TABLE by_rows AS access_events")
        .execute()
        .await
        .unwrap();
    insert_by_rows(&database.config, "by_rows", "", &partition, &events).await;
    let counts = "SELECT (SELECT count() FROM access_events), (SELECT count() FROM by_rows), \
        (SELECT count() FROM (SELECT * FROM access_events INTERSECT SELECT * FROM by_rows))";
    assert_eq!(lines(&database.store, counts).await, ["1000 1000 1000"]);
}

/// The last release to send rows may have begun a batch that this one ends.
#[tokio::test]
async fn a_batch_that_was_sent_as_rows_is_stored_once() {
    let database = database().await;
    // Two days are two partitions of the table.
    let events = varied_events(2_000, 0, EventTime::now().plus_seconds(-86_400.0), 40.0);
    let partition = partition(0);
    let token = "access/0/0-1999";
    insert_by_rows(&database.config, "access_events", token, &partition, &events).await;
    let batch = batch(&partition, &events);
    for token in [None, Some(token)] {
        database.store.write_batch(&StoredBatch { token, ..batch }).await.unwrap();
        let count = "SELECT count() FROM access_events";
        assert_eq!(lines(&database.store, count).await, ["2000"]);
        assert_eq!(lines(&database.store, USAGE_BY_MINUTE).await, usage(&events, 60));
        assert_eq!(lines(&database.store, USAGE_BY_HOUR).await, usage(&events, 3_600));
    }
}

/// Most of a large block is with the server when the owner is looked up.
#[tokio::test]
async fn a_large_batch_of_an_owner_that_was_overtaken_leaves_nothing() {
    let database = database().await;
    let partition = partition(0);
    let old = database.store.claim(&partition, &"id".into()).await.unwrap();
    let new = Store::new(&database.config).claim(&partition, &"id".into()).await.unwrap();
    let events = varied_events(60_000, 0, EventTime::now().plus_seconds(-60.0), 0.001);
    let late = StoredBatch { claim: &old, ..batch(&partition, &events) };
    let by = new.owner.to_string();
    assert_eq!(database.store.write_batch(&late).await.unwrap(), Written::Superseded { by });
    let in_time = StoredBatch { claim: &new, ..batch(&partition, &events[..10]) };
    assert_eq!(database.store.write_batch(&in_time).await.unwrap(), Written::Stored);
    assert_eq!(lines(&database.store, "SELECT count() FROM access_events").await, ["10"]);
    assert_eq!(lines(&database.store, "SELECT sum(requests) FROM key_usage_hour").await, ["10"]);
}
