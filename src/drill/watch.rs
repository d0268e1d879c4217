//! Sends a few requests until one becomes an alert, and waits until the channels have told it.

use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::attack;
use super::hops::Drill;
use super::{DrillError, STEP, TopicProducer, in_time};
use crate::event::EventTime;
use crate::store::Store;

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The last look may take longer than the time that is left.
const LEAST_LOOK: Duration = Duration::from_secs(1);
/// The service knows the canary within a second; a request before that is no alert.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

const STORED: &str = "\
    SELECT count() AS rows FROM access_events WHERE key_id = {key:String} \
    SETTINGS max_execution_time = 5";

/// Times in microseconds. The delivery of the revision that opened the incident counts.
const ALERT: &str = "\
    SELECT id, min(revision) AS first, \
        toUnixTimestamp64Micro(argMin(detected_event_time, revision)) AS tripped, \
        toUnixTimestamp64Micro(argMin(alerts.detected_at, revision)) AS detected \
    FROM alerts WHERE key_id = {key:String} AND has(detectors, 'lifecycle.canary_use') \
    GROUP BY id LIMIT 1 SETTINGS max_execution_time = 5";

const DELIVERIES: &str = "\
    SELECT toString(channel) AS name, argMax(toString(outcome), (time, attempt)) AS outcome, \
        argMax(deliveries.detail, (time, attempt)) AS detail, \
        toUnixTimestamp64Micro(max(deliveries.time)) AS at \
    FROM deliveries WHERE alert_id = {id:String} AND revision = {revision:UInt32} \
    GROUP BY channel SETTINGS max_execution_time = 5";

#[derive(Deserialize)]
struct Stored {
    rows: u64,
}

#[derive(Clone, Deserialize)]
struct Found {
    id: String,
    first: u32,
    tripped: i64,
    detected: i64,
}

#[derive(Deserialize)]
struct Delivery {
    name: String,
    outcome: String,
    detail: String,
    at: i64,
}

/// Sends ever more rarely: what nobody reads now is read some time.
struct Attacks {
    sent: u32,
    due: Instant,
}

impl Attacks {
    async fn send_if_due(&mut self, drill: &mut Drill, producer: &TopicProducer, end: Instant) {
        let now = Instant::now();
        if drill.incident.is_some() || now < self.due {
            return;
        }
        self.due = now + FIRST_PAUSE * (1 << self.sent.min(16));
        self.sent += 1;
        send(drill, producer, self.sent, end.saturating_duration_since(now)).await;
    }
}

/// Fills the hops of the drill, until all are reached or the time is over. While ClickHouse does not
/// answer, nothing is seen yet.
///
/// # Errors
/// [`DrillError`] if ClickHouse fails for good, or does so at the end.
pub async fn until_told(
    drill: &mut Drill,
    store: &Store,
    producer: &TopicProducer,
    within: Duration,
) -> Result<(), DrillError> {
    let begin = Instant::now();
    let (end, mut attacks) = (begin + within, Attacks { sent: 0, due: begin });
    let mut looked = Ok(());
    while Instant::now() < end && !drill.is_told() {
        attacks.send_if_due(drill, producer, end).await;
        let left = end.saturating_duration_since(Instant::now());
        looked = in_time(left.clamp(LEAST_LOOK, STEP), look(drill, store, begin)).await;
        if looked.as_ref().is_err_and(|error| !error.is_passing()) {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    looked
}

async fn send(drill: &mut Drill, producer: &TopicProducer, number: u32, left: Duration) {
    let (begin, request) =
        (Instant::now(), attack::request(&drill.key_id, number, EventTime::now()));
    let sending = producer.send(Some(&drill.key_id), &request, &[]);
    let taken = timeout(left, sending).await;
    match taken {
        Ok(Ok(())) => drill.arrive("sent", begin.elapsed().as_secs_f64()),
        Ok(Err(error)) => drill.say("sent", &error.to_string()),
        Err(_) => drill.say("sent", "no broker has taken the record"),
    }
}

async fn look(drill: &mut Drill, store: &Store, begin: Instant) -> Result<(), DrillError> {
    let key = drill.key_id.clone();
    let stored: Vec<Stored> = store.query_rows(STORED, &[("key", &key)]).await?;
    if stored.iter().any(|row| row.rows > 0) {
        drill.arrive("stored", begin.elapsed().as_secs_f64());
    }
    let found: Vec<Found> = store.query_rows(ALERT, &[("key", &key)]).await?;
    let Some(found) = found.into_iter().next() else { return Ok(()) };
    drill.arrive("alert", seconds(found.tripped, found.detected));
    drill.say("alert", &format!("{}, by lifecycle.canary_use", found.id));
    drill.incident = Some(found.id.clone());
    let revision = found.first.to_string();
    let deliveries: Vec<Delivery> =
        store.query_rows(DELIVERIES, &[("id", &found.id), ("revision", &revision)]).await?;
    for delivery in deliveries {
        note(drill, &found, &delivery);
    }
    Ok(())
}

/// An alert that is not sent has not arrived, for whatever reason: that is what a drill is about.
fn note(drill: &mut Drill, found: &Found, delivery: &Delivery) {
    let name = format!("channel {}", delivery.name);
    if delivery.outcome == "delivered" {
        drill.arrive(&name, seconds(found.detected, delivery.at));
        drill.say(&name, &delivery.detail);
    } else {
        drill.say(&name, &format!("{}: {}", delivery.outcome, delivery.detail));
    }
}

fn seconds(from: i64, to: i64) -> f64 {
    EventTime::from_micros(to).seconds_since(EventTime::from_micros(from))
}
