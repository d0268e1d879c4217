//! Tests members that join and leave, and a member that was absent until the group excluded it.

use rustix::process::Signal;

use super::{signal, undisturbed};
use crate::support::alerts::{alerts, assert_same_alerts, eventually_judged};
use crate::support::clickhouse::{TestDatabase, lines, unmigrated};
use crate::support::kafka::broker;
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::{assert_exact, wait_for_rows};
use crate::support::topic::{produce, topic_of};
use crate::support::traffic::{PARTITIONS, Traffic};

fn settings(database: &TestDatabase, topic: &str) -> Settings {
    let settings = Settings::new(&database.config).kafka(topic).batch_records(100);
    settings.soon_missed().snapshot_seconds(1)
}

#[tokio::test]
async fn three_processes_that_come_and_go_lose_and_repeat_nothing() {
    let database = unmigrated().await;
    let traffic = Traffic::generated(100, 3.0, 1.0, 35).with_attacks();
    let topic = topic_of(broker(), &traffic).await;
    let settings = settings(&database, &topic);
    let total = traffic.events.len();
    let mut members = vec![Service::start(&settings)];
    wait_for_rows(&database.store, "access_events", total / 20).await;
    members.extend([Service::start(&settings), Service::start(&settings)]);
    for (round, part) in [2, 3, 4, 5].into_iter().enumerate() {
        wait_for_rows(&database.store, "access_events", total * part / 20).await;
        let leaving = members.remove(0);
        if round % 2 == 0 {
            let (status, log) = leaving.terminate();
            assert!(status.success(), "{status}\n{log}");
        } else {
            leaving.kill();
        }
        members.push(Service::start(&settings));
    }
    wait_for_rows(&database.store, "access_events", total).await;
    assert_exact(&database.store, &traffic).await;
    for member in members {
        eventually_judged(&member).await;
        assert!(member.terminate().0.success());
    }
    let found = alerts(&database.store).await;
    assert_same_alerts(&found, &undisturbed(&topic, &traffic).await);
    let claims = lines(&database.store, "SELECT count() FROM partition_owners").await;
    eprintln!(
        "{total} events and {} revisions of alerts, {} ownerships of {PARTITIONS} partitions",
        found.len(),
        claims[0]
    );
}

/// The member is stopped for longer than the group waits for its poll, until another member owns
/// all partitions. Then it rejoins and becomes the only member that is left.
#[tokio::test]
async fn a_member_that_missed_its_time_joins_again_and_goes_on() {
    let database = unmigrated().await;
    let mut all = Traffic::generated(100, 3.0, 1.0, 39);
    let total = all.events.len();
    let rest = all.split_off(total * 2 / 3);
    let topic = topic_of(broker(), &all).await;
    let settings = settings(&database, &topic).property("max.poll.interval.ms", "6000");
    let stopped = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", all.events.len() / 10).await;
    signal(stopped.pid(), Signal::STOP);
    let other = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", all.events.len()).await;
    assert_exact(&database.store, &all).await;
    signal(stopped.pid(), Signal::CONT);
    stopped.wait_for_log("Kafka partitions revoked");

    // Half of the remaining records arrive while both are members, and half while only one is.
    let mut first = rest;
    let second = first.split_off(first.events.len() / 2);
    produce(broker(), &topic, &first);
    all = all.joined(first);
    wait_for_rows(&database.store, "access_events", all.events.len()).await;
    other.kill();
    produce(broker(), &topic, &second);
    all = all.joined(second);
    wait_for_rows(&database.store, "access_events", total).await;
    assert_exact(&database.store, &all).await;
    eventually_judged(&stopped).await;
    let (status, log) = stopped.terminate();
    assert!(status.success(), "{status}\n{log}");
    let found = alerts(&database.store).await;
    assert_same_alerts(&found, &undisturbed(&topic, &all).await);
}
