//! Tests that the alerts of a process that is gone for good are delivered by another one.

use crate::support::alerts::eventually_judged;
use crate::support::clickhouse::{lines, unmigrated};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::kafka::broker;
use crate::support::port::free_port;
use crate::support::receiver::Receiver;
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::wait_for_rows;
use crate::support::topic::topic_of;
use crate::support::traffic::Traffic;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const UNDELIVERED: &str = "SELECT count() FROM alerts WHERE (id, revision) NOT IN (SELECT \
    alert_id, revision FROM deliveries WHERE channel = 'webhook' AND outcome = 'delivered')";

/// The receiver of the first process is away. The second process runs before the first one is
/// killed, so no start of a process delivers the alerts.
#[tokio::test]
async fn another_process_delivers_what_a_killed_one_left() {
    let database = unmigrated().await;
    let traffic = Traffic::attacks();
    let topic = topic_of(broker(), &traffic).await;
    let settings = Settings::new(&database.config).kafka(&topic).soon_missed();
    let away = format!("http://127.0.0.1:{}/hook", free_port());
    let first = Service::start(&settings.clone().webhook(&away, SECRET));
    wait_for_rows(&database.store, "access_events", traffic.events.len()).await;
    eventually_judged(&first).await;
    let left = lines(&database.store, UNDELIVERED).await;
    assert_ne!(left, ["0"]);
    let receiver = Receiver::start([]).await;
    let second = Service::start(&settings.webhook(&receiver.url, SECRET));
    second.wait_for_log("Kafka partitions assigned");
    assert_eq!(receiver.received().len(), 0, "the first process lives");
    first.kill();
    second.wait_for_log("delivers the alerts of processes that are gone");
    eventually("every alert is delivered", LIMIT, async || {
        lines(&database.store, UNDELIVERED).await == ["0"]
    })
    .await;
    assert_eq!(lines(&database.store, "SELECT count() FROM alerts").await, left, "none is new");
    assert_eq!([receiver.received().len().to_string()], *left, "each is delivered once");
    assert!(second.terminate().0.success());
}
