//! Tests a source that tries keys of several partitions, read by two processes.

use std::fs;
use std::path::{Path, PathBuf};

use keywatch::event::EventTime;
use keywatch::store::Store;
use serde_json::{Value, json};

use crate::support::alerts::{alerts, eventually_told};
use crate::support::clickhouse::{lines, unmigrated};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::kafka::{broker, unique};
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::wait_for_rows;
use crate::support::topic::payloads;

const PARTITIONS: i32 = 8;
/// This key is on the source's list. Its partition has no other refused request.
const LEAKED_KEY: &str = "ak-leaked";
const CUSTOMERS: &str = "81.2.69.10";
const THIEF: &str = "45.83.64.66";

/// Registers two networks, so that keys have a home. (Networks for documentation count as no home.)
fn networks(folder: &Path) -> PathBuf {
    let path = folder.join("networks.csv");
    let lines = "81.2.69.0,81.2.69.255,64500,Customers\n45.83.64.0,45.83.64.255,64501,Rent\n";
    fs::write(&path, lines).unwrap();
    path
}

/// Events with their partitions, in order of event time.
struct Log {
    begin: EventTime,
    events: Vec<(i32, Value)>,
}

impl Log {
    fn new() -> Self {
        // Lists begin two hours later. They do not begin at the end of an hour, because incident
        // ids use the hour.
        let now = EventTime::now().as_seconds();
        let hour = now - now.rem_euclid(3_600.0);
        Self { begin: EventTime::from_seconds(hour as i64 - 10_200), events: Vec::new() }
    }

    fn add(&mut self, partition: i32, key: &str, seconds: f64, ip: &str, status: u16) {
        let id = format!("{key}-{}", self.events.len());
        let event = json!({
            "time": self.begin.plus_seconds(seconds), "request_id": id, "key_id": key,
            "client_ip": ip, "method": "GET", "path": "/v1/orders", "status": status,
        });
        self.events.push((partition, event));
    }

    fn produce(&self, topic: &str) {
        for partition in 0..PARTITIONS {
            let here = self.events.iter().filter(|(number, _)| *number == partition);
            let record = |event: &Value| {
                let key = event["key_id"].as_str().unwrap().to_owned();
                (key, serde_json::to_vec(event).unwrap())
            };
            broker().produce_keyed(topic, partition, here.map(|(_, event)| record(event)));
        }
    }
}

/// Sixteen customers share one address for two hours; then all of them are refused for a while.
fn customers() -> Log {
    let mut log = Log::new();
    let keys: Vec<(i32, String)> = (0..16).map(|n| (n % PARTITIONS, format!("ak-{n}"))).collect();
    for step in 0..120 {
        let status = if step >= 115 { 403 } else { 200 };
        for (partition, key) in &keys {
            log.add(*partition, key, 60.0 * f64::from(step), CUSTOMERS, status);
        }
        log.add(PARTITIONS - 1, LEAKED_KEY, 60.0 * f64::from(step), CUSTOMERS, 200);
    }
    log
}

/// Two keys in each partition that are refused, and one key that is accepted.
fn thin_list() -> Log {
    let mut log = Log::new();
    for n in 0..14 {
        let second = 7_200.0 + 10.0 * f64::from(n);
        log.add(n % (PARTITIONS - 1), &format!("invented-{n}"), second, THIEF, 401);
        if n == 8 {
            log.add(PARTITIONS - 1, LEAKED_KEY, second + 5.0, THIEF, 200);
        }
    }
    log
}

async fn owners(store: &Store) -> usize {
    let sql = "SELECT argMax(owner, epoch) AS owner FROM partition_owners GROUP BY partition";
    let mut owners = lines(store, sql).await;
    owners.sort();
    owners.dedup();
    owners.len()
}

fn of_sources(alerts: &[Value]) -> Vec<&Value> {
    alerts.iter().filter(|alert| !alert["source_ip"].is_null()).collect()
}

fn is_stuffing(alert: &Value) -> bool {
    alert["detectors"].as_array().unwrap().contains(&json!("auth.credential_stuffing"))
}

#[tokio::test]
async fn a_list_too_thin_for_any_partition_is_told_once_by_two_processes() {
    let database = unmigrated().await;
    let store = &database.store;
    let folder = tempfile::tempdir().unwrap();
    let (topic, told) = (unique("sources"), unique("told"));
    broker().create_topic(&topic, PARTITIONS).await;
    broker().create_topic(&told, 1).await;
    let settings = Settings::new(&database.config)
        .kafka(&topic)
        .set("enrich.asn_databases", vec![networks(folder.path()).to_str().unwrap()])
        .set("alerts_topic.topic", told.as_str());
    let members = [(); 2].map(|()| {
        let member = Service::start(&settings);
        member.wait_for_log("Kafka partitions assigned");
        member
    });
    let (customers, list) = (customers(), thin_list());
    customers.produce(&topic);
    wait_for_rows(store, "access_events", customers.events.len()).await;
    assert_eq!(owners(store).await, 2);

    list.produce(&topic);
    let is_raised = "SELECT countIf(key_id = 'ak-leaked') > 0 \
        AND countIf(source_ip IS NOT NULL AND position(alert, 'ak-leaked') > 0) > 0 \
        FROM alerts WHERE has(detectors, 'auth.credential_stuffing')";
    eventually("the key is raised", LIMIT, async || lines(store, is_raised).await == ["1"]).await;
    eventually_told(store).await;
    for member in members {
        let (status, log) = member.terminate();
        assert!(status.success(), "{status}\n{log}");
    }

    let found = alerts(store).await;
    let of_source = of_sources(&found);
    let first = of_source[0];
    assert!(of_source.iter().all(|alert| alert["id"] == first["id"]), "{of_source:#?}");
    assert_eq!(first["source_ip"], THIEF);
    let last = of_source.last().unwrap();
    assert_eq!(last["affected_keys"], json!([LEAKED_KEY]));
    let raised = found.iter().filter(|alert| is_stuffing(alert) && !alert["key_id"].is_null());
    assert!(raised.clone().count() > 0);
    assert!(raised.clone().all(|alert| alert["key_id"] == LEAKED_KEY), "{found:#?}");
    let sent: Vec<Value> = payloads(broker(), &told, 0)
        .iter()
        .map(|payload| serde_json::from_slice(payload).unwrap())
        .collect();
    let opened = of_sources(&sent).into_iter().filter(|alert| alert["type"] == "alert.opened");
    assert_eq!(opened.count(), 1, "{sent:#?}");
}
