//! Sources that try keys, and those that only look so.

use keywatch::alert::{Action, Alert, AlertType, DetectorId, Severity};

use super::scene::{HOSTER, LONDON, Place, SYDNEY, Scene};
use super::{DAY, HOUR, assert_quiet};

/// A rented machine.
pub const RENTED: Place = Place { asn: HOSTER, ip: "203.0.113.66", ..SYDNEY };

/// `keys` invented keys, one a second, from one machine, all refused.
pub fn stuff(scene: &mut Scene, start: f64, keys: u32) {
    for n in 0..keys {
        scene.request(&format!("invented-{n}"), RENTED, start + f64::from(n)).status(401);
    }
}

/// Keys in London, a request every five minutes each for a day.
fn customers(scene: &mut Scene, keys: u32) {
    for key in 0..keys {
        scene.steady(&format!("key-{key}"), LONDON, f64::from(key), DAY, 300.0);
    }
}

fn about_sources(alerts: &[Alert]) -> Vec<&Alert> {
    alerts.iter().filter(|alert| alert.source_ip.is_some()).collect()
}

#[test]
fn a_source_that_tries_many_keys_is_one_incident_about_the_source() {
    let mut scene = Scene::new();
    customers(&mut scene, 10);
    stuff(&mut scene, DAY, 60);
    scene.request("key-3", RENTED, DAY + 5.5).status(401);
    let alerts = scene.run();
    let alerts = about_sources(&alerts);
    let first = alerts[0];
    assert_eq!(first.detectors, [DetectorId::CredentialStuffing]);
    assert_eq!((&first.key_id, first.tenant.as_deref()), (&None, None));
    assert_eq!(first.source_ip.unwrap().to_string(), RENTED.ip);
    assert_eq!(first.affected_keys, ["key-3"]);
    assert!(first.title.starts_with("Source 203.0.113.66: tried "), "{}", first.title);
    assert!(first.severity >= Severity::Medium);
    assert!(first.detected_event_time.seconds_since(scene.at(DAY)) < 15.0);
    assert!(alerts.iter().all(|alert| alert.id == first.id), "one incident");
    assert!(alerts.len() < 6, "no revision for every key");
    assert!(alerts.iter().all(|alert| alert.alert_type != AlertType::RevocationRequested));
}

#[test]
fn a_key_that_is_accepted_from_such_a_source_is_raised_itself() {
    for hit in [2.5, 40.5] {
        let mut scene = Scene::new();
        customers(&mut scene, 10);
        stuff(&mut scene, DAY, 60);
        scene.request("key-7", RENTED, DAY + hit);
        scene.request("key-3", RENTED, DAY + 1.5).status(401);
        let alerts = scene.run();
        let last = *about_sources(&alerts).last().unwrap();
        assert_eq!(last.affected_keys, ["key-7", "key-3"], "those that leaked come first");
        let leaked = alerts.iter().rfind(|a| a.key_id.as_deref() == Some("key-7")).unwrap();
        assert!(leaked.detectors.contains(&DetectorId::CredentialStuffing), "{leaked:?}");
        assert!(leaked.severity >= Severity::Medium);
        let refused = alerts.iter().filter(|a| a.key_id.as_deref() == Some("key-3"));
        assert!(refused.flat_map(|a| &a.detectors).all(|d| *d != DetectorId::CredentialStuffing));
    }
}

#[test]
fn a_network_that_tries_each_key_from_another_address_is_one_source() {
    let mut scene = Scene::new();
    customers(&mut scene, 10);
    for n in 0..60 {
        let ip = format!("203.0.113.{}", 1 + n % 50);
        let time = DAY + 10.0 * f64::from(n);
        scene.request(&format!("invented-{n}"), RENTED, time).ip(&ip).status(401);
    }
    let alerts = scene.run();
    assert!(alerts[0].title.starts_with("Source 203.0.113.0/24: tried "), "{}", alerts[0].title);
    assert!(alerts.iter().all(|alert| alert.id == alerts[0].id), "one incident");
}

#[test]
fn a_proxy_with_hundreds_of_keys_and_a_few_wrong_ones_is_ordinary() {
    let mut scene = Scene::new();
    customers(&mut scene, 300);
    for n in 0..40 {
        let time = 0.2 * DAY + 900.0 * f64::from(n);
        scene.request(&format!("mistyped-{n}"), LONDON, time).status(401);
    }
    assert_quiet(&scene);
}

#[test]
fn an_api_that_refuses_everybody_has_no_thieves() {
    let mut scene = Scene::new();
    customers(&mut scene, 60);
    for key in 0..60 {
        let name = format!("key-{key}");
        let phone = format!("phone-{key}");
        let address = |n: u32| format!("198.51.{}.{}", n % 7, 1 + key % 3);
        for n in 0..288 {
            let time = 300.0 * f64::from(n) + f64::from(key);
            scene.request(&phone, LONDON, time).ip(&address(n / 12));
        }
        for n in 0..20 {
            let time = DAY + 30.0 * f64::from(n) + f64::from(key) / 10.0;
            scene.request(&name, LONDON, time).status(401);
            scene.request(&phone, LONDON, time).ip("198.51.9.9").status(401);
        }
    }
    assert_quiet(&scene);
}

#[test]
fn an_outage_excuses_nobody_who_comes_after_it() {
    let mut scene = Scene::new();
    customers(&mut scene, 10);
    for n in 0..100 {
        scene.request(&format!("key-{}", n % 10), LONDON, DAY + f64::from(n)).status(403);
    }
    // No request is accepted since.
    stuff(&mut scene, DAY + 300.0, 60);
    assert!(!about_sources(&scene.run()).is_empty());
}

#[test]
fn a_customer_whose_keys_are_all_banned_is_no_source_of_guesses() {
    let mut scene = Scene::new();
    customers(&mut scene, 40);
    scene.steady("other", SYDNEY, 0.0, DAY, 20.0);
    for n in 0..200 {
        let time = DAY + 10.0 * f64::from(n);
        scene.request(&format!("key-{}", n % 40), LONDON, time).status(403);
        scene.request("other", SYDNEY, time);
    }
    assert_quiet(&scene);
}

#[test]
fn a_client_that_insists_on_one_wrong_key_is_no_list() {
    let mut scene = Scene::new();
    customers(&mut scene, 10);
    for n in 0..5_000 {
        scene.request("mistyped", RENTED, DAY + f64::from(n)).status(401);
    }
    assert_quiet(&scene);
}

/// A wrong key every `every` seconds for a time, each from another address.
fn wrong_keys(scene: &mut Scene, start: f64, seconds: f64, every: f64) {
    for n in 0..(seconds / every) as u32 {
        let ip = format!("100.{}.{}.9", n / 250 % 250, n % 250);
        let (key, time) = (format!("wrong-{start}-{n}"), start + every * f64::from(n));
        scene.request(&key, LONDON, time).ip(&ip).status(401);
    }
}

#[test]
fn many_sources_with_one_wrong_key_each_are_ordinary_and_far_more_than_ever_are_not() {
    let mut scene = Scene::new();
    customers(&mut scene, 10);
    wrong_keys(&mut scene, HOUR, 2.0 * DAY, 60.0);
    assert_quiet(&scene);
    wrong_keys(&mut scene, 1.5 * DAY, HOUR, 3.0);
    let alerts = scene.run();
    assert!(alerts[0].title.starts_with("Many sources: tried "), "{}", alerts[0].title);
    assert!(alerts.iter().all(|it| it.id == alerts[0].id && it.action <= Action::Notify));
}

#[test]
fn a_list_that_is_tried_over_a_day_is_told_once() {
    let mut scene = Scene::new();
    customers(&mut scene, 10);
    for n in 0..72 {
        let time = DAY + 1_200.0 * f64::from(n);
        scene.request(&format!("invented-{n}"), RENTED, time).status(401);
    }
    let alerts = scene.run();
    let opened: Vec<_> = about_sources(&alerts);
    let opened = opened.iter().filter(|it| it.alert_type == AlertType::Opened).count();
    assert_eq!(opened, 1, "{alerts:#?}");
}

/// Too slow for the test of an hour.
#[test]
fn a_list_of_a_few_keys_an_hour_is_told_too() {
    for (every, count) in [(500.0, 170), (300.0, 280)] {
        let mut scene = Scene::new();
        customers(&mut scene, 10);
        for n in 0..count {
            let time = DAY + every * f64::from(n);
            scene.request(&format!("invented-{n}"), RENTED, time).status(401);
        }
        assert!(!about_sources(&scene.run()).is_empty(), "every {every} s");
    }
}

/// Key ids are public, and somebody may have the carrier and the region of their owners.
#[test]
fn whoever_names_customers_keys_nearby_excuses_no_list() {
    let mut scene = Scene::new();
    customers(&mut scene, 10);
    for n in 0..100 {
        let (key, time) = (format!("key-{}", n % 5), DAY + 2.0 * f64::from(n));
        scene.request(&key, LONDON, time).ip("198.51.100.200").status(401);
    }
    stuff(&mut scene, DAY + 60.0, 60);
    let alerts = scene.run();
    let is_of_list = |it: &&Alert| it.source_ip.is_some_and(|ip| ip.to_string() == RENTED.ip);
    assert!(alerts.iter().any(|it| is_of_list(&it)), "{alerts:#?}");
}

/// An address of a crowd: each has a network of its own.
fn of_crowd(n: u32) -> String {
    format!("100.64.{n}.9")
}

/// One try for each of sixty keys within twenty minutes, each from another network.
fn try_from_everywhere(scene: &mut Scene, start: f64) {
    for n in 0..60 {
        let time = start + 20.0 * f64::from(n);
        scene.request(&format!("key-{n}"), RENTED, time).ip(&of_crowd(n)).status(401);
    }
}

#[test]
fn a_list_tried_from_many_addresses_is_one_incident() {
    let mut scene = Scene::new();
    customers(&mut scene, 60);
    try_from_everywhere(&mut scene, DAY);
    let alerts = scene.run();
    let first = alerts[0].clone();
    assert!(first.title.starts_with("Many sources: tried "), "{}", first.title);
    assert_eq!(first.detectors, [DetectorId::CredentialStuffing]);
    assert!(first.severity >= Severity::Medium);
    assert!(first.affected_keys.len() > 6);
    assert!(first.detected_event_time.seconds_since(scene.at(DAY)) < 600.0);
    assert!(alerts.iter().all(|alert| alert.id == first.id && alert.action <= Action::Notify));
}

#[test]
fn a_key_that_an_address_of_the_crowd_gets_right_is_raised_itself() {
    for hit in [100.0, 1_100.0] {
        let mut scene = Scene::new();
        customers(&mut scene, 61);
        try_from_everywhere(&mut scene, DAY);
        scene.request("key-60", RENTED, DAY + hit + 1.0).ip(&of_crowd((hit / 20.0) as u32));
        scene.request("key-59", RENTED, DAY + hit + 2.0).ip("100.65.0.9");
        let alerts = scene.run();
        let told = |key: &str| {
            let of_key = alerts.iter().filter(|alert| alert.key_id.as_deref() == Some(key));
            of_key
                .flat_map(|alert| &alert.detectors)
                .any(|it| *it == DetectorId::CredentialStuffing)
        };
        assert!(told("key-60") && !told("key-59"), "{hit}");
    }
}

#[test]
fn refused_keys_of_one_customer_and_a_few_every_hour_are_no_list() {
    let mut scene = Scene::new();
    for key in 0..60 {
        for n in 0..288 {
            let time = 300.0 * f64::from(n) + f64::from(key);
            scene.request(&format!("key-{key}"), LONDON, time).tenant("acme");
        }
    }
    try_from_everywhere(&mut scene, DAY);
    assert_quiet(&scene);

    for (begin, every) in [(0.2 * DAY, 1_000.0), (0.0, 300.0)] {
        let mut scene = Scene::new();
        customers(&mut scene, 60);
        for n in 0..400 {
            let time = begin + every * f64::from(n);
            let ip = of_crowd(n % 200);
            scene.request(&format!("key-{}", n % 60), RENTED, time).ip(&ip).status(401);
        }
        assert_quiet(&scene);
    }
}
