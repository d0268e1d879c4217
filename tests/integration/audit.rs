//! Tests the audit log: that it has each row once, whoever makes the links, and that a change is
//! found.

use std::process::{Command, Output};

use keywatch::deliver::DeliveryLog;
use keywatch::deliver::record::{DeliveryOutcome, DeliveryRow};
use keywatch::event::EventTime;
use keywatch::store::{Sealed, Store};
use keywatch::workflow::Kind;

use crate::clickhouse::acts::{act, store_alerts};
use crate::clickhouse::samples::alert;
use crate::support::clickhouse::{
    TestDatabase, client, database, environment, keywatch_binary, lines,
};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::receiver::Receiver;
use crate::support::service::Service;
use crate::support::settings::Settings;

fn verify(database: &TestDatabase, arguments: &[&str]) -> Output {
    Command::new(keywatch_binary())
        .args(["audit", "verify"])
        .args(arguments)
        .envs(environment(&database.config))
        .output()
        .unwrap()
}

/// What is said of a log that is whole.
#[track_caller]
fn whole(database: &TestDatabase) -> String {
    let output = verify(database, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn broken(database: &TestDatabase, arguments: &[&str]) -> String {
    let output = verify(database, arguments);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

async fn execute(database: &TestDatabase, sql: &str) {
    client(&database.config)
        .query(sql)
        .with_setting("mutations_sync", "2")
        .execute()
        .await
        .unwrap();
}

fn attempt(number: u32, outcome: DeliveryOutcome, time: EventTime) -> DeliveryRow {
    DeliveryRow {
        alert_id: "inc_a".into(),
        revision: 1,
        channel: "webhook".into(),
        attempt: number,
        outcome,
        detail: "the receiver's detail".into(),
        time,
        webhook_id: "inc_a-1".into(),
    }
}

/// An incident with three acts and two attempts of a delivery.
async fn with_rows(database: &TestDatabase) {
    let (store, now) = (&database.store, EventTime::now());
    let seen = alert("inc_a", 1, "key-a", now);
    store_alerts(store, 0, std::slice::from_ref(&seen)).await;
    for (id, kind) in [("a1", Kind::Acknowledge), ("a2", Kind::Comment), ("a3", Kind::Dismiss)] {
        store.record_acts(&[act("inc_a", id, kind, &seen)]).await.unwrap();
    }
    let attempts =
        [attempt(1, DeliveryOutcome::Failed, now), attempt(2, DeliveryOutcome::Delivered, now)];
    store.record_deliveries(&attempts).await.unwrap();
}

async fn sealed() -> TestDatabase {
    let database = database().await;
    with_rows(&database).await;
    let sealed = database.store.seal(EventTime::default()).await.unwrap();
    assert!(matches!(sealed, Sealed::Until(head) if head.number == 6));
    assert_eq!(database.store.seal(EventTime::default()).await.unwrap(), Sealed::Nothing);
    database
}

#[tokio::test]
async fn each_row_has_one_link_and_an_untouched_log_is_whole() {
    let database = sealed().await;
    let said = whole(&database);
    assert!(said.starts_with("6 links, none is broken; the head is 6:"), "{said}");
    let kinds = "SELECT kind, count() FROM audit_log GROUP BY kind ORDER BY kind";
    assert_eq!(lines(&database.store, kinds).await, ["act 3", "alert 1", "delivery 2"]);

    let now = EventTime::now();
    database.store.record_deliveries(&[attempt(3, DeliveryOutcome::Failed, now)]).await.unwrap();
    assert!(whole(&database).ends_with("1 row without a link yet\n"));
    // After a restart the attempts are counted anew: one row takes the place of another.
    let again = attempt(1, DeliveryOutcome::Delivered, now.plus_seconds(9.0));
    database.store.record_deliveries(&[again]).await.unwrap();
    database.store.seal(EventTime::default()).await.unwrap();
    execute(&database, "OPTIMIZE TABLE deliveries FINAL").await;
    let said = whole(&database);
    assert!(said.starts_with("8 links") && said.contains("1 row replaced"), "{said}");
}

#[tokio::test]
async fn processes_that_seal_at_once_make_one_chain() {
    let database = database().await;
    with_rows(&database).await;
    let processes: Vec<Store> = (0..4).map(|_| Store::new(&database.config)).collect();
    let seen = alert("inc_a", 1, "key-a", EventTime::now());
    let tasks = processes.iter().enumerate().map(async |(process, store)| {
        for n in 0..6 {
            let act = act("inc_a", &format!("p{process}-{n}"), Kind::Comment, &seen);
            store.record_acts(&[act]).await.unwrap();
            store.seal(EventTime::default()).await.unwrap();
        }
    });
    futures_util::future::join_all(tasks).await;
    while database.store.seal(EventTime::default()).await.unwrap() != Sealed::Nothing {}
    let counts = "SELECT count(), uniqExact(kind, id), uniqExact(number), uniqExact(previous) \
        FROM audit_log";
    assert_eq!(lines(&database.store, counts).await, ["30 30 30 30"]);
    assert!(whole(&database).starts_with("30 links, none is broken"));
}

#[tokio::test]
async fn a_number_that_was_lost_with_its_server_is_skipped() {
    let database = database().await;
    // The server knows the token, and has no row.
    let insert = "INSERT INTO audit_log (number, kind, id) SETTINGS async_insert = 0, \
        insert_deduplication_token = 'audit/1' VALUES (1, 'act', 'lost')";
    execute(&database, insert).await;
    execute(&database, "ALTER TABLE audit_log DELETE WHERE 1").await;
    with_rows(&database).await;
    database.store.seal(EventTime::default()).await.unwrap();
    assert!(whole(&database).starts_with("6 links, none is broken; the head is 7:"));
}

#[tokio::test]
async fn the_first_broken_link_is_named() {
    for (change, expected) in [
        (
            "ALTER TABLE incident_acts UPDATE who = 'mallory' WHERE id = 'a2'",
            "(act a2) is broken: the row that it was made of has changed: it was \"who=author of a2\", \
             and is \"who=mallory\"",
        ),
        ("ALTER TABLE incident_acts DELETE WHERE id = 'a3'", "(act a3) is broken: the row that it"),
        (
            "ALTER TABLE audit_log UPDATE record = ['who=x'] WHERE id = 'a1'",
            "(act a1) is broken: its content was changed",
        ),
        (
            "ALTER TABLE audit_log DELETE WHERE number = 3",
            "link 4 (act a1) is broken: it does not continue link 2",
        ),
    ] {
        let database = sealed().await;
        execute(&database, change).await;
        let said = broken(&database, &[]);
        assert!(said.contains(expected), "{change}: {said}");
    }
}

#[tokio::test]
async fn an_end_that_was_cut_off_is_found_by_a_noted_head() {
    let database = sealed().await;
    let head = whole(&database);
    let head = head.lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();
    assert!(verify(&database, &["--noted", &head]).status.success());
    execute(&database, "ALTER TABLE audit_log DELETE WHERE number = 6").await;
    execute(&database, "ALTER TABLE incident_acts DELETE WHERE id = 'a3'").await;
    assert!(whole(&database).starts_with("5 links"), "nothing within the database tells");
    let said = broken(&database, &["--noted", &head]);
    assert!(said.contains("link 6") && said.contains("that was noted"), "{said}");
}

#[tokio::test]
async fn a_service_seals_what_it_was_started_with_and_what_it_sends() {
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let database = database().await;
    let receiver = Receiver::start([]).await;
    let settings = Settings::new(&database.config)
        .set("source.kind", "http")
        .set("source.http.listen", "127.0.0.1:0")
        .webhook(&receiver.url, SECRET);
    database.store.beat(true).await.unwrap();
    store_alerts(&database.store, 0, &[alert("inc_a", 1, "key-a", EventTime::now())]).await;
    let service = Service::start(&settings);
    let kinds = "SELECT DISTINCT kind FROM audit_log ORDER BY kind";
    eventually("start, alert and delivery have links", LIMIT, async || {
        let found = lines(&database.store, kinds).await;
        if found == ["alert", "delivery", "start"] { Ok(()) } else { Err(found) }
    })
    .await;
    service.wait_for_log("audit log sealed");
    let (status, log) = service.terminate();
    assert!(status.success(), "{log}");
    let config = lines(&database.store, "SELECT config FROM process_starts").await.join("");
    assert!(config.contains("dry_run") && !config.contains(SECRET), "{config}");
    whole(&database);
}
