//! The synchronous core, scene by scene: what must alert, and what is ordinary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod across_partitions;
mod attempts;
mod bad_input;
mod behaviour;
mod checkpoints;
mod corpora;
mod image;
mod jobs;
mod joint;
mod keys;
mod lessons;
mod models;
mod nonces;
mod places;
mod routes;
mod rules;
mod scene;
mod stuffing;
mod theft;
mod unread;
mod usage;

use keywatch::alert::{AlertType, DetectorId, Severity};
use keywatch::engine::Disposition;
use keywatch::event::{PartitionId, ShardId};
use proptest::prelude::*;

use scene::{AMSTERDAM, HOSTER, LONDON, NEW_YORK, Place, SYDNEY, Scene};

const HOUR: f64 = 3_600.0;
const DAY: f64 = 86_400.0;

fn assert_quiet(scene: &Scene) {
    let titles: Vec<_> = scene.run().into_iter().map(|a| (a.first_event_time, a.title)).collect();
    assert!(titles.is_empty(), "{titles:#?}");
}

/// A key in London: a request every `every` seconds for two days.
fn settled(every: f64) -> Scene {
    let mut scene = Scene::new();
    scene.steady("key", LONDON, 0.0, 2.0 * DAY, every);
    scene
}

#[test]
fn a_steady_key_alerts_nobody() {
    assert_quiet(&settled(5.0));
}

#[test]
fn a_spike_is_found_within_fifteen_seconds() {
    let mut scene = settled(5.0);
    scene.steady("key", LONDON, 2.0 * DAY, 60.0, 0.05);
    let alerts = scene.run();
    let first = &alerts[0];
    assert_eq!(first.detectors, [DetectorId::RateSpike]);
    assert!(first.severity >= Severity::Medium);
    assert!(first.detected_event_time.seconds_since(scene.at(2.0 * DAY)) < 15.0);
    let evidence = &first.evidence[0];
    assert!(evidence.observed.unwrap() > 10.0 * evidence.expected.unwrap());
}

#[test]
fn a_slow_ramp_is_found_though_no_window_spikes() {
    let mut scene = Scene::new();
    scene.steady("key", LONDON, 0.0, 4.0 * DAY, 10.0);
    let mut every = 10.0;
    for hour in 0..24 {
        every *= 0.93;
        scene.steady("key", LONDON, 4.0 * DAY + f64::from(hour) * HOUR, HOUR, every);
    }
    scene.steady("key", LONDON, 5.0 * DAY, 12.0 * HOUR, every);
    let alerts = scene.run();
    assert!(!alerts.is_empty());
    assert_eq!(alerts[0].detectors, [DetectorId::RateSpike]);
    assert!(alerts[0].evidence[0].fields.contains_key("since"), "{:?}", alerts[0].evidence);
}

#[test]
fn the_daily_rise_of_office_hours_is_ordinary_once_it_was_seen() {
    let mut scene = Scene::new();
    for day in 0..7 {
        let start = f64::from(day) * DAY;
        scene.steady("key", LONDON, start, 8.0 * HOUR, 300.0);
        scene.steady("key", LONDON, start + 8.0 * HOUR, 10.0 * HOUR, 5.0);
        scene.steady("key", LONDON, start + 18.0 * HOUR, 6.0 * HOUR, 300.0);
    }
    let alerts = scene.run();
    let late: Vec<_> =
        alerts.iter().filter(|a| a.first_event_time > scene.at(DAY)).map(|a| &a.title).collect();
    assert!(late.is_empty(), "{late:?}");
}

#[test]
fn bursts_of_a_cron_job_are_ordinary() {
    let mut scene = Scene::new();
    for run in 0..600 {
        scene.steady("key", LONDON, f64::from(run) * 600.0, 5.0, 0.05);
    }
    let alerts = scene.run();
    let late = alerts.iter().filter(|a| a.first_event_time > scene.at(3.0 * HOUR)).count();
    assert_eq!(late, 0);
}

#[test]
fn a_rush_of_the_whole_fleet_is_nobody_s_spike() {
    let mut scene = Scene::new();
    for key in 0..40 {
        let name = format!("key-{key}");
        scene.steady(&name, LONDON, f64::from(key) / 10.0, DAY, 20.0);
        scene.steady(&name, LONDON, DAY + 60.0 + f64::from(key) / 100.0, 120.0, 0.4);
    }
    assert_quiet(&scene);
}

#[test]
fn failures_far_above_the_key_s_own_are_a_burst() {
    for (status, detector) in [
        (500, DetectorId::ErrorBurst),
        (429, DetectorId::ThrottledBurst),
        (401, DetectorId::AuthFailureBurst),
    ] {
        let mut scene = settled(10.0);
        for n in 0..60 {
            scene.request("key", LONDON, 2.0 * DAY + f64::from(n)).status(status);
            if n % 5 == 0 {
                scene.request("key", LONDON, 2.0 * DAY + f64::from(n) + 0.5);
            }
        }
        let alerts = scene.run();
        assert!(alerts[0].detectors.contains(&detector), "{status}: {:?}", alerts[0].detectors);
    }
}

#[test]
fn an_outage_of_the_whole_api_is_nobody_s_error_burst() {
    let mut scene = Scene::new();
    for key in 0..20 {
        let name = format!("key-{key}");
        let offset = f64::from(key) / 10.0;
        scene.steady(&name, LONDON, offset, DAY, 5.0);
        for n in 0..120 {
            scene.request(&name, LONDON, DAY + offset + f64::from(n) * 2.5).status(503);
        }
    }
    assert_quiet(&scene);
}

#[test]
fn a_ban_refuses_everything_and_is_no_new_sign() {
    let mut scene = settled(2.0);
    for n in 0..600 {
        scene.request("key", LONDON, 2.0 * DAY + f64::from(n) * 2.0).status(403);
    }
    assert_quiet(&scene);
}

#[test]
fn two_places_at_once_are_impossible_travel() {
    let mut scene = settled(30.0);
    scene.request("key", SYDNEY, 2.0 * DAY + 60.0);
    let alert = &scene.run()[0];
    assert!(alert.detectors.contains(&DetectorId::ImpossibleTravel), "{:?}", alert.detectors);
    let travel =
        alert.evidence.iter().find(|e| e.detector == DetectorId::ImpossibleTravel).unwrap();
    assert!(travel.fields["kilometres"].as_f64().unwrap() > 16_000.0);
    assert!(alert.severity >= Severity::Medium);
}

#[test]
fn a_journey_at_the_speed_of_an_aircraft_is_not_impossible() {
    let mut scene = settled(30.0);
    scene.steady("key", NEW_YORK, 2.0 * DAY + 8.0 * HOUR, HOUR, 30.0);
    let alerts = scene.run();
    assert!(alerts.iter().all(|a| !a.detectors.contains(&DetectorId::ImpossibleTravel)));
}

#[test]
fn a_fleet_in_several_regions_at_once_is_ordinary() {
    let mut scene = Scene::new();
    for (start, place) in [(0.0, LONDON), (1.0, NEW_YORK), (2.0, SYDNEY)] {
        scene.steady("key", place, start, 2.0 * DAY, 20.0);
    }
    assert_quiet(&scene);
}

#[test]
fn an_address_that_a_database_update_moves_has_not_travelled() {
    let mut scene = settled(30.0);
    let moved = Place { ip: LONDON.ip, ..SYDNEY };
    scene.steady("key", moved, 2.0 * DAY, HOUR, 30.0);
    assert_quiet(&scene);
}

#[test]
fn a_country_never_used_is_a_new_location() {
    let mut scene = settled(30.0);
    scene.steady("key", SYDNEY, 2.0 * DAY + 30.0 * HOUR, 60.0, 30.0);
    let alerts = scene.run();
    assert!(alerts[0].detectors.contains(&DetectorId::NewLocation));
    assert!(alerts[0].explanation.contains("Sydney, AU"), "{}", alerts[0].explanation);
}

#[test]
fn a_hoster_in_the_same_city_is_a_new_asn_and_not_travel() {
    let mut scene = settled(30.0);
    let hoster = Place { asn: HOSTER, ip: "203.0.113.9", ..LONDON };
    scene.request("key", hoster, 2.0 * DAY + 30.0);
    let alert = &scene.run()[0];
    assert_eq!(alert.detectors, [DetectorId::NewAsn]);
}

#[test]
fn another_carrier_in_the_same_city_is_ordinary() {
    let mut scene = settled(30.0);
    let carrier = Place { asn: 64_998, ip: "203.0.113.9", ..LONDON };
    scene.steady("key", carrier, 2.0 * DAY + 30.0, HOUR, 30.0);
    assert_quiet(&scene);
}

#[test]
fn a_deploy_inside_one_network_and_country_is_ordinary() {
    let mut scene = settled(30.0);
    let moved = Place { ip: "198.51.100.77", region: "Scotland", ..LONDON };
    scene.steady("key", moved, 2.0 * DAY, HOUR, 30.0);
    assert_quiet(&scene);
}

#[test]
fn a_nonce_from_elsewhere_is_a_replay() {
    let mut scene = settled(30.0);
    scene.request("key", LONDON, 2.0 * DAY).nonce("zq81");
    scene.request("key", AMSTERDAM, 2.0 * DAY + 5.0).nonce("zq81");
    let alerts = scene.run();
    assert_eq!(alerts[0].detectors[0], DetectorId::DuplicateNonce);
    assert!(alerts[0].severity >= Severity::High);
    let text = serde_json::to_string(&alerts[0]).unwrap();
    assert!(!text.contains("zq81"), "the nonce itself must not leave the house: {text}");
}

#[test]
fn a_retry_after_a_timeout_is_not_a_replay() {
    let mut scene = settled(30.0);
    scene.request("key", LONDON, 2.0 * DAY).nonce("zq81").status(504);
    scene.request("key", LONDON, 2.0 * DAY + 40.0).nonce("zq81");
    assert_quiet(&scene);
}

#[test]
fn a_redelivered_record_is_not_a_replay_and_counts_once() {
    let mut scene = settled(30.0);
    scene.request("key", LONDON, 2.0 * DAY).nonce("zq81").request_id("r-1");
    scene.request("key", LONDON, 2.0 * DAY).nonce("zq81").request_id("r-1");
    let outcome = scene.outcome();
    let alerts = &outcome.alerts;
    assert!(alerts.is_empty());
    assert_eq!(outcome.count(Disposition::Redelivered), 1);
}

#[test]
fn a_partition_read_again_changes_nothing() {
    let scene = settled(30.0);
    let events = scene.events();
    let mut engine = Scene::engine();
    let partition = Scene::partition();
    engine.process(ShardId::Shared, &partition, &events, None);
    let again = engine.process(ShardId::Shared, &partition, &events, None);
    assert_eq!(again.count(Disposition::Redelivered), events.len());
    assert!(again.alerts.is_empty());
}

#[test]
fn a_request_signed_long_ago_is_stale_when_accepted() {
    let mut scene = Scene::new();
    for n in 0..1_000 {
        let time = f64::from(n) * 60.0;
        scene.request("key", LONDON, time).signed_at(time - 0.2);
    }
    scene.request("key", LONDON, 60_000.0).signed_at(60_000.0 - 7_200.0);
    let alerts = scene.run();
    assert_eq!(alerts[0].detectors, [DetectorId::StaleTimestamp]);
}

#[test]
fn a_clock_that_was_always_wrong_is_not_stale() {
    let mut scene = Scene::new();
    for n in 0..1_000 {
        let time = f64::from(n) * 60.0;
        scene.request("key", LONDON, time).signed_at(time - 600.0);
    }
    assert_quiet(&scene);
}

#[test]
fn more_evidence_updates_the_one_incident_and_quiet_closes_it() {
    let mut scene = settled(30.0);
    scene.request("key", LONDON, 2.0 * DAY).nonce("zq81");
    scene.request("key", SYDNEY, 2.0 * DAY + 5.0).nonce("zq81");
    scene.steady("key", LONDON, 2.0 * DAY + 10.0, 120.0, 0.05);
    scene.steady("key", LONDON, 2.0 * DAY + 2.0 * HOUR, HOUR, 30.0);
    let alerts = scene.run();
    let ids: std::collections::BTreeSet<_> = alerts.iter().map(|a| &a.id).collect();
    assert_eq!(ids.len(), 1, "one incident a key");
    let revisions: Vec<u32> = alerts.iter().map(|a| a.revision).collect();
    assert_eq!(revisions, (1..=alerts.len() as u32).collect::<Vec<_>>());
    assert_eq!(alerts[0].alert_type, AlertType::Opened);
    assert_eq!(alerts.last().unwrap().alert_type, AlertType::Resolved);
    assert!(alerts.iter().any(|a| a.severity == Severity::Critical));
}

#[test]
fn refused_strangers_get_no_profile() {
    let mut scene = Scene::new();
    for n in 0..100 {
        scene.request(&format!("invented-{n}"), LONDON, f64::from(n)).status(401);
    }
    let outcome = scene.outcome();
    assert_eq!(outcome.count(Disposition::Unprofiled), 100);
}

#[test]
fn one_event_in_the_year_2100_changes_nothing() {
    let quiet = settled(30.0);
    let mut scene = settled(30.0);
    scene.request("key", LONDON, DAY).nonce("zq81");
    let mut events = scene.events();
    let wrong = events.iter().position(|e| e.event.nonce.is_some()).unwrap();
    events[wrong].event.time = scene.at(74.0 * 365.0 * DAY);
    let mut engine = Scene::engine();
    let outcome = engine.process(ShardId::Shared, &Scene::partition(), &events, None);
    assert!(outcome.alerts.is_empty());
    assert_eq!(outcome.quarantined().count(), 1);
    assert_eq!(outcome.count(Disposition::Redelivered), 0);
    assert_quiet(&quiet);
}

#[test]
fn a_gap_of_a_month_is_crossed() {
    let mut scene = settled(30.0);
    scene.steady("key", LONDON, 30.0 * DAY, HOUR, 30.0);
    let outcome = scene.outcome();
    let alerts = &outcome.alerts;
    assert!(alerts.is_empty());
    assert_eq!(outcome.quarantined().count(), 2);
}

#[test]
fn partitions_that_are_hours_apart_are_judged_each_by_its_own_time() {
    let mut engine = Scene::engine();
    let partition = |number| PartitionId { topic: "log".into(), partition: number };
    let logs: Vec<_> = (0..3)
        .map(|number| {
            let mut scene = Scene::new();
            scene.steady(&format!("key-{number}"), LONDON, 0.0, 2.0 * DAY, 20.0);
            (partition(number), scene.events())
        })
        .collect();
    // A backlog: the first partition is read to its end before the others begin.
    for (partition, events) in &logs {
        for batch in events.chunks(1_000) {
            let outcome = engine.process(ShardId::Shared, partition, batch, None);
            assert!(outcome.alerts.is_empty());
            assert_eq!(outcome.count(Disposition::Judged), batch.len());
        }
    }
}

/// A scene with every kind of finding in it.
fn eventful() -> Scene {
    let mut scene = settled(60.0);
    scene.request("key", LONDON, 2.0 * DAY).nonce("zq81");
    scene.request("key", SYDNEY, 2.0 * DAY + 5.0).nonce("zq81");
    scene.steady("key", LONDON, 2.0 * DAY + 10.0, 60.0, 0.1);
    scene.steady("other", NEW_YORK, 0.0, 2.0 * DAY, 300.0);
    scene.request("other", AMSTERDAM, 2.0 * DAY + 100.0);
    scene.steady("key", LONDON, 2.0 * DAY + 2.0 * HOUR, HOUR, 30.0);
    stuffing::stuff(&mut scene, 2.0 * DAY + HOUR, 40);
    scene
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn cutting_the_log_into_batches_changes_nothing(cuts in prop::collection::vec(1usize..900, 1..20)) {
        let scene = eventful();
        let whole = scene.run();
        prop_assert!(whole.len() > 3);
        prop_assert_eq!(scene.run_in_batches(&cuts), whole);
    }
}

/// A shipper that was down sends what happened hours ago, behind what others sent meanwhile.
#[test]
fn late_evidence_is_one_incident_and_not_one_for_each_record() {
    let mut scene = settled(60.0);
    scene.steady("other", LONDON, 0.0, 2.0 * DAY, 30.0);
    let mut late = Scene::new();
    for n in 0..40 {
        let place = if n % 2 == 0 { SYDNEY } else { LONDON };
        late.request("key", place, 2.0 * DAY - 3.0 * HOUR + f64::from(n) * 60.0);
    }
    let mut events = scene.events();
    let after = events.len() as i64;
    events.extend(late.events().into_iter().zip(after + 1..).map(|(mut event, offset)| {
        event.position.offset = offset;
        event
    }));
    let mut engine = Scene::engine();
    let alerts = engine.process(ShardId::Shared, &Scene::partition(), &events, None).alerts;
    let opened = alerts.iter().filter(|alert| alert.alert_type == AlertType::Opened).count();
    assert_eq!(opened, 1, "{:#?}", alerts.iter().map(|alert| &alert.title).collect::<Vec<_>>());
}
