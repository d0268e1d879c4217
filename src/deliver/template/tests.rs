#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::alert::AlertType;
use crate::deliver::fixtures;

const KINDS: [ChannelKind; 6] = [
    ChannelKind::Slack,
    ChannelKind::Teams,
    ChannelKind::Pagerduty,
    ChannelKind::Jira,
    ChannelKind::Splunk,
    ChannelKind::Ocsf,
];

fn config(text: &str) -> ChannelConfig {
    toml::from_str(&format!("url = \"https://hooks.example/x\"\nsecret = \"k3y\"\n{text}")).unwrap()
}

fn of_kind(kind: ChannelKind) -> Template {
    Template::of(&ChannelConfig { kind: Some(kind), ..config("") }).unwrap()
}

fn body(kind: ChannelKind, alert: &Alert) -> Value {
    serde_json::from_str(&of_kind(kind).render(alert, "k3y").unwrap()).unwrap()
}

/// The fault of a template of one's own, with the folder left out.
fn fault(text: &str) -> String {
    let folder = tempfile::TempDir::new().unwrap();
    let path: PathBuf = folder.path().join("mine.json");
    fs::write(&path, text).unwrap();
    let fault = Template::of(&ChannelConfig { template: Some(path), ..config("") }).err();
    let fault = fault.unwrap_or_else(|| panic!("accepted: {text}"));
    fault.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn a_fault_of_a_template_is_named_with_its_file_and_line() {
    for (text, expected) in [
        ("{\n  \"a\": {{ titel }}\n}", "mine.json:2: undefined value"),
        ("{\n\n  \"a\": {{ title\n}", "mine.json:"),
        ("{\"a\": \"{{ title }}\"}", "mine.json: the body for a alert.opened is not JSON"),
        ("{{ title }", "mine.json:1: syntax error"),
        ("{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}", "fuel"),
    ] {
        let fault = fault(text);
        assert!(fault.contains(expected), "{fault}");
    }
    let missing = ChannelConfig { template: Some("/nowhere/mine.json".into()), ..config("") };
    assert!(Template::of(&missing).err().unwrap().starts_with("cannot read /nowhere/mine.json"));
}

#[test]
fn what_an_attacker_chose_stays_one_string() {
    let mut alert = fixtures::alert("hostile");
    alert.title = "x\", \"routing_key\": \"other\" }} {{ secret }} <!channel> [a](b)".into();
    for kind in KINDS {
        let text = of_kind(kind).render(&alert, "k3y").unwrap();
        let found: Value = serde_json::from_str(&text).unwrap();
        let is_secret_elsewhere = text.matches("k3y").count() > 1;
        assert!(!is_secret_elsewhere, "{kind:?}: {text}");
        assert_ne!(found["routing_key"], "other");
    }
    let slack = body(ChannelKind::Slack, &alert);
    assert!(slack["text"].as_str().unwrap().contains("&lt;!channel&gt;"), "{slack}");
}

#[test]
fn a_page_is_triggered_acknowledged_and_resolved_under_one_key() {
    let mut alert = fixtures::alert("impossible_travel");
    let opened = body(ChannelKind::Pagerduty, &alert);
    assert_eq!(opened["event_action"], "trigger");
    assert_eq!(opened["routing_key"], "k3y");
    assert_eq!(opened["payload"]["severity"], "error");
    assert_eq!(opened["payload"]["source"], "ak_123");
    assert!(opened["payload"]["custom_details"]["detectors"].is_array());
    alert.handling.state = Some(crate::alert::IncidentState::Acknowledged);
    let seen = body(ChannelKind::Pagerduty, &alert);
    assert_eq!((&seen["event_action"], &seen["payload"]), (&"acknowledge".into(), &Value::Null));
    alert.alert_type = AlertType::Resolved;
    let resolved = body(ChannelKind::Pagerduty, &alert);
    assert_eq!(resolved["event_action"], "resolve");
    for event in [&opened, &seen, &resolved] {
        assert_eq!(event["dedup_key"], "al_6f1d2c9b0a7e4453");
    }
}

#[test]
fn receivers_limits_are_kept() {
    let mut alert = fixtures::alert("impossible_travel");
    (alert.title, alert.explanation) = ("t".repeat(9_000), "é".repeat(90_000));
    let slack = body(ChannelKind::Slack, &alert);
    let length = |value: &Value| value.as_str().unwrap().chars().count();
    assert_eq!(length(&slack["blocks"][0]["text"]["text"]), 150);
    assert_eq!(length(&slack["blocks"][1]["text"]["text"]), 3_000);
    assert_eq!(length(&body(ChannelKind::Pagerduty, &alert)["payload"]["summary"]), 1_024);
    let jira = body(ChannelKind::Jira, &alert);
    assert_eq!((length(&jira["message"]), length(&jira["description"])), (130, 15_000));
    let teams = body(ChannelKind::Teams, &alert).to_string();
    assert!(teams.len() < 28_000, "Teams takes messages of 28 KB: {}", teams.len());
}

#[test]
fn each_kind_has_the_form_that_its_receiver_documents() {
    let alert = fixtures::alert("revocation_requested");
    let teams = body(ChannelKind::Teams, &alert);
    let card = &teams["attachments"][0];
    assert_eq!(teams["type"], "message");
    assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
    assert_eq!(card["content"]["type"], "AdaptiveCard");
    let splunk = body(ChannelKind::Splunk, &alert);
    assert_eq!(splunk["time"], 1_773_457_360.633);
    assert_eq!(splunk["event"]["key_id"], "ak_123");
    assert_eq!(body(ChannelKind::Ocsf, &alert)["class_uid"], 2_004);
    let jira = body(ChannelKind::Jira, &alert);
    assert_eq!((&jira["alias"], &jira["priority"]), (&"al_6f1d2c9b0a7e4453".into(), &"P1".into()));
}
