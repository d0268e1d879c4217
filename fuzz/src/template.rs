//! Compiles templates of webhooks, and renders the ready ones for what an attacker chose.

use std::sync::LazyLock;

use keywatch::alert::Alert;
use keywatch::deliver::template::Template;
use serde_json::json;

const KINDS: [&str; 6] = ["slack", "teams", "pagerduty", "jira", "splunk", "ocsf"];
const ALERT: &str = include_str!("../../tests/fixtures/alerts/impossible_travel.json");

static READY: LazyLock<Vec<Template>> = LazyLock::new(|| KINDS.map(ready).into());
static SPECIMEN: LazyLock<Alert> = LazyLock::new(|| serde_json::from_str(ALERT).unwrap());

fn ready(kind: &str) -> Template {
    let config = serde_json::from_value(json!({ "kind": kind })).unwrap();
    Template::of(&config).unwrap()
}

/// Takes the text for a template, and for the words of an attacker.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Template::compile("mine.json", text.to_owned());
    let alert = chosen(text);
    for template in &*READY {
        template.render(&alert, "k3y").unwrap_or_else(|error| panic!("{error:?}"));
    }
}

fn chosen(text: &str) -> Alert {
    let mut alert = SPECIMEN.clone();
    alert.key_id = Some(text.into());
    alert.tenant = Some(text.into());
    alert.title = text.into();
    alert.explanation = text.into();
    alert
}
