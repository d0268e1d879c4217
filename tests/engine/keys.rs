//! The life of a key, as the registry tells it: rotation, leaks, canaries.

use keywatch::alert::{Action, Alert, DetectorId, Restraint, Severity};
use keywatch::config::{DetectConfig, PolicyConfig};
use keywatch::engine::Engine;
use keywatch::event::{EventTime, ShardId};
use keywatch::registry::{Deed, DeedKind, KeyNews, Leak, RegisteredKey, Registry};

use super::scene::{HOSTER, LONDON, Place, SYDNEY, Scene, with_model};
use super::{DAY, HOUR};

const THIEF: Place = Place { asn: HOSTER, ip: "203.0.113.66", ..SYDNEY };
const AGENT: &str = "payments-service/2.1";

fn key(id: &str, owner: &str) -> RegisteredKey {
    RegisteredKey { key_id: id.into(), owner: owner.into(), ..RegisteredKey::default() }
}

/// `old` was rotated to `new`; `new` belongs to this owner.
fn rotation(owner_of_new: &str) -> KeyNews {
    let old = RegisteredKey { rotated_to: Some("new".into()), ..key("old", "ann") };
    KeyNews { number: 1, keys: vec![old, key("new", owner_of_new)], ..KeyNews::default() }
}

fn engine(news: &KeyNews) -> Engine {
    let policy = PolicyConfig { dry_run: false, ..PolicyConfig::default() };
    let mut registry = Registry::default();
    registry.learn(news);
    with_model(Engine::new(&DetectConfig::default(), &policy, registry))
}

fn run(scene: &Scene, news: &KeyNews) -> Vec<Alert> {
    engine(news).process(ShardId::Shared, &Scene::partition(), &scene.events(), None).alerts
}

/// The old key for ten days, and then the new one with the same client.
fn rotated() -> Scene {
    let mut scene = Scene::new();
    for n in 0..14_400 {
        scene.request("old", LONDON, 60.0 * f64::from(n)).agent(AGENT);
    }
    for n in 0..1_440 {
        scene.request("new", LONDON, 10.0 * DAY + 60.0 * f64::from(n)).agent(AGENT);
    }
    scene
}

/// A thief has the new key a minute after it was first used.
fn stolen() -> Scene {
    let mut scene = rotated();
    for n in 0..40 {
        scene.request("new", THIEF, 10.0 * DAY + 90.0 + 60.0 * f64::from(n)).agent("curl/8.5.0");
    }
    scene
}

#[test]
fn a_good_rotation_raises_nothing() {
    assert_eq!(run(&rotated(), &rotation("ann")), []);
}

#[test]
fn a_successor_is_judged_by_what_its_predecessor_did_from_its_first_minute() {
    let alerts = run(&stolen(), &rotation("ann"));
    let found = alerts.iter().find(|alert| alert.key_id.as_deref() == Some("new"));
    let found = found.expect("the thief is noticed at once");
    assert!(found.detectors.contains(&DetectorId::ImpossibleTravel), "{:?}", found.detectors);
    let since = found.detected_event_time.seconds_since(Scene::new().at(10.0 * DAY));
    assert!(since < 3_600.0, "after {since} s");
}

#[test]
fn a_key_of_another_owner_inherits_nothing() {
    let of = |alerts: Vec<Alert>| -> Vec<DetectorId> {
        let new = alerts.into_iter().filter(|alert| alert.key_id.as_deref() == Some("new"));
        new.flat_map(|alert| alert.detectors).collect()
    };
    let inherited = of(run(&stolen(), &rotation("ann")));
    let strange = of(run(&stolen(), &rotation("eve")));
    let unregistered = of(run(&stolen(), &KeyNews::default()));
    assert_eq!(strange, unregistered, "it is a new key like any other");
    assert!(inherited.contains(&DetectorId::NewAgent), "{inherited:?}");
    assert!(!strange.contains(&DetectorId::NewAgent), "{strange:?}");
}

fn leaked(since: EventTime) -> KeyNews {
    let (key_id, source, url) = ("ak".into(), "github".into(), "https://example.com/x".into());
    let leak = Leak { key_id, since, source, url };
    KeyNews { number: 1, leaks: vec![leak], ..KeyNews::default() }
}

#[test]
fn a_leak_asks_for_a_revocation_at_once_and_the_use_after_it_is_news() {
    let mut scene = Scene::new();
    scene.steady("ak", LONDON, 0.0, 2.0 * DAY, 600.0);
    let news = leaked(scene.at(2.0 * DAY - 10.0));
    let mut engine = engine(&KeyNews::default());
    let partition = Scene::partition();
    let before = engine.process(ShardId::Shared, &partition, &scene.events(), None);
    assert_eq!(before.alerts, []);
    engine.registry_mut().learn(&news);
    let shard = engine.shard_of(&"ak".into()).unwrap();
    let reported = engine.report_leak(&news.leaks[0], None, shard, None);
    assert_eq!(reported.len(), 1);
    assert_eq!(reported[0].detectors, [DetectorId::LeakedKey]);
    assert_eq!((reported[0].severity, reported[0].action), (Severity::Critical, Action::Revoke));
    assert!(reported[0].evidence[0].fields["first_use_since"].is_null());
    assert_eq!(engine.report_leak(&news.leaks[0], None, shard, None), [], "told once");

    let mut later = Scene::new();
    later.request("ak", LONDON, 2.0 * DAY + 5.0);
    later.request("ak", LONDON, 2.0 * DAY + 15.0);
    let mut events = later.events();
    (events[0].position.offset, events[1].position.offset) = (1_000, 1_001);
    let used = engine.process(ShardId::Shared, &partition, &events, None).alerts;
    assert_eq!(used.len(), 1, "the first use is news, and the second is not");
    assert_eq!(used[0].id, reported[0].id);
    assert_eq!(used[0].evidence[0].fields["first_use_since"]["ip"], LONDON.ip);
}

#[test]
fn a_use_before_the_leak_is_not_evidence_of_it() {
    let mut scene = Scene::new();
    scene.steady("ak", LONDON, 0.0, DAY, 600.0);
    assert_eq!(run(&scene, &leaked(scene.at(DAY))), []);
}

fn canary() -> KeyNews {
    let canary = RegisteredKey { canary: true, ..key("trap", "security") };
    KeyNews { number: 1, keys: vec![canary], ..KeyNews::default() }
}

#[test]
fn one_request_with_a_canary_is_critical_and_an_attempt_asks_for_no_more_than_a_notice() {
    for (status, action, restraint) in
        [(401, Action::Notify, Some(Restraint::AttemptsOnly)), (200, Action::Revoke, None)]
    {
        let mut scene = Scene::new();
        scene.steady("ak", LONDON, 0.0, 600.0, 60.0);
        scene.request("trap", THIEF, 700.0).status(status);
        scene.request("trap", THIEF, 701.0).status(status);
        let alerts = run(&scene, &canary());
        assert_eq!(alerts.len(), 1, "the second request is no news: {alerts:?}");
        assert_eq!(alerts[0].detectors, [DetectorId::CanaryUse]);
        assert_eq!(alerts[0].severity, Severity::Critical);
        assert_eq!((alerts[0].action, alerts[0].restraint), (action, restraint), "{status}");
    }
}

#[test]
fn attempts_on_a_canary_do_not_hide_its_use() {
    let mut scene = Scene::new();
    for n in 0..20 {
        scene.request("trap", THIEF, f64::from(n)).status(401);
    }
    scene.request("trap", THIEF, 30.0);
    let alerts = run(&scene, &canary());
    assert_eq!(alerts.last().map(|alert| alert.action), Some(Action::Revoke));
}

/// The store has suspended the key from the third day to the fourth.
fn suspension() -> KeyNews {
    let deed =
        |kind, day: f64| Deed { key_id: "key".into(), time: Scene::new().at(day * DAY), kind };
    let deeds = vec![
        deed(DeedKind::Asked, 2.0),
        deed(DeedKind::Suspended, 2.01),
        deed(DeedKind::Resumed, 3.0),
    ];
    KeyNews { number: 1, deeds, ..KeyNews::default() }
}

fn detectors(alerts: &[Alert]) -> Vec<DetectorId> {
    alerts.iter().flat_map(|alert| alert.detectors.clone()).collect()
}

/// A minute in which most requests of the key are refused.
fn refuse(scene: &mut Scene, begin: f64) {
    for n in 0..60 {
        let time = begin + f64::from(n);
        scene.request("key", LONDON, time).status(401);
        if n % 5 == 0 {
            scene.request("key", LONDON, time + 0.5);
        }
    }
}

#[test]
fn refusals_that_follow_our_own_action_are_no_evidence() {
    let mut scene = Scene::new();
    scene.steady("key", LONDON, 0.0, 2.0 * DAY, 10.0);
    refuse(&mut scene, 2.0 * DAY + 30.0);
    let without = run(&scene, &KeyNews::default());
    assert!(detectors(&without).contains(&DetectorId::AuthFailureBurst), "{without:#?}");
    assert_eq!(run(&scene, &suspension()), []);

    // After the end of the suspension they are evidence again.
    scene.steady("key", LONDON, 3.0 * DAY, DAY, 10.0);
    refuse(&mut scene, 4.0 * DAY);
    let later = run(&scene, &suspension());
    assert!(detectors(&later).contains(&DetectorId::AuthFailureBurst), "{later:#?}");
}

#[test]
fn a_use_after_the_confirmed_suspension_is_told_and_one_after_its_end_is_not() {
    let mut scene = Scene::new();
    scene.steady("key", LONDON, 0.0, 2.0 * DAY, 60.0);
    scene.steady("key", LONDON, 3.0 * DAY + 60.0, HOUR, 60.0);
    assert_eq!(run(&scene, &suspension()), []);
    scene.request("key", LONDON, 2.5 * DAY);
    let alerts = run(&scene, &suspension());
    let first = &alerts[0];
    assert_eq!(first.detectors, [DetectorId::RevokedKeyUse]);
    assert!(first.title.contains("a suspended key was used"), "{}", first.title);
}
