//! Rules of the policy on live incidents.

use keywatch::alert::{Action, Alert, AlertType, Restraint};
use keywatch::config::{DetectConfig, PolicyConfig, Rulebook};
use keywatch::engine::Engine;
use keywatch::event::{EnrichedEvent, ShardId};
use keywatch::registry::{RegisteredKey, Registry};

use crate::scene::{HOSTER, LONDON, Place, SYDNEY, Scene, with_model};
use crate::{DAY, HOUR};

const THIEF: Place = Place { asn: HOSTER, ip: "203.0.113.9", ..SYDNEY };

/// A key of `tenant` in London, and a thief who replays its nonces from afar and claims another
/// tenant and environment. The thief stays for a minute.
fn theft(claim: &str) -> Vec<EnrichedEvent> {
    let mut scene = Scene::new();
    for n in 0..1_440u32 {
        let nonce = (5_000 + 2 * n).to_string();
        scene.request("key", LONDON, f64::from(n) * 120.0).nonce(&nonce).tenant("bank");
    }
    for n in 0..30u32 {
        let nonce = (7_000 + 2 * n).to_string();
        scene.request("key", THIEF, 2.0 * DAY + f64::from(n)).nonce(&nonce).tenant(claim);
    }
    let mut events = scene.events();
    for enriched in &mut events {
        let is_owner = enriched.event.tenant.as_deref() == Some("bank");
        enriched.event.environment = Some(if is_owner { "production" } else { "lab" }.into());
    }
    events
}

fn run(rules: &str, registry: Registry, events: &[EnrichedEvent]) -> Vec<Alert> {
    let rules: Rulebook = toml::from_str(rules).unwrap();
    let policy = PolicyConfig { rules, ..PolicyConfig::default() };
    let mut engine = with_model(Engine::new(&DetectConfig::default(), &policy, registry));
    engine.process(ShardId::Shared, &Scene::partition(), events, None).alerts
}

fn strongest(alerts: &[Alert]) -> Action {
    alerts.iter().map(|alert| alert.action).max().unwrap()
}

#[test]
fn a_rule_that_stays_broken_is_one_incident() {
    let mut scene = Scene::new();
    for day in 0..6 {
        scene.steady("key", LONDON, f64::from(day) * DAY, HOUR, 300.0);
    }
    let expires_at = Some(scene.at(1.5 * DAY));
    let key = RegisteredKey { key_id: "key".into(), expires_at, ..RegisteredKey::default() };
    let mut registry = Registry::default();
    registry.set_file(vec![key]);
    let alerts = run("", registry, &scene.events());
    let opened = alerts.iter().filter(|alert| alert.alert_type == AlertType::Opened);
    assert_eq!(opened.count(), 1, "{alerts:#?}");
}

const MILD_IN_THE_LAB: &str = "[[rule]]\nname = \"lab\"\nmatch.environments = [\"lab\"]\n\
                               action = \"observe\"\n[exempt]\ntenants = [\"friend\"]\n";

#[test]
fn a_request_does_not_say_which_rule_is_for_its_key() {
    let free = run("", Registry::default(), &theft("friend"));
    let alerts = run(MILD_IN_THE_LAB, Registry::default(), &theft("friend"));
    assert!(strongest(&free) > Action::Notify);
    assert_eq!(strongest(&alerts), strongest(&free), "{:#?}", alerts[0].guidance);
    for alert in &alerts {
        assert_eq!(alert.tenant.as_deref(), Some("bank"));
        assert_eq!(
            (alert.guidance.key.environment.as_str(), &alert.guidance.rule),
            ("production", &None)
        );
        let traffic = alert.guidance.key.requests_per_day;
        assert!((600..=800).contains(&traffic), "{traffic} a day, 720 before the theft");
    }
}

#[test]
fn facts_of_the_registry_come_before_those_of_requests() {
    let key = RegisteredKey {
        key_id: "key".into(),
        environment: "lab".into(),
        class: "toy".into(),
        tags: vec!["demo".into()],
        ..RegisteredKey::default()
    };
    let mut registry = Registry::default();
    registry.set_file(vec![key]);
    let alerts = run(MILD_IN_THE_LAB, registry, &theft("friend"));
    assert_eq!(strongest(&alerts), Action::Observe);
    let last = alerts.last().unwrap();
    assert_eq!(last.restraint, Some(Restraint::Rule));
    assert_eq!((&*last.guidance.key.class, last.guidance.rule.as_deref()), ("toy", Some("lab")));
    let because = "the policy's rule \"lab\" bounds it";
    assert!(last.explanation.contains(because), "{}", last.explanation);
}

#[test]
fn a_channel_that_was_told_hears_of_the_end() {
    let rules = "[[rule]]\nname = \"sure\"\nmatch.min_severity = \"critical\"\nchannels = [\"pager\"]\n\
                 [[rule]]\nname = \"rest\"\nchannels = [\"mail\"]\n";
    let mut events = theft("bank");
    let mut later = Scene::new();
    later.request("other", LONDON, 2.0 * DAY + 5.0 * HOUR);
    let mut later = later.events();
    later[0].position.offset = events.len() as i64;
    events.append(&mut later);
    let alerts = run(rules, Registry::default(), &events);
    let channels: Vec<&[String]> = alerts.iter().map(|it| &*it.guidance.channels).collect();
    let last = channels.last().unwrap();
    let told: Vec<&String> = channels.iter().flat_map(|it| it.iter()).collect();
    assert!(told.iter().all(|channel| last.contains(channel)), "{channels:?}");
    assert!(!last.is_empty());
}
