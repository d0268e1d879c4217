//! Programs, bytes and ids: what must alert, and what is ordinary.

use keywatch::alert::{Action, Alert, DetectorId};

use super::scene::{LONDON, Scene};
use super::{DAY, assert_quiet};

const CCXT: &str = "ccxt/4.4.12";
const SMALL: u64 = 2_000;

/// `keys` keys in London, a request every two minutes for `days`: an order at random each.
fn customers(scene: &mut Scene, keys: u32, days: f64) {
    for key in 0..keys {
        for n in 0..(days * 720.0) as u32 {
            let time = 120.0 * f64::from(n) + f64::from(key);
            let path = format!("/v1/orders/{}", 1_000 + (n + key) * 7_919 % 90_000);
            let agent = if key % 4 == 0 { "axios/1.7.9" } else { CCXT };
            let request = scene.request(&format!("key-{key}"), LONDON, time);
            request.path(&path).agent(agent).bytes_out(SMALL + u64::from(n % 500));
        }
    }
}

fn of(alerts: &[Alert], detector: DetectorId) -> Option<&Alert> {
    alerts.iter().find(|alert| alert.detectors.contains(&detector))
}

fn assert_mild(alerts: &[Alert], most: Action) {
    assert!(alerts.iter().all(|alert| alert.action <= most), "{alerts:#?}");
}

#[test]
fn curl_on_a_ccxt_key_is_told_and_no_more() {
    let mut scene = Scene::new();
    customers(&mut scene, 30, 5.0);
    for n in 0..20 {
        let time = 4.5 * DAY + 40.0 * f64::from(n);
        scene.request("key-3", LONDON, time).path("/v1/orders/17").agent("curl/8.5.0");
    }
    let alerts = scene.run();
    let alert = of(&alerts, DetectorId::NewAgent).expect("a new agent");
    let evidence = alert.evidence.iter().find(|e| e.detector == DetectorId::NewAgent).unwrap();
    assert_eq!(evidence.fields["family"], "curl");
    assert_eq!(evidence.fields["known_agents"][0], "ccxt");
    assert_mild(&alerts, Action::Notify);
}

#[test]
fn an_upgrade_of_a_library_is_ordinary() {
    let mut scene = Scene::new();
    customers(&mut scene, 30, 5.0);
    for n in 0..200 {
        let time = 4.5 * DAY + 40.0 * f64::from(n);
        scene.request("key-3", LONDON, time).path("/v1/orders/17").agent("ccxt/5.0.0");
    }
    // The requests come on top of its own: that is told, and the library is not.
    assert!(of(&scene.run(), DetectorId::NewAgent).is_none());
}

#[test]
fn large_answers_at_an_ordinary_rate_are_a_bulk_export() {
    let mut scene = Scene::new();
    customers(&mut scene, 10, 3.0);
    for n in 0..20 {
        let time = 2.5 * DAY + 120.0 * f64::from(n) + 7.0;
        scene.request("key-3", LONDON, time).path("/v1/orders/17").agent(CCXT).bytes_out(800_000);
    }
    let alerts = scene.run();
    let alert = of(&alerts, DetectorId::BulkExport).expect("a bulk export");
    assert_eq!(alert.key_id.as_deref(), Some("key-3"));
    assert_mild(&alerts, Action::Throttle);
}

#[test]
fn ids_one_after_the_other_are_an_enumeration() {
    let mut scene = Scene::new();
    customers(&mut scene, 10, 3.0);
    for n in 0..60 {
        let path = format!("/v1/orders/{}", 20_000 + n);
        let time = 2.5 * DAY + 55.0 * f64::from(n) + 7.0;
        scene.request("key-3", LONDON, time).path(&path).agent(CCXT).bytes_out(SMALL);
    }
    let alerts = scene.run();
    let alert = of(&alerts, DetectorId::Enumeration).expect("an enumeration");
    let found = alert.evidence.iter().find(|e| e.detector == DetectorId::Enumeration).unwrap();
    assert_eq!(found.fields["route"], "GET /v1/orders/{id}");
    assert_mild(&alerts, Action::Throttle);
}

#[test]
fn many_ids_are_told_in_their_hour_and_once() {
    let mut scene = Scene::new();
    customers(&mut scene, 10, 4.0);
    for hour in [60.0, 63.0, 66.0] {
        for n in 0..1_000u32 {
            let path = format!("/v1/orders/{}", (n * 7_919 + hour as u32) % 999_983);
            let time = (hour + 0.1) * 3_600.0 + 3.0 * f64::from(n);
            scene.request("key-3", LONDON, time).path(&path).agent(CCXT).bytes_out(SMALL);
        }
        // The key goes on without ids for two hours.
        for n in 0..100 {
            let time = (hour + 1.1) * 3_600.0 + 60.0 * f64::from(n);
            scene.request("key-3", LONDON, time).path("/v1/balance").agent(CCXT).bytes_out(SMALL);
        }
    }
    let alerts = scene.run();
    let of_walks = alerts.iter().filter(|it| it.detectors.contains(&DetectorId::Enumeration));
    let ids: std::collections::BTreeSet<_> = of_walks.map(|alert| &alert.id).collect();
    assert_eq!(ids.len(), 1, "{alerts:#?}");
}

#[test]
fn a_nightly_walk_and_a_nightly_export_are_ordinary() {
    let mut scene = Scene::new();
    customers(&mut scene, 10, 4.0);
    for n in 0..400u32 {
        let time = f64::from(n / 100) * DAY + 7_200.0 + 20.0 * f64::from(n % 100);
        let path = format!("/v1/orders/{}", 20_000 + n);
        scene.request("key-3", LONDON, time).path(&path).agent(CCXT).bytes_out(100_000);
    }
    assert_quiet(&scene);
}
