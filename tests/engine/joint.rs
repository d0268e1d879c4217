//! Weak signs together: each alone says nothing, and what is ordinary stays quiet.

use keywatch::alert::{Action, Alert, AlertType, DetectorId};

use super::scene::{AMSTERDAM, HOSTER, LONDON, NEW_YORK, OTHER_HOSTER, Place, SYDNEY, Scene};
use super::{DAY, HOUR, assert_quiet};

const OWN: &str = "acme-sync/2.1";
/// Days in which a sleeper is used, and days of sleep after them.
const AWAKE: f64 = 3.0;
const ASLEEP: f64 = 4.0;

/// A key in London, ten times a day from `start` on, for `days`.
fn use_at_home(scene: &mut Scene, key: &str, start: f64, days: f64) {
    for n in 0..(days * 10.0) as u32 {
        scene.request(key, LONDON, start + f64::from(n) * 0.1 * DAY).agent(OWN);
    }
}

/// Twenty requests, one every half minute.
fn burst(scene: &mut Scene, key: &str, place: Place, start: f64, agent: &str) {
    for n in 0..20 {
        scene.request(key, place, start + 30.0 * f64::from(n)).agent(agent);
    }
}

/// Of a log that speaks all the time.
fn sleeper() -> Scene {
    let mut scene = spoken(8.0);
    use_at_home(&mut scene, "key", 0.0, AWAKE);
    scene
}

fn spoken(days: f64) -> Scene {
    let mut scene = Scene::new();
    scene.steady("other", LONDON, 0.0, days * DAY, 600.0);
    scene
}

const WAKES: f64 = (AWAKE + ASLEEP) * DAY;

fn opened(alerts: &[Alert]) -> Vec<&Alert> {
    alerts.iter().filter(|alert| alert.alert_type == AlertType::Opened).collect()
}

#[test]
fn a_key_that_slept_and_wakes_elsewhere_is_told_with_what_came_together() {
    let mut scene = sleeper();
    burst(&mut scene, "key", SYDNEY, WAKES, OWN);
    let alerts = scene.run();
    let opened = opened(&alerts);
    assert_eq!(opened.len(), 1);
    assert_eq!(opened[0].detected_event_time, scene.at(WAKES), "at the first request");
    for detector in [DetectorId::NewLocation, DetectorId::DormantKeyUse] {
        assert!(opened[0].detectors.contains(&detector), "{:?}", opened[0].detectors);
    }
    assert!(opened[0].explanation.contains("came together"), "{}", opened[0].explanation);
    let evidence = &opened[0].evidence[0];
    assert!(evidence.fields["together"].as_array().is_some_and(|signs| signs.len() >= 2));
    assert!(evidence.p_value < evidence.fields["alone_p_value"].as_f64().unwrap() / 10.0);
    assert_eq!(opened[0].action, Action::Notify, "people move");
    assert!(alerts.iter().all(|alert| alert.action <= Action::Throttle));
}

#[test]
fn another_client_makes_it_rarer() {
    let p_value = |agent: &str| {
        let mut scene = sleeper();
        burst(&mut scene, "key", SYDNEY, WAKES, agent);
        scene.run().last().map_or(1.0, |alert| alert.evidence[0].p_value)
    };
    assert!(p_value("curl/8.5.0") < p_value(OWN));
}

#[test]
fn no_ingredient_is_told_alone() {
    let mut asleep = sleeper();
    burst(&mut asleep, "key", LONDON, WAKES, OWN);
    assert_quiet(&asleep);

    let mut elsewhere = sleeper();
    burst(&mut elsewhere, "key", AMSTERDAM, AWAKE * DAY, OWN);
    assert_quiet(&elsewhere);

    let mut other_client = sleeper();
    other_client.request("key", LONDON, AWAKE * DAY).agent("curl/8.5.0");
    assert_quiet(&other_client);

    let mut other_route = sleeper();
    for n in 0..4 {
        let request = other_route.request("key", LONDON, AWAKE * DAY + f64::from(n));
        request.path("/v1/invoices").agent(OWN);
    }
    assert_quiet(&other_route);
}

#[test]
fn a_servers_key_at_somebodys_home_may_ask_for_more_than_a_notice() {
    let mut scene = spoken(8.0);
    let server = Place { asn: HOSTER, ..LONDON };
    for n in 0..30 {
        scene.request("key", server, f64::from(n) * 0.1 * DAY).agent(OWN);
    }
    burst(&mut scene, "key", SYDNEY, WAKES, "curl/8.5.0");
    let worst = scene.run().iter().map(|alert| alert.action).max();
    assert_eq!(worst, Some(Action::Throttle));
}

/// Office hours in London on weekdays, for two weeks, a request every ten minutes.
fn office() -> Scene {
    let mut scene = spoken(30.0);
    for day in (0..14).filter(|day| day % 7 < 5) {
        at_work(&mut scene, LONDON, f64::from(day) * DAY, OWN);
    }
    scene
}

fn at_work(scene: &mut Scene, place: Place, day: f64, agent: &str) {
    for n in 0..54 {
        scene.request("key", place, day + 8.0 * HOUR + 600.0 * f64::from(n)).agent(agent);
    }
}

#[test]
fn a_traveller_is_ordinary() {
    let mut scene = office();
    // Friday's work ends at 17:00, and goes on in New York on Monday.
    for day in [14.0, 15.0] {
        at_work(&mut scene, NEW_YORK, day * DAY + 5.0 * HOUR, OWN);
    }
    let alerts = scene.run();
    assert!(!alerts.iter().any(|alert| alert.explanation.contains("came together")), "{alerts:#?}");
}

#[test]
fn a_new_laptop_at_home_is_ordinary() {
    let mut scene = Scene::new();
    for hour in 0..240 {
        let request = scene.request("key", LONDON, f64::from(hour) * HOUR);
        request.agent(OWN).fingerprint("t13d1516h2_8daaf6152771");
    }
    let home = Place { asn: 64_530, ip: "203.0.113.77", ..LONDON };
    for n in 0..2 {
        let request = scene.request("key", home, 240.0 * HOUR + f64::from(n) * HOUR);
        request.agent("acme-desktop/1.0").fingerprint("t13d1517h2_5b57614c22b0");
    }
    let alerts = scene.run();
    assert!(!alerts.iter().any(|alert| alert.explanation.contains("came together")), "{alerts:#?}");
}

#[test]
fn a_member_of_a_crowd_who_is_abroad_after_a_quiet_weekend_is_ordinary() {
    const COUNTRIES: [&str; 12] =
        ["DE", "FR", "US", "JP", "BR", "IN", "ES", "IT", "PL", "SE", "MX", "CA"];
    let mut scene = spoken(7.0);
    let member = |n: u32| Place {
        asn: 65_000 + n % 60,
        country: COUNTRIES[n as usize % COUNTRIES.len()],
        region: "",
        ..LONDON
    };
    // By day, for five days.
    for n in (0..2_400_u32).filter(|n| n % 480 < 320) {
        let user = n.wrapping_mul(2_654_435_761) >> 16;
        let ip = format!("52.{}.7.9", user % 200);
        let agent = if user % 3 == 0 { "AcmeApp/8.1 (iPhone)" } else { "okhttp/4.12" };
        scene.request("app", member(user), f64::from(n) * 180.0).ip(&ip).agent(agent);
    }
    let abroad = Place { asn: 64_600, ..SYDNEY };
    scene.request("app", abroad, 6.5 * DAY).agent("okhttp/4.12");
    assert_quiet(&scene);
}

#[test]
fn a_job_that_was_only_silent_and_runs_as_ever_is_ordinary() {
    for days in [&[0, 7, 14, 35][..], &[0, 1, 2, 3, 10], &[0, 30, 61, 122], &[0, 3, 4, 13, 15, 40]]
    {
        let mut scene = spoken(130.0);
        for day in days {
            for n in 0..120 {
                let time = f64::from(*day) * DAY + 3.0 * HOUR + 20.0 * f64::from(n);
                scene.request("key", LONDON, time).agent(OWN);
            }
        }
        let told: Vec<_> = scene.run().into_iter().map(|alert| alert.title).collect();
        assert!(!told.iter().any(|title| title.contains("among other signs")), "{told:?}");
    }
}

#[test]
fn a_deploy_to_another_cloud_with_a_new_library_says_nothing_more_together() {
    let mut scene = Scene::new();
    for n in 0..1_000 {
        scene.request("key", Place { asn: HOSTER, ..LONDON }, 600.0 * f64::from(n)).agent(OWN);
    }
    let other = Place { asn: OTHER_HOSTER, ip: "203.0.113.90", ..LONDON };
    for n in 0..100 {
        let time = 600_000.0 + 600.0 * f64::from(n);
        scene.request("key", other, time).agent("acme-client/1.0");
    }
    let alerts = scene.run();
    assert!(!alerts.iter().any(|alert| alert.explanation.contains("came together")), "{alerts:#?}");
    assert!(alerts.iter().all(|alert| alert.action <= Action::Notify));
}

#[test]
fn the_monday_after_the_holidays_is_ordinary() {
    let mut scene = office();
    let home = Place { asn: 64_530, ip: "203.0.113.77", ..LONDON };
    for day in [28.0, 29.0] {
        at_work(&mut scene, home, day * DAY, OWN);
    }
    assert_quiet(&scene);
}

#[test]
fn a_young_key_that_keeps_its_program_is_not_judged() {
    let mut scene = spoken(8.0);
    for n in 0..20 {
        scene.request("key", LONDON, 0.5 * HOUR * f64::from(n)).agent(OWN);
    }
    burst(&mut scene, "key", SYDNEY, 5.0 * DAY, OWN);
    let alerts = scene.run();
    assert!(!alerts.iter().any(|alert| alert.explanation.contains("came together")), "{alerts:#?}");
}

#[test]
fn attempts_from_elsewhere_teach_nothing() {
    let mut scene = sleeper();
    for n in 0..100 {
        let time = AWAKE * DAY + 0.5 * HOUR * f64::from(n);
        scene.request("key", SYDNEY, time).agent(OWN).status(401);
    }
    burst(&mut scene, "key", SYDNEY, WAKES, OWN);
    let alerts = scene.run();
    let told = alerts.iter().find(|alert| alert.explanation.contains("came together"));
    assert_eq!(told.map(|alert| alert.detected_event_time), Some(scene.at(WAKES)));
}

const FLEET: u32 = 160;

/// Keys that sleep and wake abroad one after the other; which of them are told for it.
fn wakers(tenant_of: impl Fn(u32) -> String) -> Vec<bool> {
    let mut scene = Scene::new();
    for key in 0..FLEET {
        let (name, tenant) = (format!("key-{key}"), tenant_of(key));
        let start = f64::from(key) * 4.0 * HOUR;
        let at_home = (0..30).map(|n| (LONDON, start + f64::from(n) * 0.1 * DAY));
        let abroad = (0..6).map(|n| (SYDNEY, start + WAKES + f64::from(n) * 0.7 * HOUR));
        for (place, time) in at_home.chain(abroad) {
            scene.request(&name, place, time).agent(OWN).tenant(&tenant);
        }
    }
    let alerts = scene.run();
    let is_told = |key: u32| {
        let of_key = |alert: &&Alert| alert.key_id.as_deref() == Some(&format!("key-{key}"));
        alerts.iter().filter(of_key).any(|alert| alert.explanation.contains("came together"))
    };
    (0..FLEET).map(is_told).collect()
}

#[test]
fn what_the_fleet_does_together_is_ordinary_in_the_end() {
    let told = wakers(|key| format!("tenant-{key}"));
    assert!(told[..20].iter().all(|told| *told), "{told:?}");
    assert!(told[FLEET as usize - 20..].iter().all(|told| !told), "{told:?}");
}

#[test]
fn one_tenant_with_many_keys_cannot_teach_the_fleet() {
    let told = wakers(|key| if key + 1 < FLEET { "thief".into() } else { "victim".into() });
    assert_eq!(told.last(), Some(&true));
}

/// A key that was tried in London for two minutes, a week before it is used again.
fn tried_once() -> Scene {
    let mut scene = spoken(8.0);
    for n in 0..5 {
        scene.request("key", LONDON, 0.1 * DAY + 30.0 * f64::from(n)).agent(OWN);
    }
    scene
}

#[test]
fn a_key_of_one_session_that_somebody_else_wakes_elsewhere_is_a_notice() {
    let mut scene = tried_once();
    burst(&mut scene, "key", Place { asn: HOSTER, ..SYDNEY }, WAKES, "curl/8.5.0");
    let alerts = scene.run();
    assert_eq!(opened(&alerts).len(), 1);
    assert!(opened(&alerts)[0].detectors.contains(&DetectorId::DormantKeyUse));
    let worst = alerts.iter().map(|alert| alert.action).max();
    assert_eq!(worst, Some(Action::Notify), "a test before a deploy looks the same");
}

#[test]
fn a_key_of_one_session_that_its_owner_wakes_is_quiet() {
    let elsewhere = Place { asn: HOSTER, ..SYDNEY };
    let neighbour = Place { ip: "192.0.2.77", ..LONDON };
    for (place, agent) in
        [(LONDON, OWN), (LONDON, "curl/8.5.0"), (neighbour, "curl/8.5.0"), (elsewhere, OWN)]
    {
        let mut scene = tried_once();
        burst(&mut scene, "key", place, WAKES, agent);
        assert_quiet(&scene);
    }
}
