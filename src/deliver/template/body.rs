//! Compiles a template, and renders it for alerts.

use std::fs;

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};

use super::context::context;
use crate::alert::Alert;
use crate::config::{ChannelConfig, ChannelKind};

const SLACK: &str = include_str!("ready/slack.json");
const TEAMS: &str = include_str!("ready/teams.json");
const PAGERDUTY: &str = include_str!("ready/pagerduty.json");
const JIRA: &str = include_str!("ready/jira.json");
const SPLUNK: &str = include_str!("ready/splunk.json");
const OCSF: &str = "{{ ocsf }}";

/// Alerts of each kind: about a key, a source and the monitor; with and without what is optional.
const SPECIMENS: &str = include_str!("specimens.json");

/// Steps of one rendering: a template must not loop for ever.
const FUEL: u64 = 500_000;
/// The largest body. Receivers take less.
const MOST_BYTES: usize = 1 << 20;
/// Instead of the secret while specimens are rendered: errors may show values.
const NO_SECRET: &str = "secret";

/// A template that renders JSON for each specimen of an alert.
pub struct Template {
    engine: Environment<'static>,
    name: String,
}

/// Why a template gives no body.
#[derive(Debug)]
pub struct TemplateError {
    place: String,
    reason: String,
}

impl TemplateError {
    /// The file and the line.
    pub fn place(&self) -> &str {
        &self.place
    }

    fn of(error: &minijinja::Error, name: &str) -> Self {
        let line = error.line().map(|line| format!(":{line}")).unwrap_or_default();
        let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
        Self { place: format!("{name}{line}"), reason: format!("{}{detail}", error.kind()) }
    }
}

impl Template {
    /// Reads the template that the channel names, and renders it for the specimens.
    ///
    /// # Errors
    /// The file and line of the fault, and the fault.
    pub fn of(config: &ChannelConfig) -> Result<Self, String> {
        let (name, text) = match (config.kind, &config.template) {
            (Some(kind), _) => ready(kind),
            (None, Some(path)) => {
                let text = fs::read_to_string(path);
                let name = path.display().to_string();
                (name.clone(), text.map_err(|error| format!("cannot read {name}: {error}"))?)
            }
            (None, None) => return Err("there is neither `kind` nor `template`".to_owned()),
        };
        Self::compile(&name, text)
    }

    /// Compiles a template, and renders it for the specimens. `name` is for errors.
    ///
    /// # Errors
    /// The file and line of the fault, and the fault.
    pub fn compile(name: &str, text: String) -> Result<Self, String> {
        let told = |error: TemplateError| format!("{}: {}", error.place, error.reason);
        let mut engine = engine();
        let compiled = engine.add_template_owned(name.to_owned(), text);
        compiled.map_err(|error| told(TemplateError::of(&error, name)))?;
        let template = Self { engine, name: name.to_owned() };
        for alert in specimens().map_err(|error| format!("the specimens of alerts: {error}"))? {
            template.render(&alert, NO_SECRET).map_err(told)?;
        }
        Ok(template)
    }

    /// The body for an alert. It is JSON.
    ///
    /// # Errors
    /// [`TemplateError`], whose reason may show values.
    pub fn render(&self, alert: &Alert, secret: &str) -> Result<String, TemplateError> {
        let error = |error: &minijinja::Error| TemplateError::of(error, &self.name);
        let template = self.engine.get_template(&self.name).map_err(|it| error(&it))?;
        let body = template.render(Serde(context(alert, secret))).map_err(|it| error(&it))?;
        let fault = |reason: String| TemplateError { place: self.name.clone(), reason };
        if body.len() > MOST_BYTES {
            return Err(fault(format!("the body of {} bytes is too long", body.len())));
        }
        serde_json::from_str::<serde::de::IgnoredAny>(&body).map_err(|it| {
            fault(format!("the body for a {} is not JSON: {it}", alert.alert_type.as_str()))
        })?;
        Ok(body)
    }
}

fn ready(kind: ChannelKind) -> (String, String) {
    let (name, text) = match kind {
        ChannelKind::Slack => ("slack", SLACK),
        ChannelKind::Teams => ("teams", TEAMS),
        ChannelKind::Pagerduty => ("pagerduty", PAGERDUTY),
        ChannelKind::Jira => ("jira", JIRA),
        ChannelKind::Splunk => ("splunk", SPLUNK),
        ChannelKind::Ocsf => ("ocsf", OCSF),
    };
    (format!("the ready template {name}"), text.to_owned())
}

fn specimens() -> serde_json::Result<Vec<Alert>> {
    serde_json::from_str(SPECIMENS)
}

/// Every value is printed as JSON, so that no text of an attacker ends a string.
fn engine() -> Environment<'static> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| AutoEscape::Json);
    engine.set_fuel(Some(FUEL));
    engine.add_filter("limit", limit);
    engine.add_filter("slack", slack);
    engine
}

/// At most so many characters; the last one tells of those that are left out.
fn limit(text: String, most: usize) -> String {
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Slack reads these as the beginning of links, mentions and entities.
fn slack(text: String) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
