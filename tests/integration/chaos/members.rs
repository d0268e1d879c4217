//! Members that come and go, and one that was away for so long that the group went on.

use rustix::process::Signal;

use super::{SNAPSHOTS, SOON, batches_of, signal, undisturbed};
use crate::end_to_end::{assert_exact, produce, topic_of, wait_for_rows};
use crate::support::alerts::{alerts, assert_same_alerts, eventually_judged};
use crate::support::clickhouse::{lines, unmigrated};
use crate::support::kafka::broker;
use crate::support::service::{Service, settings};
use crate::support::traffic::{PARTITIONS, Traffic};

#[tokio::test]
async fn three_processes_that_come_and_go_lose_and_repeat_nothing() {
    let database = unmigrated().await;
    let traffic = Traffic::generated(100, 3.0, 1.0, 35).with_attacks();
    let topic = topic_of(broker(), &traffic).await;
    let settings = settings(&database.config) + &batches_of(&topic, SOON, 100) + SNAPSHOTS;
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

/// Stopped for longer than the group waits for it to poll, and until another member has all
/// there is. Then it is a member again, and the only one that is left.
#[tokio::test]
async fn a_member_that_missed_its_time_joins_again_and_goes_on() {
    let database = unmigrated().await;
    let mut all = Traffic::generated(100, 3.0, 1.0, 39);
    let total = all.events.len();
    let rest = all.split_off(total * 2 / 3);
    let topic = topic_of(broker(), &all).await;
    let properties = format!("{SOON}\n\"max.poll.interval.ms\" = \"6000\"");
    let settings = settings(&database.config) + &batches_of(&topic, &properties, 100) + SNAPSHOTS;
    let stopped = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", all.events.len() / 10).await;
    signal(stopped.pid(), Signal::STOP);
    let other = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", all.events.len()).await;
    assert_exact(&database.store, &all).await;
    signal(stopped.pid(), Signal::CONT);
    stopped.wait_for_log("Kafka partitions given back");

    // Half of what is left comes while both are members, and half when one is.
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
