//! Logs as they should not be. None of this may raise a false alarm, hide a true one, or
//! cost without bound.

use std::net::Ipv4Addr;
use std::sync::Arc;

use keywatch::alert::{Alert, DetectorId};
use keywatch::engine::Disposition;
use keywatch::event::{EnrichedEvent, PartitionId, RecordPosition, ShardId};

use super::scene::{AMSTERDAM, LONDON, Place, SYDNEY, Scene};
use super::{DAY, HOUR, assert_quiet, settled};

/// A log in the order in which it arrived, which its times do not follow.
fn in_order_of_arrival(scene: &Scene, skew: impl Fn(&EnrichedEvent) -> f64) -> Vec<EnrichedEvent> {
    let mut events = scene.events();
    for event in &mut events {
        event.event.time = event.event.time.plus_seconds(skew(event));
    }
    events
}

fn run(events: &[EnrichedEvent]) -> Vec<Alert> {
    Scene::engine().process(ShardId::Shared, &Scene::partition(), events, None).alerts
}

#[test]
fn one_producer_s_clock_that_is_hours_off_harms_nobody() {
    for hours in [-6.0, 6.0] {
        let mut scene = Scene::new();
        for key in 0..10 {
            scene.steady(&format!("key-{key}"), LONDON, f64::from(key), 3.0 * DAY, 60.0);
        }
        let skew =
            |event: &EnrichedEvent| if event.event.key_id == "key-3" { hours * HOUR } else { 0.0 };
        let alerts = run(&in_order_of_arrival(&scene, skew));
        let titles: Vec<_> = alerts.iter().map(|alert| &alert.title).collect();
        assert!(titles.is_empty(), "{hours} h: {titles:?}");

        scene.request("key-5", LONDON, 2.0 * DAY + 30.5).nonce("zq81");
        scene.request("key-5", AMSTERDAM, 2.0 * DAY + 35.5).nonce("zq81");
        let alerts = run(&in_order_of_arrival(&scene, skew));
        assert!(alerts[0].detectors.contains(&DetectorId::DuplicateNonce), "{hours} h");
        assert!(alerts.iter().all(|alert| alert.key_id.as_deref() == Some("key-5")));
    }
}

#[test]
fn after_an_event_of_the_year_2100_an_attack_is_found_as_before() {
    let mut scene = settled(30.0);
    scene.request("key", LONDON, DAY).nonce("far");
    scene.request("key", LONDON, 1.5 * DAY).nonce("zq81");
    scene.request("key", AMSTERDAM, 1.5 * DAY + 5.0).nonce("zq81");
    let century = |event: &EnrichedEvent| match &event.event.nonce {
        Some(_) if event.event.time == scene.at(DAY) => 74.0 * 365.0 * DAY,
        _ => 0.0,
    };
    let with = run(&in_order_of_arrival(&scene, century));
    let without = run(&in_order_of_arrival(&scene, |_| 0.0));
    let what = |alerts: &[Alert]| -> Vec<_> {
        alerts.iter().map(|a| (a.detected_event_time, a.alert_type, a.detectors.clone())).collect()
    };
    assert!(!with.is_empty());
    assert_eq!(what(&with), what(&without));
}

/// The same records in a second file of another name.
#[test]
fn a_copy_of_the_whole_log_is_redelivery() {
    let mut scene = Scene::new();
    for n in 0..4_000 {
        let request = scene.request("key", LONDON, f64::from(n) * 30.0);
        request.nonce(&format!("n{n}")).request_id(&format!("r{n}"));
        scene.request("plain", LONDON, f64::from(n) * 30.0 + 7.0).request_id(&format!("p{n}"));
    }
    let events = scene.events();
    let mut engine = Scene::engine();
    for topic in ["log", "copy of log"] {
        let partition = PartitionId { topic: topic.into(), partition: 0 };
        let outcome = engine.process(ShardId::Shared, &partition, &events, None);
        let alerts = &outcome.alerts;
        assert!(alerts.is_empty(), "{topic}: {:?}", alerts[0].title);
        let redelivered = if topic == "log" { 0 } else { events.len() };
        assert_eq!(outcome.count(Disposition::Redelivered), redelivered, "{topic}");
    }
}

/// Without request ids, a signed request tells a copy from a replay: a replayed request
/// arrives at a time of its own.
#[test]
fn a_copy_without_request_ids_is_no_replay() {
    let mut scene = Scene::new();
    for n in 0..4_000 {
        scene.request("key", LONDON, f64::from(n) * 30.0).nonce(&format!("n{n}"));
    }
    let events = scene.events();
    let mut engine = Scene::engine();
    for topic in ["log", "copy of log"] {
        let partition = PartitionId { topic: topic.into(), partition: 0 };
        let outcome = engine.process(ShardId::Shared, &partition, &events, None);
        let alerts = &outcome.alerts;
        assert!(alerts.is_empty(), "{topic}: {:?}", alerts[0].title);
        let redelivered = if topic == "log" { 0 } else { events.len() };
        assert_eq!(outcome.count(Disposition::Redelivered), redelivered, "{topic}");
    }
}

#[test]
fn a_key_with_one_event_alerts_nobody() {
    let mut scene = settled(30.0);
    scene.request("once", SYDNEY, DAY).nonce("1").signed_at(DAY);
    assert_quiet(&scene);
}

/// Mobile clients behind one key: every request from another address of its own network.
#[test]
fn a_key_with_a_million_addresses_is_one_key_and_no_alarm() {
    const REQUESTS: u32 = 1_000_000;
    let mut scene = Scene::new();
    scene.request("crowd", LONDON, 0.0);
    let first = scene.events().remove(0);
    let event = |n: u32| {
        let mut enriched = EnrichedEvent {
            origin: Arc::clone(&first.origin),
            event: first.event.clone(),
            position: RecordPosition { offset: i64::from(n), index: 0 },
        };
        enriched.event.time = first.event.time.plus_seconds(f64::from(n) * 0.2);
        enriched.event.client_ip = Ipv4Addr::from_bits(0x0a00_0000 + n).into();
        enriched
    };
    let mut engine = Scene::engine();
    for batch in 0..REQUESTS / 10_000 {
        let events: Vec<_> = (batch * 10_000..(batch + 1) * 10_000).map(event).collect();
        let alerts = engine.process(ShardId::Shared, &Scene::partition(), &events, None).alerts;
        assert!(alerts.is_empty(), "{}", alerts[0].title);
    }
    assert_eq!(engine.keys(), 1);
}

/// A botnet with one stolen key: places without number are one incident, told a few times.
#[test]
fn a_key_used_from_everywhere_is_one_incident() {
    let mut scene = settled(30.0);
    for n in 0..20_000u32 {
        let elsewhere = Place { asn: 100_000 + n, ..[SYDNEY, AMSTERDAM][n as usize % 2] };
        scene.request("key", elsewhere, 2.0 * DAY + f64::from(n) * 0.1);
    }
    let alerts = scene.run();
    let open = alerts.iter().filter(|a| a.alert_type == keywatch::alert::AlertType::Opened).count();
    assert_eq!(open, 1);
    assert!(alerts.len() < 100, "{}", alerts.len());
}

#[test]
fn counters_that_wrap_begin_again_and_are_watched_as_before() {
    for last in [i32::MAX as u64, u64::from(u32::MAX), i64::MAX as u64, u64::MAX] {
        let mut scene = Scene::new();
        for n in 0..5_000u64 {
            let nonce = if n <= 2_500 { last - (2_500 - n) } else { n - 2_501 };
            scene.request("key", LONDON, n as f64 * 30.0).nonce(&nonce.to_string());
        }
        assert_quiet(&scene);
        scene.request("key", SYDNEY, 150_000.0).nonce("7");
        let alerts = scene.run();
        let back = alerts.iter().any(|a| {
            a.detectors.contains(&DetectorId::OutOfOrderNonce)
                || a.detectors.contains(&DetectorId::DuplicateNonce)
        });
        assert!(back, "{last}: a nonce that goes back is still found");
    }
}

#[test]
fn all_events_in_one_second_alert_nobody() {
    let mut scene = Scene::new();
    for n in 0..5_000 {
        scene.request(&format!("key-{}", n % 50), LONDON, f64::from(n) / 5_000.0);
        scene.request("busy", LONDON, 0.0);
    }
    assert_quiet(&scene);
}
