//! Tests how the attempts of sources are stored and read back.

use std::time::Duration;

use keywatch::event::{EventTime, RecordPosition};
use keywatch::profile::stuffing::SourceAttempt;
use keywatch::store::StoredBatch;

use super::samples::{batch, event, partition};
use crate::support::clickhouse::database;

const LATELY: Duration = Duration::from_secs(3_600);

/// The `n`th attempt of a source. Every third one is accepted and names an existing key.
fn attempt(n: i64, number: i32, ip: &str) -> SourceAttempt {
    let is_accepted = n % 3 == 2;
    SourceAttempt {
        time: EventTime::from_seconds(1_780_000_000 + n),
        partition: partition(number),
        position: RecordPosition { offset: n, index: 1 },
        client_ip: ip.parse().unwrap(),
        key_hash: u64::MAX - n as u64,
        is_accepted,
        is_refused: !is_accepted,
        key_id: is_accepted.then(|| format!("key-{n}").into()),
        tenant: is_accepted.then(|| "acme".into()),
    }
}

#[tokio::test]
async fn what_partitions_hand_out_comes_back_together_and_in_order() {
    let database = database().await;
    let store = &database.store;
    let ips = ["203.0.113.7", "203.0.113.8", "2001:db8:1:2::3"];
    for number in 0..2 {
        let others = (0..12).filter(|n| n % 2 == i64::from(number));
        let attempts = others.flat_map(|n| ips.map(|ip| attempt(n, number, ip)));
        let few = (0..4).map(|n| attempt(n, number, "198.51.100.1"));
        let attempts: Vec<SourceAttempt> = attempts.chain(few).collect();
        let (partition, events) = (partition(number), [event(0, EventTime::now(), "key")]);
        let batch = StoredBatch { attempts: &attempts, ..batch(&partition, &events) };
        for _ in 0..2 {
            store.write_batch(&batch).await.unwrap();
        }
    }

    let mut suspects = store.suspects(LATELY).await.unwrap();
    suspects.sort_by_key(|suspect| suspect.network);
    let found: Vec<_> =
        suspects.iter().map(|s| (s.network.to_canonical().to_string(), s.attempts)).collect();
    let expected = [("203.0.113.0".to_owned(), 24), ("2001:db8:1::".to_owned(), 12)];
    assert_eq!(found, expected, "three keys are nobody's list, and a batch counts once");

    let networks = store.attempts_of(&suspects).await.unwrap();
    let of_v6: Vec<_> = (0..12).map(|n| attempt(n, (n % 2) as i32, ips[2])).collect();
    assert_eq!(networks[1], of_v6);
    assert_eq!(networks[0].len(), 24);
    assert!(networks[0].is_sorted_by_key(|attempt| attempt.time));
}

/// A restarted process does not know what was handed out before. It hands out the next attempt of
/// the same kind.
#[tokio::test]
async fn of_what_is_handed_out_again_the_earliest_counts() {
    let database = database().await;
    let at = |n: i64, seconds: i64, ip: &str| SourceAttempt {
        time: EventTime::from_seconds(1_780_000_200 + seconds),
        ..attempt(n, 0, ip)
    };
    let refused = (0..20).filter(|n| n % 3 != 2);
    let first: Vec<_> = refused.map(|n| at(n, n, "2001:db8:1:2::3")).collect();
    let neighbour = at(0, 25, "2001:db8:1:2::ffff");
    let answered_otherwise =
        SourceAttempt { is_accepted: true, is_refused: false, ..at(0, 27, "2001:db8:1:2::3") };
    let next_hour = at(0, 3_600, "2001:db8:1:2::3");
    let again =
        [at(1, 26, "2001:db8:1:2::3"), neighbour, answered_otherwise.clone(), next_hour.clone()];
    let partition = partition(0);
    for (offset, attempts) in [(0, &first[..]), (1, &again)] {
        let events = [event(offset, EventTime::now(), "key")];
        let batch = StoredBatch { attempts, ..batch(&partition, &events) };
        database.store.write_batch(&batch).await.unwrap();
    }
    let suspects = database.store.suspects(LATELY).await.unwrap();
    let expected: Vec<_> = first.into_iter().chain([answered_otherwise, next_hour]).collect();
    assert_eq!(database.store.attempts_of(&suspects).await.unwrap(), [expected]);
}
