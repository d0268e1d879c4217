//! Tests the properties that the generator guarantees as a whole.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::*;
use crate::registry::KeyStatus;

const HOUR: f64 = 3_600.0;

fn lines(plan: &Plan) -> Vec<String> {
    Generator::new(plan).map(|event| serde_json::to_string(&event.record).unwrap()).collect()
}

/// A fleet of settled characters, without attacks and confusers.
fn calm(keys: u32, hours: f64, seed: u64) -> Plan {
    Plan {
        characters: Character::settled(),
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
        Generator::new(&attacked).labels().iter().filter_map(|l| l.key_id.clone()).collect();
    assert!(!victims.is_empty() && victims.len() < 40);
    let others = |plan| -> Vec<_> {
        let records = Generator::new(plan).map(|event| event.record);
        records.filter(|record| !victims.contains(&record.key_id)).collect()
    };
    assert!(others(&calm) == others(&attacked));
}

#[test]
fn events_arrive_in_order_and_within_the_plan() {
    let plan = Plan::new(300, 12.0 * HOUR, 3);
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
    let confusers = Selection::none();
    let characters = Character::settled();
    let plan = Plan { characters, confusers, ..Plan::new(100, 6.0 * HOUR, 3) };
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
            assert!((0.1..10.0).contains(&record.time.seconds_since(before.time)));
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

/// The records of every key that plays the confuser, and its registration.
fn confused(kind: ConfuserKind, hours: f64) -> Vec<(RegisteredKey, Vec<AccessRecord>)> {
    let mut plan = Plan { confusers: Selection(vec![kind]), ..calm(60, hours, 5) };
    plan.characters = Selection::all();
    let mut generator = Generator::new(&plan);
    let cast = generator.cast();
    let chosen = cast.iter().filter(|entry| entry.confuser.as_deref() == Some(kind.name()));
    let chosen: HashSet<_> = chosen.map(|entry| entry.key_id.clone()).collect();
    let registered: HashMap<_, _> =
        generator.registry().map(|key| (key.key_id.clone(), key.clone())).collect();
    let mut records = HashMap::<_, Vec<_>>::new();
    for event in generator.by_ref().filter(|event| chosen.contains(&event.record.key_id)) {
        records.entry(event.record.key_id.clone()).or_default().push(event.record);
    }
    assert!(!records.is_empty(), "{kind:?}");
    records.into_iter().map(|(key, records)| (registered[&key].clone(), records)).collect()
}

#[test]
fn a_move_ends_in_another_network_and_a_sibling_is_of_the_same_organisation() {
    for (kind, organisation_stays) in
        [(ConfuserKind::CloudMigration, false), (ConfuserKind::SiblingDeploy, true)]
    {
        for (_, records) in confused(kind, 96.0) {
            let (first, last) = (place_of(records[0].client_ip).asn, records.last().unwrap());
            let last = place_of(last.client_ip).asn;
            assert_ne!(first, last, "{kind:?}");
            let changes = records
                .windows(2)
                .filter(|p| place_of(p[0].client_ip).asn != place_of(p[1].client_ip).asn)
                .count();
            // A deploy changes the site at one moment, a migration over days.
            assert_eq!(changes == 1, organisation_stays, "{kind:?}: {changes} changes");
        }
    }
}

#[test]
fn an_api_version_and_a_library_change_once_and_for_all() {
    for (_, records) in confused(ConfuserKind::ApiVersion, 96.0) {
        let versions = |part: &[AccessRecord]| -> HashSet<_> {
            part.iter().map(|record| record.path[..3].to_owned()).collect()
        };
        let (first, last) = (versions(&records[..20]), versions(&records[records.len() - 20..]));
        assert!(first.is_disjoint(&last), "{first:?} {last:?}");
    }
    for (_, records) in confused(ConfuserKind::ClientUpgrade, 96.0) {
        let (first, last) = (records[0].user_agent, records.last().unwrap().user_agent);
        assert_ne!(first, last);
        assert_eq!(first.split('/').next(), last.split('/').next());
    }
}

#[test]
fn a_backfill_is_many_times_the_usual_for_hours_from_the_same_machines() {
    for (_, records) in confused(ConfuserKind::Backfill, 96.0) {
        let mut hours = HashMap::<_, usize>::new();
        for record in &records {
            *hours.entry(record.time.as_micros() / 3_600_000_000).or_default() += 1;
        }
        let mut hours: Vec<_> = hours.into_values().collect();
        hours.sort_unstable();
        let (usual, busiest) = (hours[hours.len() / 2], hours[hours.len() - 1]);
        assert!(busiest > 4 * usual, "{busiest} against {usual}");
        let networks: HashSet<_> =
            records.iter().map(|record| &place_of(record.client_ip).prefix).collect();
        assert_eq!(networks.len(), 1);
    }
}

#[test]
fn nobody_is_at_the_office_over_a_long_weekend_and_an_office_shifts_by_an_hour() {
    for (_, records) in confused(ConfuserKind::LongWeekend, 240.0) {
        let gap =
            records.windows(2).map(|p| p[1].time.seconds_since(p[0].time)).fold(0.0, f64::max);
        assert!(gap > 3.4 * 24.0 * HOUR, "{gap}");
    }
    let mut random = random::stream(1, 0);
    let mut rhythm = rhythm::Rhythm::new(
        rhythm::Starts::Seasonal {
            per_second: 0.05,
            season: season::Season::new(season::Curve::Office, 0),
        },
        rhythm::Burst::ONE,
    );
    let start = Plan::new(1, 1.0, 1).start;
    let (shift, end) = (start.plus_seconds(48.0 * HOUR), start.plus_seconds(96.0 * HOUR));
    rhythm.shift_hour(shift, HOUR);
    let weather = weather::Weather::default();
    let (mut before, mut after) = (0, 0);
    let mut next = rhythm.first(start, end, &weather, &mut random);
    while let Some(time) = next {
        // From six to seven in the morning, when office traffic begins.
        let hour = time.seconds_since(start).rem_euclid(24.0 * HOUR) / HOUR;
        if (6.0..7.0).contains(&hour) {
            *(if time < shift { &mut before } else { &mut after }) += 1;
        }
        next = rhythm.next(time, end, &weather, &mut random);
    }
    assert!(after > 2 * before, "{before} then {after}");
}

#[test]
fn an_expired_key_is_refused_in_a_loop() {
    for (registered, records) in confused(ConfuserKind::ExpiredLoop, 72.0) {
        let expired = registered.expires_at.unwrap();
        let (before, after): (Vec<_>, Vec<_>) = records.iter().partition(|r| r.time < expired);
        assert!(after.len() > 100 && after.iter().all(|record| record.status == 401));
        assert!(before.iter().filter(|record| record.status == 401).count() * 20 < before.len());
        assert!(after.iter().all(|record| record.tenant.is_none()));
    }
}

#[test]
fn nonces_begin_again_or_change_their_unit() {
    let number = |record: &AccessRecord| match record.nonce {
        Some(ClientNonce::Number(number)) => number,
        _ => panic!("a number"),
    };
    for (_, records) in confused(ConfuserKind::CounterReset, 48.0) {
        assert!(number(records.last().unwrap()) < number(&records[0]));
    }
    for (_, records) in confused(ConfuserKind::NonceUnit, 48.0) {
        assert!(number(records.last().unwrap()) / number(&records[0]) > 900);
    }
}

#[test]
fn a_log_outage_leaves_a_gap_of_minutes_in_all_keys() {
    let events = only(ConfuserKind::LogOutage, 200, 24.0);
    let plan = calm(1, 24.0, 0);
    let gap = plan.start.plus_seconds(plan.seconds * 0.75);
    let in_gap = |event: &&GeneratedEvent| {
        (0.0..plan.seconds * 0.01).contains(&event.record.time.seconds_since(gap))
    };
    assert_eq!(events.iter().filter(in_gap).count(), 0);
}

#[test]
fn a_late_batch_arrives_all_at_once_and_a_repeated_file_again() {
    let late = only(ConfuserKind::LateBatch, 200, 24.0);
    let late: Vec<_> = late.iter().filter(|event| event.record.time < event.arrival).collect();
    assert!(late.len() > 50);
    assert!(late.iter().all(|event| event.arrival == late[0].arrival));
    assert!(late.iter().all(|e| e.arrival.seconds_since(e.record.time) > 1_000.0));

    let mut seen = HashSet::new();
    let repeated = only(ConfuserKind::RepeatedFile, 200, 24.0);
    let again = repeated.iter().filter(|event| !seen.insert(&event.record.request_id)).count();
    assert!(again > 500, "{again}");
}

#[test]
fn the_cast_names_every_key_its_confuser_and_its_attacks() {
    let plan = Plan::new(400, 24.0 * HOUR, 3);
    let generator = Generator::new(&plan);
    let cast = generator.cast();
    assert_eq!(cast.len(), 400);
    let tried = |entry: &&CastEntry| entry.attacks.iter().any(|kind| kind == "tried_list");
    assert_eq!(cast.iter().filter(tried).count(), 400);
    for label in generator.labels() {
        let Some(key) = &label.key_id else { continue };
        let entry = cast.iter().find(|entry| entry.key_id == *key).unwrap();
        assert!(entry.attacks.contains(&label.kind));
    }
    let successors = cast.iter().filter(|entry| entry.confuser.as_deref() == Some("key_rotation"));
    assert!(successors.count() >= 2);
    assert!(cast.iter().all(|entry| (0.0..=1.001).contains(&entry.key_days)));
}

#[test]
fn a_selection_of_characters_leaves_out_all_others() {
    let characters = Selection(vec![Character::Poller, Character::AppCrowd]);
    let plan = Plan { characters: characters.clone(), ..Plan::new(60, 6.0 * HOUR, 3) };
    for entry in Generator::new(&plan).cast() {
        assert!(characters.0.iter().any(|character| character.name() == entry.character));
    }
}

#[test]
fn some_gateways_log_the_outcome_and_say_false_of_401_alone() {
    let plan = Plan { confusers: Selection::none(), ..Plan::new(100, 6.0 * HOUR, 3) };
    let (mut with, mut without) = (0, 0);
    for GeneratedEvent { record, label, .. } in Generator::new(&plan) {
        match record.authenticated {
            Some(authenticated) if label.is_none() => {
                assert_eq!(authenticated, record.status != 401);
                with += 1;
            }
            Some(_) => {}
            None => without += 1,
        }
    }
    assert!(with > 1_000 && without > 1_000);
}
