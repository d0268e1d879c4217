//! Sends requests until one becomes an alert, and waits until the channels have told it.

use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::attack;
use super::hops::Drill;
use super::{DrillError, TopicProducer};
use crate::event::EventTime;
use crate::store::{Store, StoreError};

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The service knows the canary within a second; a request before that is no alert.
const ATTACK_EVERY: Duration = Duration::from_secs(1);

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

/// Fills the hops of the drill, until all are reached or the time is over.
///
/// # Errors
/// [`DrillError`] if ClickHouse fails.
pub async fn until_told(
    drill: &mut Drill,
    store: &Store,
    producer: &TopicProducer,
    within: Duration,
) -> Result<(), DrillError> {
    let begin = Instant::now();
    let mut sent: (u32, Option<Instant>) = (0, None);
    while begin.elapsed() < within && !drill.is_told() {
        let is_due = sent.1.is_none_or(|at: Instant| at.elapsed() >= ATTACK_EVERY);
        if drill.incident.is_none() && is_due {
            sent = (sent.0 + 1, Some(Instant::now()));
            let left = within.saturating_sub(begin.elapsed());
            send(drill, producer, sent.0, left).await;
        }
        look(drill, store, begin).await?;
        sleep(LOOK_EVERY).await;
    }
    Ok(())
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

async fn look(drill: &mut Drill, store: &Store, begin: Instant) -> Result<(), StoreError> {
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
