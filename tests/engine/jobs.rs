//! Jobs that begin some day, and thieves who look like one.

use std::collections::BTreeSet;

use keywatch::alert::{Action, Alert, AlertType, DetectorId, Severity};

use super::scene::{AMSTERDAM, HOSTER, LONDON, NEW_YORK, OTHER_HOSTER, Place, SYDNEY, Scene};
use super::{DAY, HOUR, assert_quiet};

const OWN: &str = "acme-sync/2.1";
const JOB: &str = "nightingale-report/0.3";

/// Customers on their servers in London: a request about every minute.
fn customers(days: f64) -> Scene {
    let mut scene = Scene::new();
    for key in ["key", "one", "two", "three", "four", "five"] {
        for n in 0..(days * 1_440.0) as u32 {
            let jitter = f64::from(n * 7_919 % 41) + key.len() as f64;
            let request = scene.request(key, LONDON, 60.0 * f64::from(n) + jitter);
            request.path(["/v1/orders", "/v1/balance"][n as usize % 2]).agent(OWN);
        }
    }
    scene
}

/// Ninety requests within three minutes of each hour, from `first` on for `hours`.
fn hourly(scene: &mut Scene, place: impl Fn(u32) -> Place, first: f64, hours: u32, method: &str) {
    for hour in 0..hours {
        for n in 0..90 {
            let time = first + f64::from(hour) * HOUR + 2.0 * f64::from(n);
            scene.request("key", place(hour), time).path("/v1/orders").agent(JOB).method(method);
        }
    }
}

fn opened(alerts: &[Alert]) -> Vec<&Alert> {
    alerts.iter().filter(|alert| alert.alert_type == AlertType::Opened).collect()
}

#[test]
fn a_job_that_begins_to_run_each_hour_is_told_on_its_first_day_and_mildly() {
    let mut scene = customers(6.0);
    hourly(&mut scene, |_| LONDON, 3.0 * DAY + 600.0, 70, "GET");
    let alerts = scene.run();
    let times: Vec<_> = opened(&alerts).iter().map(|alert| alert.first_event_time).collect();
    assert!(!times.is_empty() && times.len() <= 2, "{alerts:#?}");
    assert!(times.iter().all(|time| *time < scene.at(4.0 * DAY)), "{times:?}");
    assert!(alerts.iter().all(|alert| alert.severity == Severity::Low), "{alerts:#?}");
}

#[test]
fn a_thief_who_comes_each_hour_is_found_at_the_first_visit_and_the_program_is_told_once() {
    let mut scene = customers(6.0);
    let rented = Place { asn: HOSTER, ip: "203.0.113.66", ..SYDNEY };
    hourly(&mut scene, |_| rented, 3.0 * DAY + 600.0, 12, "POST");
    let alerts = scene.run();
    let first = alerts.iter().find(|alert| alert.severity >= Severity::Medium).unwrap();
    assert!(first.detected_event_time.seconds_since(scene.at(3.0 * DAY)) < 0.25 * HOUR);
    let program = |alert: &&Alert| alert.detectors.contains(&DetectorId::NewAgent);
    let incidents: BTreeSet<&str> =
        alerts.iter().filter(program).map(|alert| alert.id.as_str()).collect();
    assert_eq!(incidents.len(), 1, "{alerts:#?}");
}

#[test]
fn each_visit_of_a_thief_who_comes_from_somewhere_else_is_part_of_an_incident() {
    let mut scene = customers(6.0);
    let places = [
        Place { asn: HOSTER, ip: "203.0.113.66", ..SYDNEY },
        Place { asn: 64_801, ip: "203.0.114.66", country: "BR", ..SYDNEY },
        Place { asn: 64_802, ip: "203.0.115.66", country: "ZA", ..NEW_YORK },
        Place { asn: 64_803, ip: "203.0.116.66", country: "IN", ..NEW_YORK },
    ];
    hourly(&mut scene, |hour| places[hour as usize], 3.0 * DAY + 600.0, 4, "POST");
    let alerts = scene.run();
    for hour in 0..4 {
        let from = scene.at(3.0 * DAY + f64::from(hour) * HOUR);
        let covers = |alert: &&Alert| {
            alert.first_event_time.seconds_since(from) < HOUR
                && alert.last_event_time.seconds_since(from) > 0.0
        };
        let worst = alerts.iter().filter(covers).map(|alert| alert.severity).max();
        assert!(worst >= Some(Severity::Medium), "hour {hour}: {alerts:#?}");
    }
}

#[test]
fn theft_that_goes_on_never_becomes_a_habit_that_hides_a_replay() {
    let mut scene = customers(6.0);
    hourly(&mut scene, |_| LONDON, 3.0 * DAY + 600.0, 30, "GET");
    scene.request("key", LONDON, 4.5 * DAY).nonce("zq81").agent(JOB);
    scene.request("key", AMSTERDAM, 4.5 * DAY + 5.0).nonce("zq81").agent(JOB);
    let alerts = scene.run();
    let replay = |alert: &&Alert| alert.detectors.contains(&DetectorId::DuplicateNonce);
    assert!(alerts.iter().find(replay).unwrap().severity >= Severity::High);
}

/// Two days of a fleet, and a key that appears then.
fn fleet() -> Scene {
    let mut scene = Scene::new();
    for n in 0..40 {
        let key = format!("key-{n}");
        for request in 0..400 {
            let time = f64::from(request) * 400.0 + f64::from(n);
            let path = ["/v1/orders", "/v1/balance", "/v1/prices"][request as usize % 3];
            scene.request(&key, LONDON, time).path(path).agent(OWN);
        }
    }
    scene
}

/// A name that no other number has, without digits.
fn name(number: u32) -> String {
    let letter = |n: u32| char::from(b'a' + (n % 26) as u8);
    [number / 26, number, number / 26 + 3, number + 7].map(letter).iter().collect()
}

fn try_out(scene: &mut Scene, operations: u32) {
    for n in 0..operations {
        let path = format!(
            "/v1/{}/{}",
            name(n / 6),
            ["list", "get", "new", "tags", "acl", "log"][n as usize % 6]
        );
        scene.request("young", LONDON, 2.0 * DAY + 10.0 * f64::from(n)).path(&path).agent(OWN);
    }
}

#[test]
fn a_young_key_that_walks_through_the_operations_of_an_api_is_a_notice() {
    let mut scene = fleet();
    try_out(&mut scene, 240);
    let alerts = scene.run();
    let walk = opened(&alerts)[0];
    assert_eq!(walk.detectors, [DetectorId::UnexpectedEndpoint]);
    assert!(walk.severity == Severity::Medium && walk.action == Action::Notify, "{walk:#?}");
}

#[test]
fn a_young_key_that_tries_what_it_needs_is_ordinary() {
    let mut scene = fleet();
    try_out(&mut scene, 30);
    assert_quiet(&scene);
}

#[test]
fn an_ocean_crossed_to_a_rented_machine_is_a_mild_sign_from_the_third_observation_on() {
    let mut scene = fleet();
    for n in 0..40 {
        scene.steady(&format!("american-{n}"), NEW_YORK, f64::from(n), 2.0 * DAY, 900.0);
    }
    let server = Place { asn: HOSTER, ..LONDON };
    for n in 0..3 {
        scene.request("young", server, 2.0 * DAY + 610.0 * f64::from(n)).agent(OWN);
    }
    let other = Place { asn: OTHER_HOSTER, ip: "203.0.113.90", ..NEW_YORK };
    for n in 0..20 {
        scene.request("young", other, 2.0 * DAY + 1_500.0 + f64::from(n)).agent("curl/8.5.0");
    }
    let alerts = scene.run();
    assert_eq!(opened(&alerts).len(), 1, "{alerts:#?}");
    assert_eq!(alerts[0].detectors, [DetectorId::ImpossibleTravel]);
    assert!(alerts.iter().all(|alert| alert.severity == Severity::Low), "{alerts:#?}");
}

/// A key of a server for a week, which then appears at another cloud with this program.
fn moved_with(agent: &str) -> Option<Severity> {
    let mut scene = fleet();
    let at = |place: Place| Place { asn: HOSTER, ..place };
    for n in 0..1_000 {
        scene.request("key", at(LONDON), 600.0 * f64::from(n)).path("/v1/orders").agent(OWN);
    }
    let other = Place { asn: OTHER_HOSTER, ip: "203.0.113.90", ..NEW_YORK };
    for n in 0..60 {
        let time = 600_000.0 + 600.0 * f64::from(n);
        scene.request("key", other, time).path("/v1/orders").agent(agent);
    }
    scene.run().iter().map(|alert| alert.severity).max()
}

#[test]
fn a_server_that_moves_with_its_program_is_told_mildly_and_a_stranger_there_is_not() {
    assert_eq!(moved_with(OWN), Some(Severity::Low));
    assert!(moved_with("curl/8.5.0") >= Some(Severity::Medium));
}

#[test]
fn a_burst_as_high_as_the_last_one_is_mild_and_a_higher_one_is_not() {
    let mut scene = Scene::new();
    scene.steady("key", LONDON, 0.0, 10.0 * DAY, 300.0);
    let bursts = [(4.0, 2.0), (6.2, 2.0), (8.4, 0.2)];
    for (day, every) in bursts {
        scene.steady("key", LONDON, day * DAY, 2.0 * HOUR, every);
    }
    let alerts = scene.run();
    let worst = |day: f64| {
        let within = |alert: &&Alert| {
            (0.0..DAY).contains(&alert.detected_event_time.seconds_since(scene.at(day * DAY)))
        };
        alerts.iter().filter(within).map(|alert| alert.severity).max()
    };
    assert!(worst(4.0) >= Some(Severity::Medium), "{alerts:#?}");
    assert!(worst(6.2) <= Some(Severity::Low), "{alerts:#?}");
    assert!(worst(8.4) >= Some(Severity::Medium), "{alerts:#?}");
}
