//! Tests the order of deliveries when many incidents open at once.
//!
//! `make chaos` runs it with 50,000 incidents and prints how long the request took.

use std::env;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keywatch::alert::{Action, Alert, AlertType};
use keywatch::config::{Secret, WebhookConfig};
use keywatch::deliver::{Casebook, Outbox, OutboxSettings, WebhookChannel};
use keywatch::event::EventTime;
use keywatch::store::{Store, StoredBatch};

use crate::clickhouse::samples::{alert, partition, unclaimed};
use crate::support::clickhouse::{database, lines};
use crate::support::eventually::eventually;
use crate::support::receiver::Receiver;

/// The time that the receiver takes for an answer.
const SLOW: Duration = Duration::from_millis(50);
const MAX_IN_FLIGHT: u32 = 8;
const LIMIT: Duration = Duration::from_secs(600);

fn incidents() -> usize {
    env::var("KEYWATCH_STORM_INCIDENTS").map_or(3_000, |text| text.parse().unwrap())
}

/// Stores and enqueues alerts, as the writer does with a batch.
async fn announce(store: &Store, outbox: &Outbox, first_offset: i64, alerts: Vec<Alert>) {
    let partition = partition(0);
    let last_offset = first_offset;
    let batch = StoredBatch { first_offset, last_offset, alerts: &alerts, ..unclaimed(&partition) };
    store.write_batch(&batch).await.unwrap();
    alerts.into_iter().for_each(|alert| outbox.enqueue(alert));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_overtakes_a_storm_of_incidents_and_none_of_them_is_lost() {
    let database = database().await;
    let (store, receiver) =
        (Arc::new(Store::new(&database.config)), Receiver::slow(SLOW, []).await);
    store.beat(false).await.unwrap();
    let config = WebhookConfig {
        url: receiver.url.clone(),
        secret: Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        secret_file: None,
        min_severity: keywatch::alert::Severity::Low,
        timeout_seconds: 10,
        max_in_flight: MAX_IN_FLIGHT,
    };
    let mut outbox = Outbox::new(&Arc::<Casebook>::default());
    outbox.add(WebhookChannel::new(&config).unwrap(), &store, OutboxSettings::default());

    let (count, now) = (incidents(), EventTime::now());
    let ids: Vec<usize> = (0..count).collect();
    for (n, chunk) in ids.chunks(5_000).enumerate() {
        let opened = |id: &usize| alert(&format!("inc-{id:05}"), 1, &format!("key-{id}"), now);
        announce(&store, &outbox, n as i64, chunk.iter().map(opened).collect()).await;
    }
    receiver.wait_for(10).await;
    let request = Alert {
        alert_type: AlertType::RevocationRequested,
        action: Action::Revoke,
        dry_run: false,
        ..alert("stolen", 2, "key-stolen", EventTime::now())
    };
    let (before, asked) = (receiver.read(<[_]>::len), Instant::now());
    announce(&store, &outbox, 1_000_000, vec![request]).await;
    let place = eventually("the request arrives", LIMIT, async || {
        receiver.read(|calls| {
            calls.iter().position(|call| call.header("webhook-id") == "stolen-2").ok_or(calls.len())
        })
    })
    .await;
    let took = asked.elapsed();
    eprintln!(
        "{count} incidents at a receiver that takes {SLOW:?}: the revocation took {took:?}, place \
         {place}, after {before} calls when it was made"
    );
    assert!(place < count, "it did not wait for the storm");

    // Each incident is delivered once, also those for which the lane had no room.
    let left = "SELECT count() FROM alerts WHERE (id, revision) NOT IN \
        (SELECT alert_id, revision FROM deliveries WHERE outcome = 'delivered')";
    eventually("all are delivered", LIMIT, async || {
        let found = lines(&store, left).await;
        if found == ["0"] { Ok(()) } else { Err(found) }
    })
    .await;
    eprintln!("all {count} were delivered after {:?}", asked.elapsed());
    receiver.read(|calls| {
        let mut ids: Vec<&str> = calls.iter().map(|call| call.header("webhook-id")).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), calls.len()), (count + 1, count + 1), "each once");
    });
    outbox.shutdown(Duration::from_secs(10)).await;
}
