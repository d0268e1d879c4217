//! Tests that a log is stored exactly once although the processes that read it are killed and
//! stopped.

use crate::support::clickhouse::unmigrated;
use crate::support::kafka::broker;
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::{assert_exact, wait_for_rows};
use crate::support::topic::topic_of;
use crate::support::traffic::Traffic;

#[tokio::test]
async fn kills_and_stops_in_the_middle_lose_and_repeat_nothing() {
    let database = unmigrated().await;
    let traffic = Traffic::generated(100, 4.0, 2.0, 12);
    let topic = topic_of(broker(), &traffic).await;
    let settings =
        Settings::new(&database.config).kafka(&topic).batch_records(250).static_member("one");
    let total = traffic.events.len();
    for part in 1..=8 {
        let service = Service::start(&settings);
        wait_for_rows(&database.store, "access_events", total * part / 10).await;
        if part % 4 == 0 {
            let (status, log) = service.terminate();
            assert!(status.success(), "{status}\n{log}");
        } else {
            service.kill();
        }
    }
    let service = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", total).await;
    assert_exact(&database.store, &traffic).await;
    assert!(service.terminate().0.success());
}

/// The first member is killed, and the second takes over its partitions.
#[tokio::test]
async fn a_member_of_the_group_takes_over_from_another() {
    let database = unmigrated().await;
    let traffic = Traffic::generated(100, 4.0, 2.0, 13);
    let topic = topic_of(broker(), &traffic).await;
    let settings = Settings::new(&database.config).kafka(&topic).batch_records(100).soon_missed();
    let total = traffic.events.len();
    let first = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", total / 10).await;
    let second = Service::start(&settings);
    second.wait_for_log("reading a partition");
    wait_for_rows(&database.store, "access_events", total / 3).await;
    first.kill();
    wait_for_rows(&database.store, "access_events", total).await;
    assert_exact(&database.store, &traffic).await;
    assert!(second.terminate().0.success());
}
