//! Tests the Kafka source against Apache Kafka.

use std::collections::BTreeMap;
use std::time::Duration;

use keywatch::config::KafkaConfig;
use keywatch::record::{BatchLimits, RawBatch};
use keywatch::source::{KafkaSource, Source};
use tokio::time::timeout;

use crate::support::eventually::{LIMIT, eventually};
use crate::support::kafka::{Broker, Place, broker, unique};

const DEADLINE: Duration = Duration::from_secs(120);
const CLOSE: Duration = Duration::from_secs(30);

type Records = BTreeMap<(i32, i64), Vec<u8>>;

fn open(config: &KafkaConfig, batch_records: usize) -> KafkaSource {
    let interval = Duration::from_millis(20);
    let limits = BatchLimits { records: batch_records, bytes: 32 << 20, interval };
    KafkaSource::new(config, limits).unwrap()
}

async fn next(source: &mut KafkaSource) -> RawBatch {
    let batch = timeout(DEADLINE, source.next()).await.expect("a batch within the deadline");
    batch.unwrap().expect("the source goes on")
}

async fn commit(source: &mut KafkaSource, batch: &RawBatch) {
    source.commit(&batch.partition, batch.offsets().unwrap().1).await.unwrap();
}

/// Adds a batch; panics if a record was read twice.
fn add(records: &mut Records, batch: &RawBatch) {
    for (offset, payload) in batch.records() {
        let key = (batch.partition.partition, offset);
        assert!(records.insert(key, payload.to_vec()).is_none(), "{key:?} came twice");
    }
}

/// Reads and commits until `count` records are there.
async fn read(source: &mut KafkaSource, records: &mut Records, count: usize) {
    while records.len() < count {
        let batch = next(source).await;
        add(records, &batch);
        commit(source, &batch).await;
    }
}

fn payload(partition: i32, offset: i64) -> Vec<u8> {
    format!("{{\"partition\":{partition},\"offset\":{offset}}}").into_bytes()
}

/// Sends `payload(partition, offset)` for all offsets of the range to each of the partitions.
async fn produce(
    broker: &'static Broker,
    topic: &str,
    partitions: i32,
    offsets: std::ops::Range<i64>,
) {
    let topic = topic.to_owned();
    let sending = tokio::task::spawn_blocking(move || {
        for partition in 0..partitions {
            let payloads = offsets.clone().map(|offset| payload(partition, offset));
            broker.produce(&topic, partition, payloads);
        }
    });
    sending.await.unwrap();
}

fn expected(partitions: i32, offsets: std::ops::Range<i64>) -> Records {
    (0..partitions)
        .flat_map(|partition| {
            offsets.clone().map(move |offset| ((partition, offset), payload(partition, offset)))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_comes_once_and_in_order() {
    let (broker, topic) = (broker(), unique("once"));
    broker.create_topic(&topic, 3).await;
    produce(broker, &topic, 3, 0..5_000).await;
    let mut source = open(&broker.place.config(&topic, &topic), 700);
    let mut records = Records::new();
    let mut next_offsets = [0; 3];
    while records.len() < 15_000 {
        let batch = next(&mut source).await;
        assert_eq!(&*batch.partition.topic, topic);
        assert!(batch.len() <= 700);
        let next_offset = &mut next_offsets[batch.partition.partition as usize];
        for (offset, _) in batch.records() {
            assert_eq!(offset, *next_offset, "contiguous in {:?}", batch.partition);
            *next_offset += 1;
        }
        add(&mut records, &batch);
        commit(&mut source, &batch).await;
    }
    assert!(records == expected(3, 0..5_000));
    source.close(CLOSE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_exactly_after_what_was_committed() {
    let (broker, topic) = (broker(), unique("restart"));
    broker.create_topic(&topic, 2).await;
    produce(broker, &topic, 2, 0..1_000).await;
    let config = broker.place.config(&topic, &topic);
    let mut committed = Records::new();
    let mut source = open(&config, 100);
    for number in 0..12 {
        let batch = next(&mut source).await;
        if number < 7 {
            commit(&mut source, &batch).await;
            add(&mut committed, &batch);
        }
    }
    source.close(CLOSE).await.unwrap();

    let mut source = open(&config, 100);
    read(&mut source, &mut committed, 2_000).await;
    assert!(committed == expected(2, 0..1_000));
    source.close(CLOSE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_share_the_partitions_and_hand_them_over_without_loss_or_repetition() {
    let (broker, topic) = (broker(), unique("share"));
    broker.create_topic(&topic, 4).await;
    produce(broker, &topic, 4, 0..1_000).await;
    let config = broker.place.config(&topic, &topic);
    let mut first = open(&config, 50);
    let mut second = open(&config, 50);
    let mut records = Records::new();
    let mut second_read = 0;
    // Each source stores its records slowly enough that the second joins in the middle.
    let mut produced = 1_000;
    eventually("both have read, and all is read", LIMIT, async || {
        if records.len() == 4 * produced as usize {
            produce(broker, &topic, 4, produced..produced + 200).await;
            produced += 200;
        }
        tokio::select! {
            batch = next(&mut first) => {
                add(&mut records, &batch);
                commit(&mut first, &batch).await;
            }
            batch = next(&mut second) => {
                second_read += batch.len();
                add(&mut records, &batch);
                commit(&mut second, &batch).await;
            }
        }
        let is_all = records.len() == 4 * produced as usize && second_read > 0;
        is_all.then_some(()).ok_or((records.len(), second_read))
    })
    .await;
    // The first source leaves: the second takes over all partitions where the first stopped.
    first.close(CLOSE).await.unwrap();
    produce(broker, &topic, 4, produced..produced + 500).await;
    produced += 500;
    read(&mut second, &mut records, 4 * produced as usize).await;
    assert!(records == expected(4, 0..produced));
    second.close(CLOSE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_given_back_only_when_its_last_batch_is_committed() {
    let (broker, topic) = (broker(), unique("patience"));
    broker.create_topic(&topic, 2).await;
    produce(broker, &topic, 2, 0..100).await;
    let mut config = broker.place.config(&topic, &topic);
    config.properties = [("heartbeat.interval.ms".to_owned(), "100".to_owned())].into();
    let mut first = open(&config, 1_000);
    let mut records = Records::new();
    let mut in_flight = Vec::new();
    while records.len() < 200 {
        let batch = next(&mut first).await;
        add(&mut records, &batch);
        in_flight.push(batch);
    }
    // The second source asks for its share, and gets none of it while batches are in flight.
    let mut second = open(&config, 1_000);
    assert!(timeout(Duration::from_secs(5), second.next()).await.is_err());
    for batch in &in_flight {
        commit(&mut first, batch).await;
    }
    // Once the second source has its share, it continues where the first stopped.
    let mut produced = 100;
    let mut second_read = 0;
    eventually("the second has read, and all is read", LIMIT, async || {
        if records.len() == 2 * produced as usize {
            produce(broker, &topic, 2, produced..produced + 10).await;
            produced += 10;
        }
        let (source, batch) = tokio::select! {
            batch = next(&mut first) => (&mut first, batch),
            batch = next(&mut second) => {
                second_read += batch.len();
                (&mut second, batch)
            }
        };
        add(&mut records, &batch);
        commit(source, &batch).await;
        let is_all = records.len() == 2 * produced as usize && second_read > 0;
        is_all.then_some(()).ok_or((records.len(), second_read))
    })
    .await;
    assert!(records == expected(2, 0..produced));
    first.close(CLOSE).await.unwrap();
    second.close(CLOSE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_ten_megabytes_comes_whole() {
    let (broker, topic) = (broker(), unique("large"));
    broker.create_topic(&topic, 1).await;
    let large = vec![b'x'; 10_000_000];
    let sent = [b"before".to_vec(), large, b"after".to_vec()];
    let payloads = sent.clone();
    let topic_name = topic.clone();
    let sending = tokio::task::spawn_blocking(move || broker.produce(&topic_name, 0, payloads));
    sending.await.unwrap();
    let mut source = open(&broker.place.config(&topic, &topic), 10);
    let mut records = Records::new();
    read(&mut source, &mut records, 3).await;
    assert!(records.into_values().eq(sent));
    source.close(CLOSE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_a_broker_that_is_not_there_yet_and_for_one_that_goes_away() {
    let place = Place::new();
    let mut source = open(&place.config("late", "late"), 100);
    assert!(timeout(Duration::from_millis(200), source.next()).await.is_err());

    let mut records = Records::new();
    for (count, is_last) in [(300, false), (600, true)] {
        let place = place.clone();
        let starting = tokio::task::spawn_blocking(move || {
            if is_last { Broker::start(place) } else { Broker::start_and_keep_data(place) }
        });
        let broker = starting.await.unwrap();
        if !is_last {
            broker.create_topic("late", 1).await;
        }
        let payloads: Vec<_> = (count - 300..count).map(|offset| payload(0, offset)).collect();
        let sending = tokio::task::spawn_blocking(move || {
            broker.produce("late", 0, payloads);
            broker
        });
        let broker = sending.await.unwrap();
        read(&mut source, &mut records, count as usize).await;
        if is_last {
            source.close(CLOSE).await.unwrap();
            assert!(records == expected(1, 0..600));
            break;
        }
        let leaving = tokio::task::spawn_blocking(move || {
            // A broker that is killed before it knows the offset gives the records again.
            broker.wait_until_committed("late", "late", count);
        });
        leaving.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_in_time_when_there_is_no_broker() {
    let source = open(&Place::new().config("none", "none"), 100);
    source.close(CLOSE).await.unwrap();
}
