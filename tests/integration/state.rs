//! Tests state across restarts: a disturbed run raises the same alerts as an undisturbed one.

use std::path::Path;
use std::process::Stdio;

use keywatch::store::Store;
use serde_json::Value;

use crate::support::alerts::{alerts, assert_same_alerts, eventually_done, eventually_judged};
use crate::support::clickhouse::{TestDatabase, client, lines, unmigrated};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::kafka::{broker, unique};
use crate::support::proxy::Proxy;
use crate::support::service::{Service, run};
use crate::support::settings::Settings;
use crate::support::stored::{assert_exact, count, wait_for_rows};
use crate::support::topic::produce;
use crate::support::traffic::{PARTITIONS, REPLAYED_KEY, Traffic};

async fn topic_of(phases: &[&Traffic]) -> String {
    let topic = unique("state");
    broker().create_topic(&topic, PARTITIONS).await;
    phases.iter().for_each(|traffic| produce(broker(), &topic, traffic));
    topic
}

fn service_settings(database: &TestDatabase, topic: &str, group: &str, seconds: u32) -> Settings {
    Settings::new(&database.config)
        .kafka(topic)
        .set("source.kafka.group_id", format!("{group}-{topic}"))
        .batch_records(200)
        .static_member("one")
        .snapshot_seconds(seconds)
}

/// The alerts of an undisturbed service that reads the whole topic.
async fn undisturbed(topic: &str, events: usize) -> Vec<Value> {
    let database = unmigrated().await;
    let service = Service::start(&service_settings(&database, topic, "undisturbed", 3_600));
    wait_for_rows(&database.store, "access_events", events).await;
    eventually_done(&database.store).await;
    eventually_judged(&service).await;
    assert!(service.terminate().0.success());
    alerts(&database.store).await
}

fn is_about_the_replay(alert: &Value) -> bool {
    alert["key_id"] == REPLAYED_KEY && alert["detectors"][0] == "replay.duplicate_nonce"
}

/// A record without a key stands at the head of each partition, which must not lead to another state.
fn produce_keyless(topic: &str) {
    (0..PARTITIONS).for_each(|partition| broker().produce(topic, partition, ["no event"]));
}

/// The service is killed before the replay, and again while its incident is open. With a save every
/// second, most of the state is restored. With one save at the start, most events are scored again.
async fn killed_with_an_open_incident(snapshot_seconds: u32) {
    let mut all = Traffic::generated(60, 3.0, 1.5, 21).with_attacks();
    let events = all.events.len();
    let attack = all.split_off(events - 2);
    let (before, after) = (all, Traffic::aftermath());
    let database = unmigrated().await;
    let store = &database.store;
    let topic = topic_of(&[]).await;
    produce_keyless(&topic);
    produce(broker(), &topic, &before);
    let settings = service_settings(&database, &topic, "killed", snapshot_seconds);

    let service = Service::start(&settings);
    wait_for_rows(store, "access_events", before.events.len()).await;
    if snapshot_seconds == 1 {
        let saved = "SELECT uniqExact(shard) FROM state_rounds WHERE round > 0";
        eventually("increments", LIMIT, async || lines(store, saved).await == ["3"]).await;
    }
    service.kill();
    assert!(!alerts(store).await.iter().any(is_about_the_replay));

    produce(broker(), &topic, &attack);
    let service = Service::start(&settings);
    wait_for_rows(store, "access_events", events).await;
    eventually("the replay is delivered", LIMIT, async || {
        alerts(store).await.iter().any(is_about_the_replay)
    })
    .await;
    if snapshot_seconds > 1 {
        assert!(service.metric("keywatch_state_rescored_events_total") > 1_000.0);
    }
    service.kill();

    produce(broker(), &topic, &after);
    let service = Service::start(&settings);
    let total = events + after.events.len();
    wait_for_rows(store, "access_events", total).await;
    eventually_done(store).await;
    eventually_judged(&service).await;
    let (status, log) = service.terminate();
    assert!(status.success(), "{status}\n{log}");
    assert!(!log.contains("alerts about stored events were missing"), "{log}");

    let found = alerts(store).await;
    let own: Vec<_> = found.iter().filter(|alert| alert["key_id"] == REPLAYED_KEY).collect();
    assert!(own.len() >= 2, "opened and resolved: {own:#?}");
    assert_same_alerts(&found, &undisturbed(&topic, total).await);
    let twice = "SELECT id, revision, count() FROM alerts GROUP BY ALL HAVING count() > 1";
    assert_eq!(lines(store, twice).await, [""; 0], "alert revisions stored twice");
}

#[tokio::test]
async fn a_kill_between_rounds_changes_no_alert() {
    killed_with_an_open_incident(1).await;
}

#[tokio::test]
async fn a_kill_long_after_the_last_round_changes_no_alert() {
    killed_with_an_open_incident(3_600).await;
}

/// The second member takes over partitions twice: when it joins, and when the first member is
/// killed.
#[tokio::test]
async fn state_follows_its_partition_to_another_process() {
    let database = unmigrated().await;
    let traffic = Traffic::generated(60, 3.0, 1.5, 22).with_attacks();
    let total = traffic.events.len();
    let topic = topic_of(&[&traffic]).await;
    let settings = Settings::new(&database.config).kafka(&topic).batch_records(100);
    let settings = settings.soon_missed().snapshot_seconds(1);
    let first = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", total / 10).await;
    let second = Service::start(&settings);
    second.wait_for_log("state restored");
    wait_for_rows(&database.store, "access_events", total / 3).await;
    first.kill();
    wait_for_rows(&database.store, "access_events", total).await;
    assert_exact(&database.store, &traffic).await;
    eventually_judged(&second).await;
    assert!(second.terminate().0.success());
    assert_same_alerts(&alerts(&database.store).await, &undisturbed(&topic, total).await);
}

/// Number of stored records in partitions with more to come: only those are read again.
async fn stored_of_unfinished(store: &Store, traffic: &Traffic) -> usize {
    let done = "SELECT partition, sum(last_offset - first_offset + 1) FROM ingest_batches \
        WHERE state = 'done' GROUP BY partition";
    let done = lines(store, done).await;
    let parsed = done.iter().map(|line| {
        let (partition, stored) = line.split_once(' ').unwrap();
        (partition.parse().unwrap(), stored.parse().unwrap())
    });
    let is_unfinished =
        |(partition, stored): &(i32, usize)| traffic.of_partition(*partition).count() > *stored;
    parsed.filter(is_unfinished).map(|(_, stored)| stored).sum()
}

/// The scored events are stored, and only the ledger shows it.
#[tokio::test]
async fn a_kill_before_the_first_round_changes_no_alert() {
    let database = unmigrated().await;
    let traffic = Traffic::generated(60, 3.0, 1.5, 26).with_attacks();
    let total = traffic.events.len();
    let topic = topic_of(&[&traffic]).await;
    let direct = service_settings(&database, &topic, "killed", 1);
    let proxy = Proxy::start(&database.config.url);
    proxy.refuse_state();
    let service = Service::start(&direct.clone().set("clickhouse.url", proxy.url.as_str()));
    wait_for_rows(&database.store, "access_events", total / 2).await;
    service.kill();
    let rounds = "SELECT count() FROM state_rounds";
    assert_eq!(lines(&database.store, rounds).await, ["0"]);
    let done = stored_of_unfinished(&database.store, &traffic).await;
    assert!(done > 0);

    let service = Service::start(&direct);
    wait_for_rows(&database.store, "access_events", total).await;
    eventually_done(&database.store).await;
    let rescored = service.metric("keywatch_state_rescored_events_total");
    assert!(rescored >= done as f64, "{rescored} of {done}");
    eventually_judged(&service).await;
    assert!(service.terminate().0.success());
    assert_exact(&database.store, &traffic).await;
    assert_same_alerts(&alerts(&database.store).await, &undisturbed(&topic, total).await);
}

/// The first member saves the state of the partitions that the second takes over, so that nothing
/// is scored twice although rounds are an hour apart.
#[tokio::test]
async fn a_partition_that_is_given_back_takes_its_state_along() {
    let database = unmigrated().await;
    let traffic = Traffic::generated(60, 3.0, 1.5, 25).with_attacks();
    let total = traffic.events.len();
    let topic = topic_of(&[&traffic]).await;
    let settings = Settings::new(&database.config).kafka(&topic).batch_records(100);
    let settings = settings.snapshot_seconds(3_600);
    let first = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", total / 5).await;
    let second = Service::start(&settings);
    second.wait_for_log("state restored");
    wait_for_rows(&database.store, "access_events", total).await;
    assert_exact(&database.store, &traffic).await;
    let taken = second.log().matches("state restored").count();
    assert!(taken > 0);
    assert_eq!(second.metric("keywatch_state_rescored_events_total"), 0.0);
    for member in [first, second] {
        eventually_judged(&member).await;
        assert!(member.terminate().0.success());
    }
    assert_same_alerts(&alerts(&database.store).await, &undisturbed(&topic, total).await);
}

#[tokio::test]
async fn an_interrupted_import_resumes_with_its_state() {
    let directory = tempfile::tempdir().unwrap();
    let traffic = Traffic::generated(60, 3.0, 1.5, 23).with_attacks();
    let total = traffic.events.len();
    let mut first = Traffic { events: traffic.events };
    let second = first.split_off(total / 2);
    let paths = [("a.jsonl", &first), ("b.jsonl.gz", &second)].map(|(name, traffic)| {
        let path = directory.path().join(name);
        traffic.write(&path);
        path
    });
    let paths: Vec<&Path> = paths.iter().map(|path| path.as_path()).collect();
    let import = |database: &TestDatabase| {
        Settings::new(&database.config).files(&paths).batch_records(100).snapshot_seconds(1)
    };

    let interrupted = unmigrated().await;
    for part in [2, 6] {
        let service = Service::start(&import(&interrupted));
        wait_for_rows(&interrupted.store, "access_events", total * part / 10).await;
        service.kill();
    }
    for database in [&interrupted, &unmigrated().await] {
        let output = run(&import(database), Stdio::null());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(count(&database.store, "access_events").await, total);
        if !std::ptr::eq(database, &interrupted) {
            let expected = alerts(&database.store).await;
            assert!(expected.iter().any(is_about_the_replay));
            assert_same_alerts(&alerts(&interrupted.store).await, &expected);
        }
    }
}

/// State of an older or a newer version does not stop the service, which logs a warning.
#[tokio::test]
async fn state_of_another_version_is_left_alone_with_a_warning() {
    let database = unmigrated().await;
    let traffic = Traffic::generated(20, 1.0, 1.0, 24);
    let total = traffic.events.len();
    let topic = topic_of(&[&traffic]).await;
    let settings = service_settings(&database, &topic, "versions", 1);
    let service = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", total).await;
    assert!(service.terminate().0.success());

    let client = client(&database.config);
    let update = "ALTER TABLE state_rounds UPDATE format = 65000 WHERE 1 \
        SETTINGS mutations_sync = 1";
    client.query(update).execute().await.unwrap();
    let generations = "SELECT uniqExact(shard, generation) FROM state_rounds WHERE format = 65000";
    let before = lines(&database.store, generations).await;
    let more = Traffic::aftermath();
    produce(broker(), &topic, &more);
    let service = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", total + more.events.len()).await;
    service.wait_for_log("its format is 65000");
    service.wait_for_log("no saved state is usable");
    assert!(service.terminate().0.success());
    assert_eq!(lines(&database.store, generations).await, before, "kept for the newer version");
    let own = "SELECT count() > 0 FROM state_rounds WHERE format < 65000";
    assert_eq!(lines(&database.store, own).await, ["1"]);
}

/// Sizes of chunks are damaged: one that was believed would reserve more memory than there is.
#[tokio::test]
async fn damaged_chunks_cost_their_profiles_and_are_told() {
    let database = unmigrated().await;
    let traffic = Traffic::generated(20, 1.0, 1.0, 25);
    let total = traffic.events.len();
    let topic = topic_of(&[&traffic]).await;
    let settings = service_settings(&database, &topic, "damaged", 1);
    let service = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", total).await;
    assert!(service.terminate().0.success());

    let damage = "ALTER TABLE state_chunks UPDATE size = 1000000000000000 \
        WHERE kind = 'profiles' SETTINGS mutations_sync = 1";
    client(&database.config).query(damage).execute().await.unwrap();
    let more = Traffic::aftermath();
    produce(broker(), &topic, &more);
    let service = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", total + more.events.len()).await;
    service.wait_for_log("state restored");
    let told = "SELECT count() > 0 FROM alerts WHERE has(detectors, 'monitor.degraded')";
    eventually("the loss is an alert", LIMIT, async || lines(&database.store, told).await == ["1"])
        .await;
    assert!(service.terminate().0.success());
}
