//! Runs one service with all parts, from a log with attacks to shutdown, and returns the results as
//! plain data.

use std::process::ExitStatus;
use std::sync::LazyLock;

use keywatch::store::Store;
use serde_json::Value;
use tokio::runtime::Builder;

use crate::support::alerts::eventually_judged;
use crate::support::clickhouse::{lines, unmigrated};
use crate::support::eventually::{LIMIT, eventually};
use crate::support::geo;
use crate::support::kafka::{broker, unique};
use crate::support::mailbox::{Mail, Mailbox};
use crate::support::receiver::{Received, Receiver};
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::stored::{Stored, count, wait_for_rows};
use crate::support::topic::{Record, produce, records};
use crate::support::traffic::{PARTITIONS, Traffic, undecodable};

pub const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The records sent and everything that resulted from them.
pub struct Outcome {
    pub traffic: Traffic,
    /// Number of records that cannot be decoded.
    pub bad: usize,
    pub stored: Stored,
    pub rejected_rows: usize,
    pub alerts: Vec<Value>,
    pub mails: Vec<Mail>,
    pub calls: Vec<Received>,
    pub alerts_topic: Vec<Value>,
    pub dead_letters: Vec<Record>,
    pub metrics: Metrics,
    /// All rows of all tables.
    pub dump: String,
    pub exit: ExitStatus,
    pub log: String,
}

/// The response of `/metrics` after everything was delivered.
pub struct Metrics {
    pub status: u16,
    pub text: String,
    /// Number of alerts stored before and after it: an incident of a source may close at any time.
    pub alerts: (usize, usize),
    pub source_attempts: usize,
}

/// The outcome, computed once for all tests; `None` if the location databases are not installed.
pub fn outcome() -> Option<&'static Outcome> {
    static OUTCOME: LazyLock<Option<Outcome>> = LazyLock::new(|| {
        let folder = geo::databases()?;
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Some(runtime.block_on(run(|settings| settings.locations(&folder))))
    });
    OUTCOME.as_ref()
}

async fn run(with_locations: impl FnOnce(Settings) -> Settings) -> Outcome {
    let database = unmigrated().await;
    let (broker, store) = (broker(), &database.store);
    let traffic = Traffic::generated(200, 4.0, 3.0, 11).with_attacks().with_raw_keys(300);
    let bad = undecodable();
    let [topic, alerts_topic, dead_letters] = ["access", "alerts", "rejected"].map(unique);
    for (topic, partitions) in [(&topic, PARTITIONS), (&alerts_topic, 1), (&dead_letters, 1)] {
        broker.create_topic(topic, partitions).await;
    }
    broker.produce(&topic, 1, &bad);
    let (mailbox, receiver) = (Mailbox::start(&[]), Receiver::start([]).await);
    let settings = Settings::new(&database.config)
        .kafka(&topic)
        .set("source.kafka.dead_letter_topic", dead_letters.as_str())
        .mail_to(&mailbox, "security@example.com")
        .set("email.min_severity", "low")
        .set("email.max_per_minute", 10_000)
        .webhook(&receiver.url, WEBHOOK_SECRET)
        .set("alerts_topic.topic", alerts_topic.as_str());
    let service = Service::start(&with_locations(settings));

    // All records at once, as a backlog: positions of the partitions are hours apart in event time.
    produce(broker, &topic, &traffic);
    wait_for_rows(store, "access_events", traffic.events.len()).await;
    wait_for_rows(store, "rejected_events", bad.len()).await;
    let stored = Stored::complete(store).await;
    eventually_judged(&service).await;
    wait_until_told(store).await;
    let metrics = metrics(&service, store).await;
    let (exit, log) = service.terminate();
    let alerts = alerts(store).await;
    Outcome {
        bad: bad.len(),
        rejected_rows: count(store, "rejected_events").await,
        mails: mailbox.mails(),
        calls: receiver.received(),
        alerts_topic: records(broker, &alerts_topic, 1).iter().map(alert_in).collect(),
        dead_letters: records(broker, &dead_letters, bad.len()),
        dump: dump(store).await,
        traffic,
        stored,
        alerts,
        metrics,
        exit,
        log,
    }
}

fn alert_in(record: &Record) -> Value {
    serde_json::from_slice(&record.payload).unwrap()
}

/// Waits until every channel has delivered or skipped every revision.
async fn wait_until_told(store: &Store) {
    for channel in ["email", "webhook", "topic"] {
        let left = format!(
            "SELECT count() FROM alerts WHERE (id, revision) NOT IN (SELECT alert_id, revision \
             FROM deliveries WHERE channel = '{channel}' AND outcome IN ('delivered', 'skipped'))"
        );
        eventually(channel, LIMIT, async || lines(store, &left).await == ["0"]).await;
    }
}

async fn metrics(service: &Service, store: &Store) -> Metrics {
    eventually("all is delivered", LIMIT, async || {
        service.metric("keywatch_deliveries_waiting") == 0.0
    })
    .await;
    let source_attempts = count(store, "source_attempts").await;
    let before = alerts(store).await.len();
    let (status, text) = service.get("/metrics");
    let after = alerts(store).await.len();
    Metrics { status, text, alerts: (before, after), source_attempts }
}

async fn alerts(store: &Store) -> Vec<Value> {
    let table = store.query_table("SELECT alert FROM alerts FINAL", &[]).await.unwrap();
    table.rows.iter().map(|row| serde_json::from_str(&row[0]).unwrap()).collect()
}

async fn dump(store: &Store) -> String {
    let mut dump = String::new();
    for table in ["access_events", "rejected_events", "alerts", "deliveries", "ingest_batches"] {
        dump += &lines(store, &format!("SELECT * FROM {table}")).await.join("\n");
    }
    for table in ["key_usage_minute", "key_usage_hour", "source_usage_hour"] {
        dump += &lines(store, &format!("SELECT DISTINCT key_id FROM {table}")).await.join("\n");
    }
    dump
}
