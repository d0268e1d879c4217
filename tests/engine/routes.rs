//! What keys ask for and after how long: what must alert, and what is ordinary.

use keywatch::alert::{Action, Alert, DetectorId, Severity};

use super::scene::{HOSTER, LONDON, NEW_YORK, Place, SYDNEY, Scene};
use super::{DAY, HOUR, assert_quiet};

const ROUTES: [&str; 4] = ["/v1/orders/17", "/v1/orders", "/v1/customers/9", "/v1/balance"];

/// `keys` keys in London that go round the same routes, a request a minute, for `days`.
fn customers(scene: &mut Scene, keys: u32, days: f64) {
    for key in 0..keys {
        for n in 0..(days * 1_440.0) as u32 {
            let time = 60.0 * f64::from(n) + f64::from(key);
            let route = ROUTES[(n + key) as usize % ROUTES.len()];
            scene.request(&format!("key-{key}"), LONDON, time).path(route);
        }
    }
}

/// `count` requests of a key on one route, ten seconds apart.
fn ask(scene: &mut Scene, key: &str, method: &str, route: &str, start: f64, count: u32) {
    for n in 0..count {
        scene.request(key, LONDON, start + 10.0 * f64::from(n)).method(method).path(route);
    }
}

fn of(alerts: &[Alert], detector: DetectorId) -> Option<&Alert> {
    alerts.iter().find(|alert| alert.detectors.contains(&detector))
}

#[test]
fn a_route_that_neither_the_key_nor_its_peers_use_is_unexpected() {
    let mut scene = Scene::new();
    customers(&mut scene, 20, 3.0);
    for n in 0..12 {
        let path = format!("/v1/admin/users/{}", 4_000 + n);
        ask(&mut scene, "key-3", "GET", &path, 3.0 * DAY + 15.0 * f64::from(n), 1);
    }
    let alerts = scene.run();
    let alert = of(&alerts, DetectorId::UnexpectedEndpoint).expect("an unexpected endpoint");
    assert_eq!(alert.key_id.as_deref(), Some("key-3"));
    let worst = alerts.iter().map(|alert| alert.severity).max();
    assert!(worst >= Some(Severity::Medium), "{worst:?}");
    let evidence = &alert.evidence[0].fields;
    assert_eq!(evidence["route"], "GET /v1/admin/users/{id}");
    let usual = evidence["usual_routes"].to_string();
    assert!(usual.contains("GET /v1/orders/{id}") && !usual.contains("admin"), "{usual}");
}

#[test]
fn a_new_route_alone_is_at_most_told() {
    let mut scene = Scene::new();
    customers(&mut scene, 20, 3.0);
    ask(&mut scene, "key-3", "GET", "/v1/reports/8", 3.0 * DAY, 40);
    let alerts = scene.run();
    assert!(alerts.iter().all(|alert| alert.action <= Action::Notify), "{alerts:#?}");
}

#[test]
fn a_walk_over_forty_routes_is_quiet_from_the_second_night_on() {
    let mut scene = Scene::new();
    customers(&mut scene, 20, 9.0);
    for night in [0.0, 1.0, 2.0, 8.0] {
        for n in 0..40u32 {
            let (first, second) = (b'a' + (n % 8) as u8, b'a' + (n / 8) as u8);
            let path = format!("/v1/stock/{}{}", char::from(first), char::from(second));
            ask(&mut scene, "key-3", "GET", &path, night * DAY + 7_200.0 + f64::from(n), 1);
        }
    }
    // Forty requests at once are a burst for this key, and no news of its routes.
    let alerts = scene.run();
    let is_of_routes = |alert: &Alert| alert.detectors.contains(&DetectorId::UnexpectedEndpoint);
    assert!(!alerts.iter().any(is_of_routes), "{alerts:#?}");
}

#[test]
fn ids_that_look_like_names_are_learned_to_be_ids() {
    let mut scene = Scene::new();
    customers(&mut scene, 20, 4.0);
    let words = ["amber", "birch", "cedar", "dahlia", "elder", "fern", "gorse", "hazel"];
    for n in 0..3_000usize {
        let word = |at: usize| words[n * 31 / at % 8];
        let path = format!("/v1/articles/{}-{}-{}", word(1), word(8), word(64));
        scene.request(&format!("key-{}", n % 10), LONDON, 100.0 * n as f64).path(&path);
    }
    // A key that never read any.
    for n in 0..12 {
        let time = 3.6 * DAY + 60.0 * f64::from(n);
        scene.request("key-15", LONDON, time).path("/v1/articles/something-else-entirely");
    }
    assert_quiet(&scene);
}

#[test]
fn a_feature_that_is_tried_once_is_mild() {
    let mut scene = Scene::new();
    customers(&mut scene, 20, 3.0);
    ask(&mut scene, "key-3", "GET", "/v1/reports/8", 3.0 * DAY, 1);
    assert_quiet(&scene);
}

#[test]
fn a_route_that_many_keys_begin_to_use_together_is_a_deploy() {
    let mut scene = Scene::new();
    customers(&mut scene, 30, 3.0);
    for key in 0..30 {
        let start = 3.0 * DAY + f64::from(key);
        for n in 0..60 {
            let time = start + 60.0 * f64::from(n);
            scene.request(&format!("key-{key}"), LONDON, time).path("/v2/orders");
        }
    }
    assert_quiet(&scene);
}

#[test]
fn a_key_that_always_asks_for_other_things_is_never_surprising() {
    let mut scene = Scene::new();
    customers(&mut scene, 20, 3.0);
    let names = ["amber", "birch", "cedar", "dahlia", "elder", "fern", "gorse", "hazel"];
    for n in 0..3_000usize {
        let path = format!("/{}/{}/{}", names[n % 8], names[n / 8 % 8], names[n / 64 % 8]);
        scene.request("crawler", LONDON, 100.0 * n as f64).path(&path);
    }
    assert_quiet(&scene);
}

#[test]
fn requests_for_pages_that_do_not_exist_are_no_routes() {
    let mut scene = Scene::new();
    customers(&mut scene, 20, 3.0);
    for n in 0..12 {
        let time = 3.0 * DAY + 120.0 * f64::from(n);
        scene.request("key-3", LONDON, time).path("/v1/ordres").status(404);
    }
    assert_quiet(&scene);
}

#[test]
fn keys_and_secrets_in_haste_are_abuse() {
    let mut scene = Scene::new();
    customers(&mut scene, 20, 3.0);
    for n in 0..10 {
        let start = 3.0 * DAY + 30.0 * f64::from(n);
        ask(&mut scene, "key-3", "POST", "/v1/api-keys", start, 1);
        ask(&mut scene, "key-3", "GET", "/v1/secrets/12", start + 5.0, 1);
    }
    let alerts = scene.run();
    let alert = of(&alerts, DetectorId::RotationAbuse).expect("rotation abuse");
    assert!(alert.severity >= Severity::Medium);
    let evidence = alert.evidence.iter().find(|e| e.detector == DetectorId::RotationAbuse).unwrap();
    assert!(evidence.fields["created"].as_u64() >= Some(4), "{evidence:?}");
    assert!(evidence.fields["read"].as_u64() >= Some(4), "{evidence:?}");
}

#[test]
fn a_nightly_rotation_of_many_keys_and_a_client_of_a_vault_are_ordinary() {
    let mut scene = Scene::new();
    for n in 0..14_400 {
        scene.request("vault", LONDON, 30.0 * f64::from(n)).path("/v1/secrets/12");
    }
    for night in 0..5 {
        let start = f64::from(night) * DAY + 3.0 * HOUR;
        scene.steady("job", LONDON, start - 2.0 * HOUR, HOUR, 60.0);
        ask(&mut scene, "job", "POST", "/v1/api-keys/7/rotate", start, 50);
    }
    assert_quiet(&scene);
}

/// `others` never sleeps, so that the log goes on.
fn others(scene: &mut Scene, days: f64) {
    scene.steady("others", NEW_YORK, 0.0, days * DAY, 600.0);
}

#[test]
fn a_key_that_wakes_elsewhere_after_months_was_dormant() {
    let mut scene = Scene::new();
    others(&mut scene, 100.0);
    scene.steady("key", LONDON, 0.0, 10.0 * DAY, 300.0);
    let elsewhere = Place { asn: 64_999 + 1, ip: "203.0.113.9", ..LONDON };
    scene.request("key", elsewhere, 100.0 * DAY);
    let alerts = scene.run();
    let alert = of(&alerts, DetectorId::DormantKeyUse).expect("dormant key use");
    assert!(alert.severity >= Severity::Medium, "{alert:?}");
    let evidence = alert.evidence.iter().find(|e| e.detector == DetectorId::DormantKeyUse).unwrap();
    assert!((evidence.fields["silence_seconds"].as_f64().unwrap() / DAY - 90.0).abs() < 0.1);
    assert_eq!(evidence.fields["usual_gap_seconds"], 300.0);
}

#[test]
fn a_key_that_wakes_at_home_is_told_once_and_mildly() {
    let mut scene = Scene::new();
    others(&mut scene, 31.0);
    scene.steady("key", LONDON, 0.0, 10.0 * DAY, 300.0);
    scene.steady("key", LONDON, 30.0 * DAY, HOUR, 300.0);
    let alerts = scene.run();
    let told = alerts.iter().filter(|alert| alert.key_id.as_deref() == Some("key"));
    let opened: Vec<_> = told.filter(|alert| alert.revision == 1).collect();
    assert_eq!(opened.len(), 1);
    assert_eq!(opened[0].severity, Severity::Low);
}

#[test]
fn monthly_jobs_and_offices_wake_up_as_usual() {
    let mut scene = Scene::new();
    others(&mut scene, 190.0);
    for month in 0..6 {
        scene.steady("monthly", LONDON, f64::from(month) * 30.0 * DAY, HOUR, 300.0);
    }
    for day in (0..90).filter(|day| day % 7 < 5) {
        scene.steady("office", LONDON, f64::from(day) * DAY + 9.0 * HOUR, 8.0 * HOUR, 300.0);
    }
    // A holiday of three weeks.
    for day in (112..140).filter(|day| day % 7 < 5) {
        scene.steady("office", LONDON, f64::from(day) * DAY + 9.0 * HOUR, 8.0 * HOUR, 300.0);
    }
    let alerts = scene.run();
    assert!(of(&alerts, DetectorId::DormantKeyUse).is_none(), "{alerts:#?}");
}

#[test]
fn a_log_that_was_silent_itself_wakes_nobody() {
    let mut scene = Scene::new();
    for key in 0..5 {
        scene.steady(&format!("key-{key}"), SYDNEY, f64::from(key), 6.0 * DAY, 60.0);
        scene.steady(&format!("key-{key}"), SYDNEY, 11.0 * DAY + f64::from(key), DAY, 60.0);
    }
    assert_quiet(&scene);
}

#[test]
fn guesses_at_a_dormant_key_do_not_wake_it() {
    let mut scene = Scene::new();
    others(&mut scene, 100.0);
    scene.steady("key", LONDON, 0.0, 10.0 * DAY, 300.0);
    let hoster = Place { asn: HOSTER, ip: "203.0.113.9", ..LONDON };
    scene.request("key", hoster, 60.0 * DAY).status(401);
    scene.request("key", hoster, 100.0 * DAY);
    let alerts = scene.run();
    let alert = of(&alerts, DetectorId::DormantKeyUse).expect("dormant key use");
    assert!(alert.detected_event_time > scene.at(99.0 * DAY));
}
