#![allow(clippy::unwrap_used)]

use super::*;
use crate::alert::{Ceiling, KeyTraits};
use crate::config::{Match, Rule, Rulebook};
use crate::deliver::fixtures;

fn rule(name: &str, matches: Match, action: Option<Action>) -> Rule {
    Rule {
        name: name.into(),
        matches,
        action,
        channels: Vec::new(),
        approval: false,
        playbook: None,
    }
}

fn policy(rules: Vec<Rule>) -> PolicyConfig {
    PolicyConfig { rules: Rulebook { rules, ..Rulebook::default() }, ..PolicyConfig::default() }
}

fn of_tenant(tenant: &str) -> Match {
    Match { tenants: vec![tenant.into()], ..Match::default() }
}

fn theft(id: &str, tenant: &str) -> Alert {
    Alert {
        id: id.into(),
        alert_type: AlertType::Opened,
        tenant: Some(tenant.into()),
        ..fixtures::alert("revocation_requested")
    }
}

fn action_under(rules: Vec<Rule>, alert: &Alert) -> (Action, Option<String>) {
    let judged = Judged::new(&[alert], &policy(rules));
    let (_, outcome) = judged.incidents.into_values().next().unwrap();
    (outcome.action, outcome.rule)
}

#[test]
fn the_first_rule_that_matches_bounds_the_action_and_no_other_counts() {
    let alert = theft("a", "bank");
    assert_eq!(action_under(Vec::new(), &alert), (Action::Revoke, None));
    let rules = vec![
        rule("shop", of_tenant("shop"), Some(Action::Observe)),
        rule("bank", of_tenant("bank"), Some(Action::Suspend)),
        rule("all", Match::default(), Some(Action::Notify)),
    ];
    assert_eq!(action_under(rules, &alert), (Action::Suspend, Some("bank".into())));
}

#[test]
fn a_rule_never_raises_an_action_and_an_exemption_wins_over_it() {
    let mild = Alert { alert_type: AlertType::Opened, ..fixtures::alert("impossible_travel") };
    let (free, _) = action_under(Vec::new(), &mild);
    let rules = || vec![rule("all", Match::default(), Some(Action::Revoke))];
    assert!(free < Action::Revoke);
    assert_eq!(action_under(rules(), &mild).0, free);
    let mut exempt = policy(rules());
    exempt.rules.exempt.tenants.push("bank".into());
    let alert = theft("a", "bank");
    let judged = Judged::new(&[&alert], &exempt);
    let (_, outcome) = judged.incidents.values().next().unwrap();
    assert_eq!((outcome.action, outcome.restraint), (Action::Notify, Some(Restraint::Exempt)));
}

#[test]
fn every_condition_must_hold() {
    let mut alert = theft("a", "bank");
    alert.guidance.key = KeyTraits {
        environment: "production".into(),
        class: "partner".into(),
        tags: vec!["pci".into(), "eu".into()],
        requests_per_day: 5_000,
    };
    let held = |matches: Match| {
        action_under(vec![rule("r", matches, Some(Action::Notify))], &alert).1.is_some()
    };
    let all = || Match {
        tenants: vec!["shop".into(), "bank".into()],
        environments: vec!["production".into()],
        classes: vec!["partner".into()],
        tags: vec!["pci".into(), "us".into()],
        min_severity: Some(Severity::High),
        min_confidence: Some(0.9),
        min_requests_per_day: Some(1_000),
        max_requests_per_day: Some(9_000),
        ..Match::default()
    };
    assert!(held(all()));
    assert!(!held(Match { tenants: vec!["shop".into()], ..all() }));
    assert!(!held(Match { environments: vec!["staging".into()], ..all() }));
    assert!(!held(Match { classes: vec!["mobile".into()], ..all() }));
    assert!(!held(Match { tags: vec!["us".into()], ..all() }));
    assert!(!held(Match { min_confidence: Some(1.0), ..all() }));
    assert!(!held(Match { min_requests_per_day: Some(5_001), ..all() }));
    assert!(!held(Match { max_requests_per_day: Some(4_999), ..all() }));
}

#[test]
fn requests_that_only_name_the_key_do_not_choose_its_rule() {
    let alert = theft("a", "bank");
    let detectors: Vec<String> =
        alert.detectors.iter().map(|detector| format!("\"{detector}\"")).collect();
    let text = format!("detectors = [{}]", detectors.join(", "));
    let matches: Match = toml::from_str(&text).unwrap();
    let rules = vec![rule("known", matches, Some(Action::Suspend))];
    assert_eq!(action_under(rules.clone(), &alert).0, Action::Suspend);
    let mut with_attempts = alert.clone();
    with_attempts.evidence.push(crate::alert::Evidence {
        detector: crate::alert::DetectorId::AuthFailureBurst,
        ceiling: Some(Ceiling { most: Action::Notify, reason: Restraint::AttemptsOnly }),
        ..alert.evidence[0].clone()
    });
    assert_eq!(action_under(rules.clone(), &with_attempts).0, Action::Suspend);
    let mut with_proof = with_attempts;
    with_proof.evidence.last_mut().unwrap().ceiling = None;
    assert_eq!(action_under(rules, &with_proof).0, Action::Revoke, "evidence of another kind");
}

#[test]
fn a_change_is_told_with_its_requests_and_what_is_the_same_is_not() {
    let alerts = [theft("a", "bank"), theft("b", "shop")];
    let (now, next) = (
        policy(vec![rule("all", Match::default(), None)]),
        policy(vec![rule("bank", of_tenant("bank"), Some(Action::Notify))]),
    );
    let compared = compare(&alerts, [&now, &next]);
    assert_eq!(compared.incidents, 2);
    let changed: Vec<&str> = compared.changed.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(changed, ["a"]);
    let [before, after] = &compared.changed[0].outcomes;
    assert_eq!((before.action, after.action), (Action::Revoke, Action::Notify));
    let revocations = compared.policies.each_ref().map(|totals| totals.revocations);
    assert_eq!(revocations, [2, 1]);
}
