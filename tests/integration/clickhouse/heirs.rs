//! Tests which process delivers the alerts of a process that is gone.

use keywatch::deliver::DeliveryLog;
use keywatch::event::EventTime;
use keywatch::store::Store;

use super::samples::alert;
use crate::support::clickhouse::{TestDatabase, client, database};

/// The ids of the alerts that `store` must deliver.
async fn duties(store: &Store) -> Vec<String> {
    let since = EventTime::now().plus_seconds(-3_600.0);
    let alerts = store.undelivered_alerts("email", since, 1_000).await.unwrap();
    alerts.into_iter().map(|alert| alert.id).collect()
}

/// A process that has written the alert `id`.
async fn process(database: &TestDatabase, id: &str) -> Store {
    let store = Store::new(&database.config);
    store.beat(false).await.unwrap();
    store.write_alert_until_done(&alert(id, 1, "key", EventTime::now())).await.unwrap();
    store
}

#[tokio::test]
async fn a_living_process_delivers_its_own_alerts_and_no_others() {
    let database = database().await;
    let (a, b) = (process(&database, "a").await, process(&database, "b").await);
    b.inherit(Some(3_600)).await.unwrap();
    assert_eq!(duties(&a).await, ["a"]);
    assert_eq!(duties(&b).await, ["b"]);
}

#[tokio::test]
async fn one_process_inherits_whatever_many_do_at_once() {
    let database = database().await;
    let gone = process(&database, "gone").await;
    gone.beat(true).await.unwrap();
    let heirs: Vec<Store> = (0..5).map(|_| Store::new(&database.config)).collect();
    let inherit = heirs.iter().map(|store| store.inherit(None));
    for outcome in futures_util::future::join_all(inherit).await {
        outcome.unwrap();
    }
    let mut holders = 0;
    for store in &heirs {
        holders += duties(store).await.len();
    }
    assert_eq!(holders, 1);
    assert_eq!(heirs[0].inherit(None).await.unwrap(), 0, "each death has one heir");
}

#[tokio::test]
async fn an_heir_that_leaves_passes_everything_on() {
    let database = database().await;
    let (a, b) = (process(&database, "a").await, process(&database, "b").await);
    a.beat(true).await.unwrap();
    b.inherit(None).await.unwrap();
    assert_eq!(duties(&b).await, ["a", "b"]);
    b.beat(true).await.unwrap();
    let c = process(&database, "c").await;
    c.inherit(None).await.unwrap();
    assert_eq!(duties(&c).await, ["a", "b", "c"]);
    assert_eq!(duties(&b).await, [] as [&str; 0]);
}

#[tokio::test]
async fn a_silent_process_that_goes_on_delivers_what_it_writes_later() {
    let database = database().await;
    let (a, b) = (process(&database, "a").await, process(&database, "b").await);
    b.inherit(Some(0)).await.unwrap();
    assert_eq!(duties(&b).await, ["a", "b"]);
    a.beat(false).await.unwrap();
    let later = alert("a2", 1, "key", EventTime::now());
    a.write_alert_until_done(&later).await.unwrap();
    assert_eq!(duties(&a).await, ["a2"]);
    assert_eq!(duties(&b).await, ["a", "b"]);
}

/// A database of a release that did not name the process.
#[tokio::test]
async fn alerts_from_before_are_delivered_by_whoever_comes_first() {
    let database = database().await;
    let before = process(&database, "before").await;
    let unnamed = "ALTER TABLE alerts UPDATE written_by = '' WHERE 1 SETTINGS mutations_sync = 2";
    client(&database.config).query(unnamed).execute().await.unwrap();
    assert_eq!(duties(&before).await, [] as [&str; 0]);
    let next = Store::new(&database.config);
    next.inherit(None).await.unwrap();
    assert_eq!(duties(&next).await, ["before"]);
}
