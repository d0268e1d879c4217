//! Nonces, signatures and signed times: what is a replay, and what is only a habit.

use keywatch::alert::{Action, Alert, DetectorId, Severity};

use super::scene::{AMSTERDAM, HOSTER, LONDON, Place, SYDNEY, Scene};
use super::{DAY, HOUR, assert_quiet};

const NEXT_DOOR: Place = Place { ip: "192.0.2.11", ..LONDON };
const WORKER: Place = Place { ip: "198.51.100.77", ..LONDON };
const STRANGER: Place = Place { ip: "203.0.113.99", ..LONDON };
/// Midnight of the scene's first day, in milliseconds.
const START_MILLIS: u64 = 1_767_571_200_000;

fn only(alerts: &[Alert], detector: DetectorId) -> &Alert {
    let ids: std::collections::BTreeSet<_> = alerts.iter().map(|alert| &alert.id).collect();
    assert_eq!(ids.len(), 1, "{alerts:#?}");
    let strongest = alerts.iter().max_by(|a, b| a.risk.total_cmp(&b.risk)).unwrap();
    assert_eq!(strongest.detectors, [detector]);
    strongest
}

fn assert_mild(alert: &Alert) {
    assert!(alert.action <= Action::Notify, "{alert:#?}");
    assert!(alert.severity <= Severity::Medium, "{alert:#?}");
}

/// Two days of a client that signs a request every half minute; nonces from 100,000 on.
fn signing() -> Scene {
    let mut scene = Scene::new();
    for n in 0..5_760u32 {
        let time = f64::from(n) * 30.0;
        scene
            .request("key", LONDON, time)
            .method("POST")
            .nonce(&(100_000 + n).to_string())
            .signed_at(time - 0.2)
            .signature(u128::from(n) + 1);
    }
    scene
}

/// A machine of a service that is rented, and another one of the same hoster.
const RENTED: Place = Place { asn: HOSTER, ..LONDON };
const RENTED_TOO: Place = Place { ip: "203.0.113.20", ..RENTED };
const OWN: &str = "acme-sync/2.1";

/// The request `n` of the service, or the same once more from somewhere, `late` seconds after it.
fn sign(scene: &mut Scene, method: &str, from: Place, n: u32, late: f64, agent: Option<&str>) {
    let request = scene.request("key", from, f64::from(n) * 30.0 + late).method(method);
    let request = request.authenticated().signature(u128::from(n) + 1);
    if let Some(agent) = agent {
        request.agent(agent);
    }
}

/// Two days of the service. Then a machine that was never seen sends the last request once more,
/// `gap` seconds after it was answered `status`.
fn pool(method: &str, status: u16, gap: f64, agent: Option<&str>) -> Action {
    replayed_from(RENTED_TOO, method, status, gap, agent)
}

fn replayed_from(from: Place, method: &str, status: u16, gap: f64, agent: Option<&str>) -> Action {
    let mut scene = Scene::new();
    for n in 0..5_759 {
        sign(&mut scene, method, RENTED, n, 0.0, Some(OWN));
    }
    let last = scene.request("key", RENTED, 5_759.0 * 30.0).method(method).agent(OWN);
    last.authenticated().signature(5_760).status(status);
    sign(&mut scene, method, from, 5_759, gap, agent);
    let alerts = scene.run();
    let strongest = alerts.iter().max_by_key(|alert| alert.action).unwrap();
    assert!(strongest.detectors.contains(&DetectorId::DuplicateSignature), "{alerts:#?}");
    strongest.action
}

#[test]
fn a_machine_of_the_same_network_that_retries_or_asks_at_once_is_no_proof() {
    assert_eq!(pool("POST", 503, 30.0, Some(OWN)), Action::Notify);
    assert_eq!(pool("GET", 200, 1.0, Some(OWN)), Action::Notify);
    for (method, status, gap, agent) in [
        ("POST", 200, 30.0, Some(OWN)),
        ("POST", 200, 1.0, Some(OWN)),
        ("POST", 499, 30.0, Some(OWN)),
        ("POST", 503, 300.0, Some(OWN)),
        ("POST", 503, 30.0, Some("curl/8.5.0")),
        ("POST", 503, 30.0, None),
    ] {
        let action = pool(method, status, gap, agent);
        assert!(action >= Action::Suspend, "{method} {status} {gap} {agent:?}: {action:?}");
    }
}

/// The owner may have moved, and anybody can rent there.
#[test]
fn in_another_region_of_the_same_network_a_retry_slows_the_key_down() {
    let elsewhere = Place { asn: HOSTER, ..SYDNEY };
    assert_eq!(replayed_from(elsewhere, "GET", 200, 1.0, Some(OWN)), Action::Notify);
    assert_eq!(replayed_from(elsewhere, "POST", 503, 30.0, Some(OWN)), Action::Throttle);
    assert!(replayed_from(elsewhere, "GET", 200, 300.0, Some(OWN)) >= Action::Suspend);
}

/// Without a nonce, machines that ask the same in the same second sign it alike.
#[test]
fn machines_elsewhere_that_ask_the_same_at_once_slow_the_key_down() {
    assert_eq!(replayed_from(STRANGER, "GET", 200, 1.0, Some(OWN)), Action::Throttle);
    assert!(replayed_from(STRANGER, "GET", 200, 10.0, Some(OWN)) >= Action::Suspend);
    assert!(replayed_from(STRANGER, "POST", 200, 1.0, Some(OWN)) >= Action::Suspend);
}

/// Whoever captures requests could otherwise begin with one that is excused.
#[test]
fn an_excused_repetition_makes_no_other_one_usual() {
    let mut scene = Scene::new();
    for n in 0..5_760 {
        let method = if n % 2 == 0 { "GET" } else { "POST" };
        sign(&mut scene, method, RENTED, n, 0.0, Some(OWN));
    }
    for n in [5_000, 5_200, 5_400] {
        sign(&mut scene, "GET", RENTED_TOO, n, 1.0, Some(OWN));
    }
    sign(&mut scene, "POST", RENTED_TOO, 5_701, 600.0, Some(OWN));
    let alerts = scene.run();
    let strongest = alerts.iter().map(|alert| alert.action).max();
    assert!(strongest >= Some(Action::Suspend), "{alerts:#?}");
}

#[test]
fn a_pool_that_asks_the_same_at_once_is_told_once() {
    let mut scene = Scene::new();
    for n in 0..5_760 {
        sign(&mut scene, "GET", RENTED, n, 0.0, Some(OWN));
    }
    for n in (2_880..5_760).step_by(144) {
        sign(&mut scene, "GET", RENTED_TOO, n, 1.0, Some(OWN));
    }
    let alerts = scene.run();
    assert_mild(only(&alerts, DetectorId::DuplicateSignature));
}

/// Two days of two workers of one client, each in a network of its own; then `again` sends the last
/// signed request once more, three seconds later.
fn workers_and(again: Place) -> Scene {
    let mut scene = Scene::new();
    let sign = |scene: &mut Scene, from: Place, n: u32, late: f64| {
        let time = f64::from(n) * 30.0;
        let request = scene.request("key", from, time + late).method("POST");
        request.nonce(&format!("worker-{n}")).signed_at(time - 0.2).signature(u128::from(n) + 1);
    };
    for n in 0..5_760 {
        sign(&mut scene, if n % 2 == 0 { LONDON } else { WORKER }, n, 0.0);
    }
    sign(&mut scene, again, 5_759, 3.0);
    scene
}

#[test]
fn another_worker_of_the_client_may_send_a_request_again_and_nobody_else() {
    assert_quiet(&workers_and(LONDON));
    let alerts = workers_and(STRANGER).run();
    let alert = only(&alerts, DetectorId::DuplicateNonce);
    assert_eq!(alert.action, Action::Suspend, "{alert:#?}");
}

#[test]
fn workers_whose_nonces_collide_are_told_once_and_mildly() {
    let mut scene = Scene::new();
    for n in 0..2_000u32 {
        let (time, nonce) = (f64::from(n) * 60.0, START_MILLIS + u64::from(n) * 60_000);
        let request = scene.request("key", LONDON, time).nonce(&nonce.to_string());
        request.signed_at(time - 0.1).signature(u128::from(n) * 2 + 1);
        if n % 7 == 0 {
            let request = scene.request("key", NEXT_DOOR, time + 0.001).nonce(&nonce.to_string());
            request.signed_at(time - 0.1).signature(u128::from(n) * 2 + 2);
        }
    }
    let alerts = scene.run();
    let alert = only(&alerts, DetectorId::WeakNonce);
    assert_mild(alert);
    assert_eq!(alert.severity, Severity::Low);
}

#[test]
fn a_replay_among_collisions_is_still_a_replay() {
    let mut scene = Scene::new();
    for n in 0..2_000u32 {
        let time = f64::from(n) * 60.0;
        for worker in 0..=u32::from(n % 7 == 0) {
            let place = [LONDON, NEXT_DOOR][worker as usize];
            let request = scene.request("key", place, time + f64::from(worker) * 0.001);
            request.nonce(&format!("n{n}")).signature(u128::from(n * 2 + worker) + 1);
        }
    }
    scene.request("key", AMSTERDAM, 120_030.0).nonce("n1999").signature(3_999);
    let alerts = scene.run();
    assert!(
        alerts
            .iter()
            .any(|a| a.detectors[0] == DetectorId::DuplicateNonce && a.severity >= Severity::High)
    );
}

#[test]
fn a_captured_signature_under_a_new_nonce_is_a_replay() {
    let mut scene = signing();
    let time = 2.0 * DAY + 10.0;
    scene.request("key", AMSTERDAM, time).method("POST").nonce("105761").signature(5_760);
    let alerts = scene.run();
    assert_eq!(alerts[0].detectors[0], DetectorId::DuplicateSignature);
    assert!(alerts[0].severity >= Severity::High);
}

#[test]
fn requests_that_the_api_accepts_twice_from_home_are_told_to_a_person() {
    let mut scene = signing();
    for n in 5_700..5_760u32 {
        let time = f64::from(n) * 30.0;
        scene
            .request("key", LONDON, time + 4.0)
            .method("POST")
            .nonce(&(100_000 + n).to_string())
            .signed_at(time - 0.2)
            .signature(u128::from(n) + 1);
    }
    let alerts = scene.run();
    let alert = only(&alerts, DetectorId::DuplicateNonce);
    assert_eq!(alert.action, Action::Notify);
    assert!(alert.explanation.contains("seems not to check nonces"), "{}", alert.explanation);
}

#[test]
fn an_api_that_accepts_requests_twice_is_told_once_for_a_key() {
    let mut scene = signing();
    for n in (2_000..2_040u32).chain(5_000..5_040) {
        let time = f64::from(n) * 30.0;
        let request = scene.request("key", LONDON, time + 4.0).method("POST");
        request
            .nonce(&(100_000 + n).to_string())
            .signed_at(time - 0.2)
            .signature(u128::from(n) + 1);
    }
    let alerts = scene.run();
    let told = alerts.iter().filter(|alert| alert.severity >= Severity::Medium);
    let ids: std::collections::BTreeSet<_> = told.map(|alert| &alert.id).collect();
    assert_eq!(ids.len(), 1, "{alerts:#?}");
}

#[test]
fn a_client_that_gives_up_and_tries_again_is_no_replay() {
    let mut scene = signing();
    for n in 5_700..5_740u32 {
        let time = f64::from(n) * 30.0 + 10.0;
        for (late, latency) in [(0.0, 25.0), (20.0, 0.1)] {
            let request = scene.request("key", LONDON, time + late).method("POST");
            let request = request.nonce(&(900_000 + n).to_string()).latency(latency);
            request.signed_at(time - 0.2).signature(u128::from(n) + 1_000_000);
        }
    }
    let alerts = scene.run();
    assert!(alerts.iter().all(|alert| alert.severity < Severity::Medium), "{alerts:#?}");
}

#[test]
fn a_neighbour_who_sends_a_slow_request_again_has_not_given_up() {
    let mut scene = signing();
    for (place, late, latency) in [(LONDON, 0.0, 60.0), (NEXT_DOOR, 20.0, 0.1)] {
        let time = 1.9 * DAY + 10.0;
        let request = scene.request("key", place, time + late).method("POST").latency(latency);
        request.nonce("900000").signed_at(time - 0.2).signature(1_000_000);
    }
    only(&scene.run(), DetectorId::DuplicateNonce);
}

#[test]
fn a_lost_answer_now_and_then_is_ordinary() {
    let mut scene = signing();
    for n in (100..5_760u32).step_by(700) {
        let time = f64::from(n) * 30.0;
        scene
            .request("key", LONDON, time + 4.0)
            .method("POST")
            .nonce(&(100_000 + n).to_string())
            .signed_at(time - 0.2)
            .signature(u128::from(n) + 1);
    }
    assert_quiet(&scene);
}

#[test]
fn a_refused_replay_is_a_defence_that_worked() {
    let mut scene = signing();
    let time = 2.0 * DAY + 10.0;
    let replay = scene.request("key", AMSTERDAM, time).method("POST").status(409);
    replay.nonce("105759").signed_at(2.0 * DAY - 30.2).signature(5_760);
    let alerts = scene.run();
    let alert = only(&alerts, DetectorId::DuplicateNonce);
    assert_mild(alert);
    assert_eq!(alert.severity, Severity::Low);
    assert!(alert.explanation.contains("The API refused it"), "{}", alert.explanation);
}

#[test]
fn a_request_that_a_stranger_captured_and_sent_later_is_told_with_its_nonce_or_another() {
    for (nonce, detector, place, late) in [
        ("105759", DetectorId::DuplicateNonce, AMSTERDAM, 600.0),
        ("900000", DetectorId::DuplicateSignature, AMSTERDAM, 600.0),
        ("105759", DetectorId::DuplicateNonce, NEXT_DOOR, 5.0 * HOUR),
    ] {
        let mut scene = signing();
        let replay = scene.request("key", place, 2.0 * DAY + late).method("POST").status(401);
        replay.nonce(nonce).signed_at(2.0 * DAY - 30.2).signature(5_760);
        let alerts = scene.run();
        let alert = only(&alerts, detector);
        assert_mild(alert);
        assert_eq!(alert.severity, Severity::Medium, "{alert:#?}");
    }
}

#[test]
fn invented_nonces_that_are_refused_tell_nothing_and_are_no_first_uses() {
    let mut scene = signing();
    let time = 2.0 * DAY + 10.0;
    for place in [AMSTERDAM, SYDNEY] {
        scene.request("key", place, time).status(401).nonce("105760").signature(1_000_000);
    }
    let own = scene.request("key", LONDON, time + 20.0).method("POST").nonce("105760");
    own.signed_at(time + 19.8).signature(2_000_000);
    assert_quiet(&scene);
}

#[test]
fn the_counters_of_several_workers_are_a_habit() {
    let mut scene = Scene::new();
    for n in 0..3_000u64 {
        let worker = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 61;
        let nonce = (worker + 1) * 7_000_000 + n;
        scene.request("key", LONDON, n as f64 * 30.0).nonce(&nonce.to_string());
    }
    assert_quiet(&scene);
}

#[test]
fn a_counter_may_begin_anew_and_goes_on_being_watched() {
    let mut scene = Scene::new();
    for n in 0..6_000u64 {
        let nonce = if n < 3_000 { 500_000 + n } else { n - 3_000 };
        scene.request("key", LONDON, n as f64 * 30.0).nonce(&nonce.to_string());
    }
    assert_quiet(&scene);
    scene.request("key", SYDNEY, 180_000.0).nonce("1500");
    let alerts = scene.run();
    assert!(alerts[0].detectors.contains(&DetectorId::DuplicateNonce), "{alerts:#?}");
}

#[test]
fn a_counter_that_goes_back_is_told_mildly_from_home_and_once() {
    let mut scene = Scene::new();
    for n in 0..5_000u32 {
        scene.request("key", LONDON, f64::from(n) * 30.0).nonce(&(100_000 + n).to_string());
    }
    for day in 1..3u32 {
        let nonce = (50_000 + day).to_string();
        scene.request("key", LONDON, 150_000.0 + f64::from(day) * DAY).nonce(&nonce);
    }
    let alerts = scene.run();
    let told = only(&alerts, DetectorId::OutOfOrderNonce);
    assert_mild(told);
    assert_eq!(told.severity, Severity::Low, "the key's own machine sends late what waited");
}

#[test]
fn a_counter_that_goes_back_elsewhere_is_no_habit_of_home() {
    let mut scene = Scene::new();
    for n in 0..5_000u32 {
        scene.request("key", LONDON, f64::from(n) * 30.0).nonce(&(100_000 + n).to_string());
    }
    for n in 0..14u32 {
        let place = [LONDON, SYDNEY][n as usize % 2];
        let nonce = (40_000 + n).to_string();
        scene.request("key", place, 150_000.0 + f64::from(n) * 5.0).nonce(&nonce);
    }
    let alerts = scene.run();
    let worst = alerts.iter().max_by(|a, b| a.risk.total_cmp(&b.risk)).unwrap();
    assert!(worst.detectors.contains(&DetectorId::OutOfOrderNonce));
    // A second worker of the owner counts its own nonces.
    assert_eq!(worst.action, Action::Throttle, "{worst:#?}");
    let free = |a: &Alert| {
        let of_order = |e: &&keywatch::alert::Evidence| e.detector == DetectorId::OutOfOrderNonce;
        a.evidence.iter().filter(of_order).any(|e| e.ceiling.is_none())
    };
    assert!(alerts.iter().any(free));
}

#[test]
fn another_unit_of_the_same_clock_is_no_step_back() {
    let mut scene = Scene::new();
    for n in 0..400u64 {
        let millis = START_MILLIS + n * 600_000;
        let nonce = if (288..318).contains(&n) { millis * 1_000 } else { millis };
        scene.request("key", LONDON, n as f64 * 600.0).nonce(&nonce.to_string());
    }
    assert_quiet(&scene);
}

#[test]
fn an_old_reading_of_the_clock_from_elsewhere_is_out_of_order() {
    let mut scene = Scene::new();
    for n in 0..400u64 {
        let millis = START_MILLIS + n * 600_000;
        scene.request("key", LONDON, n as f64 * 600.0).nonce(&millis.to_string());
    }
    let old = (START_MILLIS + 200_000_017).to_string();
    scene.request("key", AMSTERDAM, 240_000.0).nonce(&old);
    let alerts = scene.run();
    assert!(alerts[0].detectors.contains(&DetectorId::OutOfOrderNonce), "{alerts:#?}");
    assert!(alerts[0].action > Action::Notify);
}

#[test]
fn a_clock_of_another_zone_from_the_first_request_on_is_told_once_and_mildly() {
    let mut scene = Scene::new();
    for n in 0..500u32 {
        let time = f64::from(n) * 600.0;
        scene.request("key", LONDON, time).signed_at(time + HOUR);
    }
    let alerts = scene.run();
    let alert = only(&alerts, DetectorId::StaleTimestamp);
    assert_mild(alert);
    assert_eq!(alert.severity, Severity::Low);
}

#[test]
fn the_window_that_the_client_signed_counts_for_its_request() {
    let scene = |millis: u32, age: f64| {
        let mut scene = Scene::new();
        for n in 0..500u32 {
            let time = f64::from(n) * 60.0;
            scene.request("key", LONDON, time).signed_at(time - 0.2).valid_for(millis);
        }
        let late = scene.request("key", AMSTERDAM, 30_000.0).signed_at(30_000.0 - age);
        late.valid_for(millis);
        scene.run()
    };
    let is_stale = |alert: &Alert| alert.detectors.contains(&DetectorId::StaleTimestamp);
    assert!(!scene(3_600_000, 1_800.0).iter().any(is_stale));
    assert!(scene(5_000, 1_800.0).iter().any(is_stale));
}
