//! What the generator promises as a whole.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::*;
use crate::registry::KeyStatus;

const HOUR: f64 = 3_600.0;

fn lines(plan: &Plan) -> Vec<String> {
    Generator::new(plan).map(|event| serde_json::to_string(&event.record).unwrap()).collect()
}

fn calm(keys: u32, hours: f64, seed: u64) -> Plan {
    Plan {
        attacks: Selection::none(),
        confusers: Selection::none(),
        ..Plan::new(keys, hours * HOUR, seed)
    }
}

fn only(confuser: ConfuserKind, keys: u32, hours: f64) -> Vec<GeneratedEvent> {
    let confusers = Selection(vec![confuser]);
    Generator::new(&Plan { confusers, ..calm(keys, hours, 11) }).collect()
}

fn place_of(address: IpAddr) -> &'static Place {
    PLACES.iter().find(|place| place.prefix.contains(&address)).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let plan = Plan::new(60, 3.0 * HOUR, 7);
    assert_eq!(lines(&plan), lines(&plan));
    assert_ne!(lines(&plan), lines(&Plan { seed: 8, ..plan.clone() }));
}

#[test]
fn attacks_leave_the_traffic_of_other_keys_alone() {
    let calm = calm(40, 6.0, 7);
    let attacked = Plan { attacks: "takeover".parse().unwrap(), ..calm.clone() };
    let victims: HashSet<_> =
        Generator::new(&attacked).labels().iter().map(|label| label.key_id.clone()).collect();
    assert!(!victims.is_empty() && victims.len() < 40);
    let others = |plan| -> Vec<_> {
        let records = Generator::new(plan).map(|event| event.record);
        records.filter(|record| !victims.contains(&record.key_id)).collect()
    };
    assert!(others(&calm) == others(&attacked));
}

#[test]
fn events_arrive_in_order_and_within_the_plan() {
    let plan = Plan::new(200, 12.0 * HOUR, 3);
    let end = plan.start.plus_seconds(plan.seconds);
    let mut last = plan.start;
    for event in Generator::new(&plan) {
        assert!(last <= event.arrival && event.arrival < end);
        assert!(event.record.time <= event.arrival);
        last = event.arrival;
    }
}

#[test]
fn without_confusers_event_times_are_in_order_and_request_ids_unique() {
    let plan = Plan { confusers: Selection::none(), ..Plan::new(100, 6.0 * HOUR, 3) };
    let mut last = plan.start;
    let mut ids = HashSet::new();
    for event in Generator::new(&plan) {
        assert!(last <= event.record.time);
        last = event.record.time;
        assert!(ids.insert(event.record.request_id));
    }
    assert!(ids.len() > 10_000);
}

#[test]
fn every_event_has_the_required_fields() {
    for line in lines(&Plan::new(60, 3.0 * HOUR, 5)) {
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        event["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        event["client_ip"].as_str().unwrap().parse::<IpAddr>().unwrap();
        assert!((100..600).contains(&event["status"].as_u64().unwrap()), "{line}");
        for field in ["key_id", "method", "path", "request_id"] {
            assert!(!event[field].as_str().unwrap().is_empty(), "{field} of {line}");
        }
    }
}

#[test]
fn the_fleet_makes_the_requests_it_is_asked_for() {
    let plan = Plan { requests_per_second: Some(40.0), ..calm(300, 24.0, 2) };
    let rate = Generator::new(&plan).count() as f64 / plan.seconds;
    assert!((rate / 40.0 - 1.0).abs() < 0.15, "{rate} requests a second");
}

#[test]
fn a_demonstration_sees_its_first_attack_within_ten_seconds() {
    let plan = Plan {
        clean_seconds: 600.0,
        longest_attack_seconds: 20.0,
        requests_per_second: Some(100.0),
        ..Plan::new(300, 660.0, 4)
    };
    let first = Generator::new(&plan).find(|event| event.label.is_some()).unwrap();
    let live = plan.start.plus_seconds(plan.clean_seconds);
    assert!((0.0..10.0).contains(&first.arrival.seconds_since(live)));
}

#[test]
fn after_a_client_error_of_the_server_the_same_signed_request_comes_again_from_the_same_place() {
    let mut first = HashMap::new();
    let mut retries = 0;
    for GeneratedEvent { record, .. } in only(ConfuserKind::ClientRetries, 60, 12.0) {
        let Some(signature) = record.signature else { continue };
        if let Some(before) = first.insert(signature.0, record.clone()) {
            assert!(before.status >= 500);
            assert_eq!((before.nonce, before.client_ip), (record.nonce, record.client_ip));
            assert_ne!(before.request_id, record.request_id);
            assert!((1.0..10.0).contains(&record.time.seconds_since(before.time)));
            retries += 1;
        }
    }
    assert!(retries > 20, "{retries}");
}

#[test]
fn a_redelivered_record_is_the_same_record() {
    let mut first = HashMap::new();
    let mut redelivered = 0;
    for GeneratedEvent { record, .. } in only(ConfuserKind::Redelivery, 60, 12.0) {
        if let Some(before) = first.insert(record.request_id.clone(), record.clone()) {
            assert_eq!(before, record);
            redelivered += 1;
        }
    }
    assert!(redelivered > 10, "{redelivered}");
}

#[test]
fn late_records_are_seconds_late() {
    let events = only(ConfuserKind::LateEvents, 60, 12.0);
    let late = |event: &&GeneratedEvent| event.record.time < event.arrival;
    let delays: Vec<_> =
        events.iter().filter(late).map(|e| e.arrival.seconds_since(e.record.time)).collect();
    assert!(delays.len() > 50);
    assert!(delays.iter().all(|delay| (0.49..60.1).contains(delay)));
}

#[test]
fn an_outage_fails_every_key_and_is_followed_by_a_surge() {
    let events = only(ConfuserKind::Outage, 200, 12.0);
    let failed = |event: &&GeneratedEvent| matches!(event.record.status, 503 | 504);
    let plan = calm(1, 12.0, 0);
    let outage = plan.start.plus_seconds(plan.seconds * 0.55);
    let during =
        |event: &&GeneratedEvent| (0.0..300.0).contains(&event.arrival.seconds_since(outage));
    let (all, down) =
        (events.iter().filter(during).count(), events.iter().filter(during).filter(failed).count());
    assert!(down as f64 > 0.9 * all as f64, "{down} of {all}");
    let per_minute = |from: f64| {
        let within = |event: &&GeneratedEvent| {
            (from..from + 60.0).contains(&event.arrival.seconds_since(outage))
        };
        events.iter().filter(within).count() as f64
    };
    assert!(per_minute(300.0) > 1.7 * per_minute(-300.0));
}

#[test]
fn a_deploy_moves_within_one_as_and_a_carrier_switch_within_one_city() {
    let mut networks = HashMap::<_, Vec<&Place>>::new();
    for event in only(ConfuserKind::Deploy, 2, 12.0) {
        networks.entry(event.record.key_id).or_default().push(place_of(event.record.client_ip));
    }
    assert!(networks.values().any(|places| places.iter().all(|p| p.asn == places[0].asn)));
    let mut carriers = HashMap::<_, HashSet<u32>>::new();
    let mut phones = HashMap::<_, Vec<&Place>>::new();
    for event in only(ConfuserKind::CarrierSwitch, 60, 48.0) {
        let place = place_of(event.record.client_ip);
        carriers.entry(event.record.key_id.clone()).or_default().insert(place.asn);
        if place.kind == NetworkKind::Mobile {
            phones.entry(event.record.key_id).or_default().push(place);
        }
    }
    let switched = phones.values().find(|places| places.iter().any(|p| p.asn != places[0].asn));
    let places = switched.unwrap();
    assert!(places.iter().all(|place| place.distance_km(places[0]) < 60.0));
}

#[test]
fn a_rotated_key_overlaps_with_its_successor_and_stops_in_time() {
    let plan = Plan { confusers: Selection(vec![ConfuserKind::KeyRotation]), ..calm(60, 24.0, 5) };
    let mut generator = Generator::new(&plan);
    let old = generator.registry().find(|key| key.rotated_to.is_some()).unwrap().clone();
    let (mut old_last, mut new_first) = (plan.start, None);
    for event in generator.by_ref() {
        if event.record.key_id == old.key_id {
            old_last = event.record.time;
        } else if Some(&event.record.key_id) == old.rotated_to.as_ref() {
            new_first.get_or_insert(event.record.time);
        }
    }
    assert!(new_first.unwrap() < old_last && old_last < old.grace_ends_at.unwrap());
}

#[test]
fn a_banned_key_gets_403_from_one_moment_until_its_client_gives_up() {
    let plan = Plan { confusers: Selection(vec![ConfuserKind::Ban]), ..calm(60, 24.0, 5) };
    let mut generator = Generator::new(&plan);
    let banned =
        generator.registry().find(|key| key.status == KeyStatus::Suspended).unwrap().clone();
    let statuses: Vec<_> = generator
        .by_ref()
        .filter(|event| event.record.key_id == banned.key_id)
        .map(|event| event.record.status)
        .collect();
    let refused = statuses.iter().rev().take_while(|status| **status == 403).count();
    assert!(refused > 3 && refused < statuses.len() / 2, "{refused} of {}", statuses.len());
}
