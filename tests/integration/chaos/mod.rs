//! Tests that no record is lost or stored twice: processes are killed, paused and overtaken at
//! every step of a batch, and the result is compared with an independent count of the records
//! produced. `make chaos` runs the long form.

mod members;
mod memory;
mod surroundings;

use std::env;
use std::time::Instant;

use keywatch::config::ClickHouseConfig;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::alerts::{
    alerts, assert_same_alerts, assert_told, eventually_done, eventually_judged, eventually_told,
};
use crate::support::clickhouse::{TestDatabase, unmigrated};
use crate::support::kafka::{broker, unique};
use crate::support::proxy::{Proxy, Step, Then};
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::{assert_exact, wait_for_rows};
use crate::support::topic::{produce, topic_of};
use crate::support::traffic::{PARTITIONS, REPLAYED_KEY, Traffic};

fn signal(pid: Pid, signal: Signal) {
    kill_process(pid, signal).unwrap();
}

fn through(proxy: &Proxy, database: &TestDatabase) -> ClickHouseConfig {
    ClickHouseConfig { url: proxy.url.clone(), ..database.config.clone() }
}

fn kills() -> u32 {
    env::var("KEYWATCH_CHAOS_KILLS").map_or(14, |kills| kills.parse().unwrap())
}

#[tokio::test]
async fn killed_at_every_step_nothing_is_lost_or_stored_or_told_twice() {
    let database = unmigrated().await;
    let kills = kills();
    let traffic = Traffic::generated(100, 4.0, 1.2 + 0.02 * f64::from(kills), 31).with_attacks();
    let topic = unique("killed");
    broker().create_topic(&topic, PARTITIONS).await;
    let alerts_topic = unique("alerts");
    broker().create_topic(&alerts_topic, 1).await;
    let proxy = Proxy::start(&database.config.url);
    // Small batches make many steps, and most processes live long enough to save state.
    let settings = Settings::new(&database.config)
        .kafka(&topic)
        .static_member("one")
        .snapshot_seconds(1)
        .set("alerts_topic.topic", alerts_topic.as_str());
    let interrupted = settings.clone().batch_records(50).set("clickhouse.url", proxy.url.as_str());
    let begin = Instant::now();
    // Each process gets its share of the records, so that they do not run out.
    let share = traffic.events.len().div_ceil(kills as usize);
    let mut shares = traffic.events.chunks(share).map(|events| Traffic { events: events.to_vec() });
    let next_share = || shares.next().iter().for_each(|share| produce(broker(), &topic, share));
    let struck = kill_at_every_step(&proxy, &interrupted, kills, next_share);
    // The remaining records come in batches of the usual size, without the proxy.
    let service = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", traffic.events.len()).await;
    assert_exact(&database.store, &traffic).await;
    eventually_judged(&service).await;
    eventually_told(&database.store).await;
    assert!(service.terminate().0.success());
    let found = alerts(&database.store).await;
    assert!(found.iter().any(|alert| alert["key_id"] == REPLAYED_KEY), "{found:#?}");
    assert_same_alerts(&found, &undisturbed(&topic, &traffic).await);
    let told = assert_told(broker(), &alerts_topic, &found);
    eprintln!(
        "{kills} kills {struck:?}: {} events produced and stored, 0 lost, 0 twice; {} revisions \
         of alerts as without kills, delivered in {told} messages; {:.0} s",
        traffic.events.len(),
        found.len(),
        begin.elapsed().as_secs_f64()
    );
}

/// How often a process was struck at each step.
fn kill_at_every_step(
    proxy: &Proxy,
    settings: &Settings,
    kills: u32,
    mut before_each: impl FnMut(),
) -> Vec<(Step, u32)> {
    let mut struck = Step::ALL.map(|step| (step, 0)).to_vec();
    for kill in 0..kills {
        let which = kill as usize % Step::ALL.len();
        before_each();
        let service = Service::start(settings);
        let pid = service.pid();
        // A process reads two replies to claims before a partition's first check.
        let later = if Step::ALL[which] == Step::AfterCheck { 6 } else { 0 };
        proxy.arm(Step::ALL[which], later + kill % 5, Then::Cut, move || {
            signal(pid, Signal::KILL);
        });
        proxy.wait_until_struck();
        service.kill();
        struck[which].1 += 1;
    }
    struck
}

/// The alerts of an undisturbed service that reads the same records.
async fn undisturbed(topic: &str, traffic: &Traffic) -> Vec<Value> {
    let database = unmigrated().await;
    let settings = Settings::new(&database.config).kafka(topic);
    let group = format!("undisturbed-{topic}");
    let service = Service::start(&settings.set("source.kafka.group_id", group));
    wait_for_rows(&database.store, "access_events", traffic.events.len()).await;
    eventually_done(&database.store).await;
    eventually_judged(&service).await;
    assert!(service.terminate().0.success());
    alerts(&database.store).await
}

/// The server executed the request, but its reply was lost.
#[tokio::test]
async fn an_answer_that_is_lost_changes_nothing() {
    let database = unmigrated().await;
    let traffic = Traffic::generated(100, 3.0, 1.0, 32);
    let topic = topic_of(broker(), &traffic).await;
    let proxy = Proxy::start(&database.config.url);
    let settings = Settings::new(&through(&proxy, &database)).kafka(&topic);
    let service = Service::start(&settings.batch_records(100).static_member("one"));
    for step in [Step::AfterInsert, Step::AfterIntent, Step::BeforeCommit, Step::DuringInsert] {
        proxy.arm(step, 5, Then::Cut, || {});
        proxy.wait_until_struck();
    }
    wait_for_rows(&database.store, "access_events", traffic.events.len()).await;
    assert_exact(&database.store, &traffic).await;
    assert!(service.metric("keywatch_store_retries_total") >= 4.0);
    assert!(service.terminate().0.success());
}

/// The process is paused until another one owns its partitions and has stored all that it had
/// begun. Then it continues where it was.
async fn paused_at(step: Step, seed: u64) {
    let database = unmigrated().await;
    let traffic = Traffic::generated(100, 4.0, 2.0, seed);
    let topic = topic_of(broker(), &traffic).await;
    let proxy = Proxy::start(&database.config.url);
    let settings = Settings::new(&database.config).kafka(&topic).soon_missed();
    let slow = settings.clone().batch_records(100).set("clickhouse.url", proxy.url.as_str());
    let paused = Service::start(&slow);
    let pid = paused.pid();
    proxy.arm(step, 20, Then::PassOn, move || signal(pid, Signal::STOP));
    proxy.wait_until_struck();

    let other = Service::start(&settings.batch_records(130));
    wait_for_rows(&database.store, "access_events", traffic.events.len()).await;
    signal(paused.pid(), Signal::CONT);
    paused.wait_for_log("another process has taken over");
    assert!(paused.metric("keywatch_abandoned_batches_total") >= 1.0);
    assert_exact(&database.store, &traffic).await;
    assert!(paused.terminate().0.success());
    assert!(other.terminate().0.success());
    assert_exact(&database.store, &traffic).await;
}

#[tokio::test]
async fn a_process_paused_before_its_claim_is_looked_up_stores_nothing_more() {
    paused_at(Step::AfterIntent, 33).await;
}

#[tokio::test]
async fn a_process_paused_after_its_claim_was_looked_up_stores_nothing_twice() {
    paused_at(Step::AfterCheck, 34).await;
}

/// The recreated topic has other records at the same offsets, while the service is away and while
/// it runs: at first more than the deleted one, then fewer.
#[tokio::test]
async fn a_topic_made_again_under_its_name_is_stored_from_its_begin() {
    let database = unmigrated().await;
    let broker = broker();
    let topic = unique("again");
    let settings = Settings::new(&database.config).kafka(&topic).batch_records(100).soon_missed();
    let mut all = Traffic { events: Vec::new() };
    let mut running = None;
    for (seed, rate, stays) in
        [(36, 0.005, false), (37, 0.005, true), (38, 0.01, true), (39, 0.003, true)]
    {
        let mut traffic = Traffic::generated(50, 1.0, rate, seed);
        for event in &mut traffic.events {
            let id = format!("{seed}-{}", event["request_id"].as_str().unwrap());
            event["request_id"] = id.into();
        }
        broker.create_topic(&topic, PARTITIONS).await;
        produce(broker, &topic, &traffic);
        all = all.joined(traffic);
        let service = running.take().unwrap_or_else(|| Service::start(&settings));
        wait_for_rows(&database.store, "access_events", all.events.len()).await;
        if stays {
            running = Some(service);
        } else {
            assert!(service.terminate().0.success());
        }
        broker.delete_topic(&topic).await;
    }
    assert_exact(&database.store, &all).await;
}
