//! Tests that each batch is stored exactly once, with its rollups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keywatch::decode::RejectReason;
use keywatch::event::{EnrichedEvent, EventTime, PartitionId};
use keywatch::store::{
    BatchInDoubt, Claim, EventRow, Progress, Store, StoreError, StoredBatch, Written,
};

use super::samples::{alert, batch, event, origin, partition, rejection, varied_events};
use crate::support::clickhouse::{client, database, lines};

/// All tables that a batch may change, as text, to compare before and after.
async fn contents(store: &Store) -> Vec<Vec<String>> {
    let queries = [
        "SELECT record_offset, count() FROM access_events GROUP BY ALL ORDER BY ALL",
        USAGE_BY_MINUTE,
        USAGE_BY_HOUR,
        USAGE_BY_SOURCE,
        "SELECT record_offset, reason FROM rejected_events ORDER BY ALL",
        "SELECT id, revision FROM alerts ORDER BY ALL",
        "SELECT partition, first_offset, last_offset, state FROM ingest_batches ORDER BY ALL",
    ];
    let mut contents = Vec::new();
    for query in queries {
        contents.push(lines(store, query).await);
    }
    contents
}

pub const USAGE_BY_MINUTE: &str = "SELECT key_id, toUnixTimestamp(minute), sum(requests), \
    sum(status_2xx), sum(status_3xx), sum(status_4xx), sum(status_5xx), sum(unauthorized), \
    sum(throttled), sum(bytes_in), sum(bytes_out), uniqCombinedMerge(12)(ips), \
    uniqCombinedMerge(12)(countries), uniqCombinedMerge(12)(asns), uniqCombinedMerge(12)(routes) \
    FROM key_usage_minute GROUP BY key_id, minute ORDER BY key_id, minute";
pub const USAGE_BY_HOUR: &str = "SELECT key_id, toUnixTimestamp(hour), sum(requests), \
    sum(status_2xx), sum(status_3xx), sum(status_4xx), sum(status_5xx), sum(unauthorized), \
    sum(throttled), sum(bytes_in), sum(bytes_out), uniqCombinedMerge(12)(ips), \
    uniqCombinedMerge(12)(countries), uniqCombinedMerge(12)(asns), uniqCombinedMerge(12)(routes) \
    FROM key_usage_hour GROUP BY key_id, hour ORDER BY key_id, hour";

pub const USAGE_BY_SOURCE: &str = "SELECT toString(source), toUnixTimestamp(hour), key_id, \
    sum(requests), sum(accepted), sum(refused), sum(throttled), sum(failed), sum(bytes_out), \
    toUnixTimestamp(min(first_seen)), toUnixTimestamp(max(last_seen)) \
    FROM source_usage_hour GROUP BY source, hour, key_id ORDER BY ALL";

/// Computes the figures of [`USAGE_BY_SOURCE`].
pub fn usage_by_source(events: &[EnrichedEvent]) -> Vec<String> {
    let mut usages: BTreeMap<(String, i64, &str), [i64; 8]> = BTreeMap::new();
    for EnrichedEvent { event, .. } in events {
        let second = event.time.as_micros() / 1_000_000;
        let status = event.status;
        let source = match event.client_ip {
            std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            std::net::IpAddr::V6(ip) => (u128::from(ip) >> 64 << 64).into(),
        };
        let is_accepted = event.authenticated.unwrap_or((200..400).contains(&status));
        let key = (source.to_string(), second - second % 3_600, &*event.key_id);
        let new = [0, 0, 0, 0, 0, 0, i64::MAX, 0];
        let figures = usages.entry(key).or_insert(new);
        let counted = [
            1,
            i64::from(is_accepted),
            i64::from([401, 403].contains(&status)),
            i64::from(status == 429),
            i64::from(status >= 400),
            event.bytes_out.unwrap_or(0) as i64,
        ];
        for (sum, count) in figures.iter_mut().zip(counted) {
            *sum += count;
        }
        figures[6] = figures[6].min(second);
        figures[7] = figures[7].max(second);
    }
    let line = |((source, hour, key_id), figures): ((String, i64, &str), [i64; 8])| {
        let figures = figures.map(|figure| figure.to_string()).join(" ");
        format!("{source} {hour} {key_id} {figures}")
    };
    let mut lines: Vec<String> = usages.into_iter().map(line).collect();
    lines.sort();
    lines
}

/// Computes the figures of the other queries above.
pub fn usage(events: &[EnrichedEvent], bucket_seconds: i64) -> Vec<String> {
    #[derive(Default)]
    struct Usage<'a> {
        counts: [u64; 9],
        ips: BTreeSet<std::net::IpAddr>,
        countries: BTreeSet<&'a str>,
        asns: BTreeSet<u32>,
        routes: BTreeSet<(&'a str, &'a str)>,
    }
    let mut usages: BTreeMap<(&str, i64), Usage<'_>> = BTreeMap::new();
    for EnrichedEvent { event, origin, .. } in events {
        let second = event.time.as_micros() / 1_000_000;
        let bucket = second - second % bucket_seconds;
        let usage = usages.entry((&event.key_id, bucket)).or_default();
        let is = |condition: bool| u64::from(condition);
        let counts = [
            1,
            is(event.status / 100 == 2),
            is(event.status / 100 == 3),
            is(event.status / 100 == 4),
            is(event.status / 100 == 5),
            is([401, 403].contains(&event.status)),
            is(event.status == 429),
            event.bytes_in.unwrap_or(0),
            event.bytes_out.unwrap_or(0),
        ];
        for (sum, count) in usage.counts.iter_mut().zip(counts) {
            *sum += count;
        }
        usage.ips.insert(event.client_ip);
        usage.routes.insert((&event.method, &event.path));
        if origin.is_located() {
            usage.countries.insert(&origin.country);
        }
        if origin.asn != 0 {
            usage.asns.insert(origin.asn);
        }
    }
    let line = |((key_id, bucket), usage): ((&str, i64), Usage<'_>)| {
        let counts = usage.counts.map(|count| count.to_string()).join(" ");
        let distinct =
            [usage.ips.len(), usage.countries.len(), usage.asns.len(), usage.routes.len()]
                .map(|count| count.to_string())
                .join(" ");
        format!("{key_id} {bucket} {counts} {distinct}")
    };
    usages.into_iter().map(line).collect()
}

#[tokio::test]
async fn stored_events_read_back_equal() {
    let database = database().await;
    let now = EventTime::now();
    let mut events = vec![event(0, now, "key-a"), event(1, now, "key-b")];
    events[0].position.index = 3;
    events[1].event.client_ip = "2001:db8::5".parse().unwrap();
    events[1].event.latency_ms = None;
    events[1].event.client_time = None;
    events[1].event.nonce = None;
    events[1].event.path = "/ü/'\"\\\n".into();
    events[1].origin = origin("", 0);
    let partition = partition(4);
    database.store.write_batch(&batch(&partition, &events)).await.unwrap();

    let mut cursor = client(&database.config)
        .query("SELECT ?fields FROM access_events ORDER BY record_offset")
        .fetch::<EventRow<'_>>()
        .unwrap();
    for enriched in &events {
        let stored = cursor.next().await.unwrap().unwrap();
        assert_eq!(stored, EventRow::new(&partition, enriched));
    }
    assert!(cursor.next().await.unwrap().is_none());
}

#[tokio::test]
async fn rollups_equal_an_independent_count() {
    let database = database().await;
    let start = EventTime::now().plus_seconds(-30_000.0);
    let events = varied_events(20_000, 0, start, 0.7);
    let partition = partition(0);
    for part in events.chunks(3_000) {
        database.store.write_batch(&batch(&partition, part)).await.unwrap();
    }
    assert_eq!(lines(&database.store, USAGE_BY_MINUTE).await, usage(&events, 60));
    assert_eq!(lines(&database.store, USAGE_BY_HOUR).await, usage(&events, 3_600));
}

#[tokio::test]
async fn sources_equal_an_independent_count() {
    let database = database().await;
    let mut events = varied_events(5_000, 0, EventTime::now().plus_seconds(-80_000.0), 15.0);
    for (i, enriched) in events.iter_mut().enumerate() {
        enriched.event.authenticated = [None, Some(true), Some(false)][i % 3];
        if i % 2 == 0 {
            let ip = format!("2001:db8:{}:{}::{:x}", i % 3, i % 4, i);
            enriched.event.client_ip = ip.parse().unwrap();
        }
    }
    for part in events.chunks(900) {
        database.store.write_batch(&batch(&partition(0), part)).await.unwrap();
    }
    let mut found = lines(&database.store, USAGE_BY_SOURCE).await;
    found.sort();
    assert_eq!(found, usage_by_source(&events));
}

/// Each request comes from another address: those of one IPv6 customer are counted together.
#[tokio::test]
async fn a_customer_with_many_addresses_is_one_source() {
    let database = database().await;
    let mut events = varied_events(1_000, 0, EventTime::now(), 0.0);
    for (i, enriched) in events.iter_mut().enumerate() {
        let customer = if i < 999 { "2001:db8:7:7" } else { "2001:db8:7:8" };
        enriched.event.client_ip = format!("{customer}:{i:x}::1").parse().unwrap();
        enriched.event.key_id = "key".into();
    }
    database.store.write_batch(&batch(&partition(0), &events)).await.unwrap();
    let sql = "SELECT source, country, asn, requests FROM source_usage_hour FINAL ORDER BY source";
    let rows = lines(&database.store, sql).await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows[0].starts_with("2001:db8:7:7:: ") && rows[0].ends_with(" 999"), "{rows:?}");
}

#[tokio::test]
async fn rollups_keep_latency_quantiles() {
    let database = database().await;
    let now = EventTime::now();
    let mut events: Vec<_> = (0..100).map(|i| event(i, now, "key-a")).collect();
    for (i, enriched) in events.iter_mut().enumerate() {
        enriched.event.latency_ms = Some(i as f32);
    }
    database.store.write_batch(&batch(&partition(0), &events)).await.unwrap();
    for table in ["key_usage_minute", "key_usage_hour"] {
        let sql = format!("SELECT quantilesTimingMerge(0.5, 0.95, 0.99)(latency_ms) FROM {table}");
        assert_eq!(lines(&database.store, &sql).await, ["[50,95,99]"]);
    }
}

#[tokio::test]
async fn a_batch_written_twice_is_stored_once() {
    let database = database().await;
    let now = EventTime::now();
    // Four days are four partitions of the raw table: one token must be valid for all of them.
    let events = varied_events(5_000, 100, now.plus_seconds(-3.0 * 86_400.0), 50.0);
    let rejections = [rejection(5_100, RejectReason::InvalidJson)];
    let alerts = [alert("alert-1", 1, "key-1", now)];
    let partition = partition(0);
    let batch = StoredBatch {
        last_offset: 5_100,
        rejections: &rejections,
        alerts: &alerts,
        ..batch(&partition, &events)
    };
    database.store.write_batch(&batch).await.unwrap();
    let once = contents(&database.store).await;
    assert_eq!(once[1], usage(&events, 60));

    database.store.write_batch(&batch).await.unwrap();
    database.store.write_batch(&batch).await.unwrap();
    assert_eq!(contents(&database.store).await, once);
}

/// A server that is killed between its log of tokens and the rows takes the retry for a repetition.
/// The test deletes the rows to create this state.
#[tokio::test]
async fn a_repeated_batch_adds_rows_that_the_server_knows_and_does_not_have() {
    let database = database().await;
    let store = &database.store;
    let now = EventTime::now();
    let events = varied_events(1_000, 0, now.plus_seconds(-2.0 * 86_400.0), 170.0);
    let rejections = [rejection(1_000, RejectReason::InvalidJson)];
    let alerts = [alert("alert-1", 1, "key-1", now)];
    let partition = partition(0);
    let first = StoredBatch {
        last_offset: 1_000,
        rejections: &rejections,
        alerts: &alerts,
        ..batch(&partition, &events)
    };
    store.write_batch(&first).await.unwrap();
    let counts = "SELECT (SELECT count() FROM access_events), \
        (SELECT count() FROM rejected_events), (SELECT count() FROM alerts)";
    let day = "toDate(now64() - INTERVAL 1 DAY, 'UTC')";
    for condition in [
        format!("access_events DELETE WHERE toDate(time) = {day}"),
        "rejected_events DELETE WHERE 1".into(),
        "alerts DELETE WHERE 1".into(),
    ] {
        let sql = format!("ALTER TABLE {condition} SETTINGS mutations_sync = 1");
        execute(&database.config, &sql).await;
    }
    assert_ne!(lines(store, counts).await, ["1000 1 1"]);
    store.write_batch(&first).await.unwrap();
    assert_ne!(lines(store, counts).await, ["1000 1 1"], "the server would not forget its tokens");

    let again = StoredBatch { token: Some("access/0/0-1000"), ..first };
    for _attempt in 0..2 {
        store.write_batch(&again).await.unwrap();
        assert_eq!(lines(store, counts).await, ["1000 1 1"]);
    }
}

#[tokio::test]
async fn equal_rows_in_different_batches_are_all_stored() {
    let database = database().await;
    let now = EventTime::now();
    let events = [event(0, now, "key-a")];
    let again = [event(1, now, "key-a")];
    for (number, events) in [(0, &events), (1, &events), (0, &again)] {
        database.store.write_batch(&batch(&partition(number), events)).await.unwrap();
    }
    assert_eq!(lines(&database.store, "SELECT sum(requests) FROM key_usage_hour").await, ["3"]);
}

/// The server may die, or its reply may be lost, when the raw rows are stored and the views have no
/// rows yet. The test takes a view away for the first write to create this state.
#[tokio::test]
async fn a_repeated_batch_adds_what_the_views_lack() {
    let database = database().await;
    let events = varied_events(1_000, 0, EventTime::now().plus_seconds(-7_200.0), 2.0);
    let partition = partition(0);
    let views = ["key_usage_hour_view", "key_usage_minute_view", "source_usage_hour_view"];
    for (view, part) in views.into_iter().zip(events.chunks(334)) {
        let batch = batch(&partition, part);
        execute(&database.config, &format!("DETACH TABLE {view}")).await;
        database.store.write_batch(&batch).await.unwrap();
        let table = view.trim_end_matches("_view");
        let lacks = format!(
            "SELECT (SELECT sum(requests) FROM {table}) < (SELECT count() FROM access_events)"
        );
        assert_eq!(lines(&database.store, &lacks).await, ["1"], "{view}");
        execute(&database.config, &format!("ATTACH TABLE {view}")).await;
        database.store.write_batch(&batch).await.unwrap();
    }
    assert_eq!(lines(&database.store, "SELECT count() FROM access_events").await, ["1000"]);
    assert_eq!(lines(&database.store, USAGE_BY_MINUTE).await, usage(&events, 60));
    assert_eq!(lines(&database.store, USAGE_BY_HOUR).await, usage(&events, 3_600));
    let mut sources = lines(&database.store, USAGE_BY_SOURCE).await;
    sources.sort();
    assert_eq!(sources, usage_by_source(&events));
}

const DAY_MICROS: i64 = 86_400_000_000;

/// More rows than ClickHouse puts into one block by default (1,048,449).
#[tokio::test]
async fn a_very_large_batch_is_one_block_a_day() {
    let database = database().await;
    // From noon to noon, two days ago, which crosses one midnight whatever the time is now.
    let today = EventTime::now().as_micros().div_euclid(DAY_MICROS) * DAY_MICROS;
    let start = EventTime::from_micros(today - DAY_MICROS * 3 / 2);
    let events = varied_events(1_050_000, 0, start, 0.08);
    let partition = partition(0);
    let batch = batch(&partition, &events);
    database.store.write_batch(&batch).await.unwrap();
    let blocks_and_days = "SELECT (SELECT max(max_block_number) FROM system.parts \
            WHERE database = currentDatabase() AND table = 'access_events'), \
        (SELECT uniqExact(toDate(time)) FROM access_events)";
    assert_eq!(lines(&database.store, blocks_and_days).await, ["2 2"]);

    database.store.write_batch(&batch).await.unwrap();
    let counts = "SELECT (SELECT count() FROM access_events), \
        (SELECT sum(requests) FROM key_usage_hour)";
    assert_eq!(lines(&database.store, counts).await, ["1050000 1050000"]);
}

#[tokio::test]
async fn a_batch_that_did_not_finish_is_in_doubt_until_it_does() {
    let database = database().await;
    let events = varied_events(100, 10, EventTime::now(), 0.001);
    let (done, doubtful) = events.split_at(60);
    let partition = partition(2);
    database.store.write_batch(&batch(&partition, done)).await.unwrap();
    assert_eq!(progress(&database.store, &partition).await, (Some(69), None));

    execute(&database.config, "RENAME TABLE access_events TO elsewhere").await;
    let error = database.store.write_batch(&batch(&partition, doubtful)).await.unwrap_err();
    assert!(matches!(error, StoreError::NotMigrated { .. }), "{error}");
    let token = "access/2/70-109".into();
    let doubt = BatchInDoubt { first_offset: 70, last_offset: 109, token };
    assert_eq!(progress(&database.store, &partition).await, (Some(69), Some(doubt)));

    execute(&database.config, "RENAME TABLE elsewhere TO access_events").await;
    database.store.write_batch(&batch(&partition, doubtful)).await.unwrap();
    assert_eq!(progress(&database.store, &partition).await, (Some(109), None));
}

async fn progress(store: &Store, partition: &PartitionId) -> (Option<i64>, Option<BatchInDoubt>) {
    progress_of(store, partition, &Claim::default()).await
}

async fn progress_of(
    store: &Store,
    partition: &PartitionId,
    claim: &Claim,
) -> (Option<i64>, Option<BatchInDoubt>) {
    let Progress { stored_to, in_doubt } = store.progress(partition, claim).await.unwrap();
    (stored_to, in_doubt)
}

#[tokio::test]
async fn nothing_is_known_of_a_partition_never_seen() {
    let database = database().await;
    database
        .store
        .write_batch(&batch(&partition(1), &[event(0, EventTime::now(), "k")]))
        .await
        .unwrap();
    assert_eq!(progress(&database.store, &partition(9)).await, (None, None));
}

/// Acts as a process that was paused while another one took over its partition.
#[tokio::test]
async fn whoever_was_overtaken_stores_nothing_more() {
    let database = database().await;
    let partition = partition(3);
    let (before, after) = (&database.store, Store::new(&database.config));
    let old = before.claim(&partition, &"id".into()).await.unwrap();
    let events = varied_events(60, 0, EventTime::now(), 0.001);
    let old_batch = StoredBatch { claim: &old, ..batch(&partition, &events[..20]) };
    assert_eq!(before.write_batch(&old_batch).await.unwrap(), Written::Stored);

    let new = after.claim(&partition, &"id".into()).await.unwrap();
    assert!(new.epoch > old.epoch && new.owner != old.owner, "{old:?} {new:?}");
    assert_eq!(progress_of(&after, &partition, &new).await, (Some(19), None));
    let late = StoredBatch { claim: &old, ..batch(&partition, &events[20..40]) };
    let by = new.owner.to_string();
    assert_eq!(before.write_batch(&late).await.unwrap(), Written::Superseded { by });
    assert_eq!(lines(&after, "SELECT count() FROM access_events").await, ["20"]);

    // The new owner cuts batches in another way; then the batch that the old owner began is void.
    let all = StoredBatch { claim: &new, ..batch(&partition, &events[20..]) };
    assert_eq!(after.write_batch(&all).await.unwrap(), Written::Stored);
    let newest = before.claim(&partition, &"id".into()).await.unwrap();
    assert_eq!(progress_of(before, &partition, &newest).await, (Some(59), None));
    assert_eq!(
        lines(&after, "SELECT uniqExact(record_offset) = count() FROM access_events").await,
        ["1"]
    );
}

#[tokio::test]
async fn of_two_batches_in_doubt_the_newest_owners_counts() {
    let database = database().await;
    let (store, partition) = (&database.store, partition(3));
    for (epoch, last_offset) in [(2, 29), (1, 19)] {
        let sql = format!(
            "INSERT INTO ingest_batches (topic, topic_id, partition, first_offset, last_offset, \
             state, token, epoch, time) \
             VALUES ('access', 'id', 3, 0, {last_offset}, 'intent', 't{epoch}', {epoch}, now64(6))"
        );
        execute(&database.config, &sql).await;
    }
    let claim = store.claim(&partition, &"id".into()).await.unwrap();
    let expected = BatchInDoubt { first_offset: 0, last_offset: 29, token: "t2".into() };
    assert_eq!(progress_of(store, &partition, &claim).await, (None, Some(expected)));
}

#[tokio::test]
async fn many_that_claim_at_once_have_an_order() {
    let database = database().await;
    let partition = partition(0);
    let stores: Vec<_> = (0..8).map(|_| Store::new(&database.config)).collect();
    let topic_id = Arc::from("id");
    let claims = stores.iter().map(|store| store.claim(&partition, &topic_id));
    let claims: Vec<Claim> =
        futures_util::future::try_join_all(claims).await.unwrap().into_iter().collect();
    let events = [event(0, EventTime::now(), "key")];
    let mut stored = 0;
    for (store, claim) in stores.iter().zip(&claims) {
        let batch = StoredBatch { claim, ..batch(&partition, &events) };
        stored += u32::from(store.write_batch(&batch).await.unwrap() == Written::Stored);
    }
    assert_eq!(stored, 1, "{claims:?}");
}

/// The name and the offsets are the same, but the records differ.
#[tokio::test]
async fn a_topic_that_was_made_again_is_another_one() {
    let database = database().await;
    let (store, partition) = (&database.store, partition(0));
    let events = [event(0, EventTime::now(), "key")];
    for id in ["first", "second"] {
        let claim = store.claim(&partition, &id.into()).await.unwrap();
        assert_eq!(progress_of(store, &partition, &claim).await, (None, None), "{id}");
        store
            .write_batch(&StoredBatch { claim: &claim, ..batch(&partition, &events) })
            .await
            .unwrap();
    }
    assert_eq!(lines(store, "SELECT count() FROM access_events").await, ["2"]);
}

/// Ledger rows from before topics had IDs belong to the current topic.
#[tokio::test]
async fn what_was_stored_without_a_topic_id_is_not_stored_again() {
    let database = database().await;
    let (store, partition) = (&database.store, partition(0));
    let events = varied_events(20, 0, EventTime::now(), 0.001);
    store.write_batch(&batch(&partition, &events)).await.unwrap();
    let claim = store.claim(&partition, &"id".into()).await.unwrap();
    assert_eq!(progress_of(store, &partition, &claim).await, (Some(19), None));
}

#[tokio::test]
async fn a_batch_in_doubt_without_records_is_settled_by_what_is_stored() {
    let database = database().await;
    let (store, partition) = (&database.store, partition(0));
    let events = varied_events(20, 0, EventTime::now(), 0.001);
    store.write_batch(&batch(&partition, &events)).await.unwrap();
    let claim = Claim::default();
    let doubt = |first_offset, last_offset| {
        let token = format!("{first_offset}");
        BatchInDoubt { first_offset, last_offset, token }
    };
    assert!(store.settle(&partition, &claim, &doubt(5, 25)).await.unwrap());
    assert!(!store.settle(&partition, &claim, &doubt(30, 39)).await.unwrap());
    assert_eq!(progress(store, &partition).await.0, Some(25));
}

pub async fn execute(config: &keywatch::config::ClickHouseConfig, sql: &str) {
    client(config).query(sql).execute().await.unwrap();
}
