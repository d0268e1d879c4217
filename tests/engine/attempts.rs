//! Requests that only name a key: whoever knows a public key id can send them.

use std::collections::BTreeMap;

use keywatch::alert::{Action, Alert, DetectorId, Severity};
use keywatch::config::{DetectConfig, PolicyConfig};
use keywatch::engine::Engine;
use keywatch::event::{EnrichedEvent, KeyId, ShardId};
use keywatch::registry::Registry;
use proptest::prelude::*;

use super::DAY;
use super::scene::{AMSTERDAM, HOSTER, LONDON, NEW_YORK, Place, SYDNEY, Scene, with_model};

const THIEF: Place = Place { asn: HOSTER, ip: "203.0.113.66", ..SYDNEY };
const KEYS: [&str; 3] = ["key-0", "key-1", "key-2"];

/// Three keys in London, each with a counter as nonce, for three days.
fn owners() -> Scene {
    let mut scene = Scene::new();
    for (index, key) in KEYS.iter().enumerate() {
        for n in 0..1_440u32 {
            let time = f64::from(n) * 180.0 + 7.0 * index as f64;
            let nonce = (5_000 + 2 * n).to_string();
            scene.request(key, LONDON, time).nonce(&nonce).signed_at(time - 0.2);
        }
    }
    scene
}

/// The strongest action that was asked for against each key.
fn actions(alerts: &[Alert]) -> BTreeMap<KeyId, Action> {
    let mut strongest = BTreeMap::new();
    for alert in alerts {
        if let Some(key_id) = &alert.key_id {
            let action = strongest.entry(key_id.clone()).or_insert(Action::Observe);
            *action = (*action).max(alert.action);
        }
    }
    strongest
}

fn assert_at_most_notify(what: &str, scene: &Scene) {
    for (key_id, action) in actions(&scene.run()) {
        assert!(action <= Action::Notify, "{what}: {action} of {key_id}");
    }
}

/// Adds an outsider's requests to a log, from a second on.
type Forge = fn(&mut Scene, f64);

#[test]
fn whoever_names_a_key_does_not_raise_it_above_notify() {
    let at = 2.0 * DAY + 50.0;
    let forgeries: [(&str, Forge); 6] = [
        ("one invented nonce from two machines", |scene, at| {
            scene.request("key-0", THIEF, at).nonce("77").status(401);
            scene.request("key-0", NEW_YORK, at + 9.0).nonce("77").status(401);
        }),
        ("a captured request, refused", |scene, at| {
            scene.request("key-0", THIEF, at).nonce("5900").signed_at(at - 3_000.0).status(409);
        }),
        ("sixty refusals in a minute", |scene, at| {
            for n in 0..60 {
                scene.request("key-0", THIEF, at + f64::from(n)).status(401);
            }
        }),
        ("the next nonces, guessed", |scene, at| {
            for n in 0..20 {
                let nonce = (6_922 + n).to_string();
                scene.request("key-0", THIEF, at + f64::from(n)).nonce(&nonce).status(401);
            }
        }),
        ("one refusal from afar", |scene, at| {
            scene.request("key-0", THIEF, at).status(401);
        }),
        ("one huge nonce", |scene, at| {
            scene.request("key-0", THIEF, at).nonce("9000000000000000000").status(401);
        }),
    ];
    for (what, forge) in forgeries {
        let mut scene = owners();
        forge(&mut scene, at);
        assert_at_most_notify(what, &scene);
    }
}

#[test]
fn a_stranger_who_is_refused_again_and_again_is_told_once_and_the_owner_is_not() {
    let refused = |place: Place| {
        let mut scene = owners();
        for n in 0..40 {
            let time = 2.0 * DAY + 200.0 + 900.0 * f64::from(n);
            scene.request("key-0", place, time).status(403);
        }
        scene.run()
    };
    let alerts = refused(THIEF);
    assert_eq!(alerts[0].detectors, [DetectorId::AuthFailureBurst], "{alerts:#?}");
    assert_eq!((alerts[0].severity, alerts[0].action), (Severity::Medium, Action::Notify));
    assert!(alerts.iter().all(|alert| alert.id == alerts[0].id), "{alerts:#?}");
    assert!(refused(LONDON).is_empty());
}

#[test]
fn nobody_is_a_stranger_at_an_address_of_which_nothing_is_known() {
    let inside = Place { asn: 0, country: "", region: "", city: "", ip: "10.0.0.7", ..LONDON };
    let mut scene = owners();
    scene.steady("key-0", inside, 0.0, 2.0 * DAY, 300.0);
    for n in 0..40 {
        scene.request("key-0", inside, 2.0 * DAY + 900.0 * f64::from(n)).status(403);
    }
    let told = scene.run().into_iter().filter(|alert| alert.title.contains("tries the key"));
    assert_eq!(told.count(), 0);
}

#[test]
fn knocking_does_not_make_the_thiefs_city_the_keys_home() {
    let thefts = [false, true].map(|knocks| {
        let mut scene = owners();
        for n in 0..12 {
            let time = 2.5 * DAY + f64::from(n) * 600.0;
            if knocks {
                scene.request("key-1", THIEF, time).status(401);
            }
        }
        for n in 0..40 {
            scene.request("key-1", THIEF, 2.6 * DAY + 11.0 * f64::from(n));
        }
        actions(&scene.run())["key-1"]
    });
    assert_eq!(thefts[0], thefts[1]);
    assert!(thefts[0] >= Action::Notify, "{thefts:?}");
}

#[test]
fn invented_keys_that_are_answered_404_or_429_or_5xx_get_no_profile() {
    for status in [400, 404, 429, 503] {
        let mut scene = Scene::new();
        for n in 0..100 {
            scene.request(&format!("invented-{n}"), SYDNEY, f64::from(n)).status(status);
        }
        let mut engine = Scene::engine();
        engine.process(ShardId::Shared, &Scene::partition(), &scene.events(), None);
        assert_eq!(engine.keys(), 0, "{status}");
    }
}

#[test]
fn a_refused_request_without_a_tenant_does_not_escape_the_exemption() {
    let policy = PolicyConfig { exempt_tenants: vec!["acme".into()], ..PolicyConfig::default() };
    let mut scene = owners();
    for n in 0..40 {
        scene.request("key-1", THIEF, 2.6 * DAY + 11.0 * f64::from(n));
    }
    let mut events = scene.events();
    for enriched in &mut events {
        let is_thief = enriched.event.client_ip.to_string() == THIEF.ip;
        enriched.event.tenant = (!is_thief).then(|| "acme".into());
    }
    let engine = Engine::new(&DetectConfig::default(), &policy, Registry::default());
    let mut engine = with_model(engine);
    let outcome = engine.process(ShardId::Shared, &Scene::partition(), &events, None);
    assert!(!outcome.alerts.is_empty());
    assert!(outcome.alerts.iter().all(|alert| alert.action <= Action::Notify));
}

#[test]
fn a_repeated_request_id_does_not_make_requests_vanish() {
    let mut scene = owners();
    for n in 0..600 {
        let path = format!("/v1/orders/{n}");
        scene.request("key-2", LONDON, DAY + 0.01 * f64::from(n)).request_id("same").path(&path);
    }
    let found = scene.run().iter().any(|alert| alert.detectors.contains(&DetectorId::RateSpike));
    assert!(found, "a spike under one request id");
}

#[derive(Clone, Debug)]
struct Forgery {
    key: usize,
    minute: u32,
    place: usize,
    status: u16,
    nonce: Option<u64>,
    times: u32,
}

fn forgery() -> impl Strategy<Value = Forgery> {
    let status = prop::sample::select(vec![400, 401, 403, 404, 409, 429, 500, 503]);
    let nonce = prop::option::of(prop_oneof![4_000u64..8_000, Just(u64::MAX / 2)]);
    (0..KEYS.len(), 1_000u32..4_300, 0..4usize, status, nonce, 1u32..80).prop_map(
        |(key, minute, place, status, nonce, times)| Forgery {
            key,
            minute,
            place,
            status,
            nonce,
            times,
        },
    )
}

fn run(events: &[EnrichedEvent]) -> BTreeMap<KeyId, Action> {
    let mut engine = Scene::engine();
    actions(&engine.process(ShardId::Shared, &Scene::partition(), events, None).alerts)
}

/// Owners, and perhaps a thief who holds one of the keys.
fn with_theft(theft: Option<usize>) -> Scene {
    let mut scene = owners();
    for n in 0..30 {
        if let Some(key) = theft {
            scene.request(KEYS[key], THIEF, 2.2 * DAY + 20.0 * f64::from(n));
        }
    }
    scene
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn attempts_change_no_action_above_notify(
        theft in prop::option::of(0..KEYS.len()),
        forgeries in prop::collection::vec(forgery(), 1..12),
    ) {
        let mut scene = with_theft(theft);
        let without = run(&scene.events());
        for Forgery { key, minute, place, status, nonce, times } in forgeries {
            let place = [THIEF, NEW_YORK, AMSTERDAM, LONDON][place];
            for n in 0..times {
                let time = f64::from(minute) * 60.0 + 0.7 * f64::from(n);
                let request = scene.request(KEYS[key], place, time).status(status);
                if let Some(nonce) = nonce {
                    request.nonce(&(nonce + u64::from(n)).to_string());
                }
            }
        }
        let with = run(&scene.events());
        for key in KEYS {
            let action = |of: &BTreeMap<KeyId, Action>| {
                of.get(key).copied().unwrap_or(Action::Observe).max(Action::Notify)
            };
            prop_assert_eq!(action(&with), action(&without), "{}", key);
        }
    }
}

const LOOPING: u32 = 30;

/// Keys in London that are used every ten minutes for twelve days, and whose owners' loops run into
/// the limit from the second day on, one every eight hours.
fn loops() -> Scene {
    let mut scene = Scene::new();
    for key in 0..LOOPING + 2 {
        scene.steady(&format!("key-{key}"), LONDON, f64::from(key), 12.0 * DAY, 600.0);
    }
    for key in 0..LOOPING {
        repeat(&mut scene, &format!("key-{key}"), LONDON, (1.0 + f64::from(key) / 3.0) * DAY, 429);
    }
    scene
}

fn repeat(scene: &mut Scene, key: &str, place: Place, start: f64, status: u16) {
    for n in 0..120 {
        scene.request(key, place, start + 0.5 * f64::from(n)).status(status);
    }
}

#[test]
fn loops_into_the_limit_at_home_become_ordinary_and_attempts_from_elsewhere_do_not() {
    let mut scene = loops();
    let at = 11.5 * DAY;
    repeat(&mut scene, &format!("key-{LOOPING}"), LONDON, at, 429);
    repeat(&mut scene, &format!("key-{}", LOOPING + 1), SYDNEY, at, 401);
    let alerts = scene.run();
    let worst = |key: u32| {
        let name = format!("key-{key}");
        let of_key = alerts.iter().filter(|alert| alert.key_id.as_deref() == Some(&name));
        of_key.map(|alert| alert.severity).max()
    };
    assert_eq!(worst(0), Some(Severity::Medium));
    assert_eq!(worst(LOOPING), Some(Severity::Low));
    assert_eq!(worst(LOOPING + 1), Some(Severity::Medium));
}
