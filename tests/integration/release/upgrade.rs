//! The new binary on the database of the release before.

use keywatch::engine::checkpoint::FORMAT;
use keywatch::store::Store;

use super::freeze::{post, settings};
use super::frozen::{end, frozen};
use crate::support::clickhouse::{TestDatabase, client, lines};
use crate::support::console::Console;
use crate::support::eventually::{LIMIT, eventually};
use crate::support::service::Service;
use crate::support::stored::{count, wait_for_rows};
use crate::support::traffic::{REPLAYED_KEY, Traffic};

async fn number(store: &Store, sql: &str) -> usize {
    lines(store, sql).await[0].parse().unwrap()
}

/// Starts the service, which migrates, and sends what follows on the frozen log.
async fn go_on(database: &TestDatabase) -> (Service, usize) {
    let before = count(&database.store, "access_events").await;
    let service = Service::start(&settings(database));
    let address = service.logged_address("accepting events at POST /v1/events");
    eventually("ready", LIMIT, async || service.is_ready()).await;
    let more = Traffic::aftermath_from(end(database).await.plus_seconds(40.0));
    post(&address, &more).await;
    let sent = more.events.len();
    wait_for_rows(&database.store, "access_events", before + sent).await;
    (service, sent)
}

fn of_replays() -> String {
    format!(
        "FROM alerts WHERE key_id = '{REPLAYED_KEY}' AND has(detectors, 'replay.duplicate_nonce')"
    )
}

#[tokio::test]
async fn the_state_and_the_rows_of_the_release_before_are_continued() {
    let database = frozen().await;
    let store = &database.store;
    let before = count(store, "access_events").await;
    let (service, sent) = go_on(&database).await;
    service.wait_for_log("\"state restored\"");

    // The nonce was used before the upgrade, and its incident was open.
    let of_replays = of_replays();
    eventually("the open incident has another revision", LIMIT, async || {
        number(store, &format!("SELECT max(revision) {of_replays}")).await > 1
    })
    .await;
    assert_eq!(number(store, &format!("SELECT uniqExact(id) {of_replays}")).await, 1);
    let rolled_up = "SELECT sum(requests) FROM key_usage_hour";
    assert_eq!(number(store, rolled_up).await, before + sent);
    let by_source = "SELECT sum(requests) FROM source_usage_hour";
    assert_eq!(number(store, by_source).await, sent, "those since the upgrade");
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
}

#[tokio::test]
async fn what_the_release_before_stored_is_shown() {
    let database = frozen().await;
    assert_eq!(count(&database.store, "suppressions").await, 1);
    // Where somebody has an account, everybody must log in.
    assert_eq!(count(&database.store, "accounts").await, 1);
    client(&database.config).query("TRUNCATE TABLE accounts").execute().await.unwrap();
    let console = Console::start_with(settings(&database));
    let sql = format!("SELECT id {} LIMIT 1", of_replays());
    let incident = lines(&database.store, &sql).await.remove(0);
    let page = console.get(&format!("/incidents/{incident}"));
    assert_eq!(page.status, 200, "{}", page.body);
    for word in [REPLAYED_KEY, "ann"] {
        assert!(page.body.contains(word), "no {word} in {}", page.body);
    }
}

/// A release that remembers other things of a key cannot read what the one before remembered.
#[tokio::test]
async fn without_readable_state_the_service_goes_on_and_says_so() {
    let database = frozen().await;
    let store = &database.store;
    let other = format!(
        "ALTER TABLE state_rounds UPDATE format = {} WHERE 1 SETTINGS mutations_sync = 1",
        FORMAT - 1
    );
    client(&database.config).query(&other).execute().await.unwrap();
    let before = count(store, "access_events").await;
    let (service, sent) = go_on(&database).await;
    service.wait_for_log("no saved state is usable");
    eventually("an alert says so", LIMIT, async || {
        number(store, "SELECT count() FROM alerts WHERE has(detectors, 'monitor.degraded')").await
            > 0
    })
    .await;
    let rolled_up = number(store, "SELECT sum(requests) FROM key_usage_hour").await;
    assert_eq!(rolled_up, before + sent);
    assert!(service.terminate().0.success());
}
