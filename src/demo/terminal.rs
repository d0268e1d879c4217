//! Prints each alert on the terminal when it opens and when it becomes worse.

use std::collections::HashMap;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::journal::Journal;
use super::screen::{Screen, moment, seconds_after};
use crate::alert::{Action, Alert, AlertType, Severity};
use crate::deliver::{Allowance, Channel, DeliveryError};

/// Width of the columns before the second line of an alert: time and severity.
const INDENT: usize = 20;

pub(super) struct Terminal {
    screen: Screen,
    journal: Journal,
    /// The worst severity shown, by incident.
    shown: Mutex<HashMap<String, Severity>>,
}

impl Terminal {
    pub(super) fn new(screen: Screen, journal: Journal) -> Self {
        Self { screen, journal, shown: Mutex::default() }
    }

    fn show(&self, alert: &Alert) {
        let mut shown = self.shown.lock();
        let known = shown.get(&alert.id).copied();
        let is_news = alert.alert_type != AlertType::Resolved && known < Some(alert.severity);
        if is_news {
            shown.insert(alert.id.clone(), alert.severity);
            let truth = self.truth(alert);
            self.screen.say(&lines(alert, self.screen.seconds(), known.is_some(), &truth));
        }
    }

    /// The planned attack behind the alert, which the generator knows and the detectors do not.
    fn truth(&self, alert: &Alert) -> String {
        match self.journal.attack_behind(alert) {
            Some(attack) => {
                let seconds = seconds_after(alert.detected_at, attack.start);
                format!("attack: {}, begun {seconds:.1} s before", attack.kind)
            }
            None => "no attack: a false alert".to_owned(),
        }
    }
}

impl Channel for Terminal {
    fn name(&self) -> &'static str {
        "terminal"
    }

    fn declines(&self, _: &Alert) -> Option<&'static str> {
        None
    }

    fn allowance(&self, _: Instant) -> Allowance {
        Allowance::All
    }

    async fn deliver(&self, alerts: &[Arc<Alert>]) -> Result<String, DeliveryError> {
        for alert in alerts {
            self.journal.note(alert);
            self.show(alert);
        }
        Ok("shown".into())
    }
}

fn lines(alert: &Alert, seconds: f64, is_worse: bool, truth: &str) -> String {
    let (colour, bold, dim) = (style(alert.severity), Style::new().bold(), Style::new().dimmed());
    let severity = alert.severity.as_str().to_uppercase();
    let worse = if is_worse { "now worse: " } else { "" };
    // The subject of the title is printed with the alert's first line. Keys are told apart by their
    // ids alone. The separator includes the space, since IPv6 addresses hold colons.
    let (about, headline) = alert.title.split_once(": ").unwrap_or(("", &*alert.title));
    let about = alert.key_id.as_deref().unwrap_or(about);
    let detectors: Vec<_> = alert.detectors.iter().map(|detector| detector.as_str()).collect();
    format!(
        "{} {colour}{severity:<8}{colour:#}  {worse}{bold}{}{bold:#}: {}, risk {:.0} of 100\n\
         {:INDENT$}{headline}\n\
         {:INDENT$}{dim}by {}; {truth}{dim:#}",
        moment(seconds),
        about,
        action(alert),
        alert.risk,
        "",
        "",
        detectors.join(", ")
    )
}

fn action(alert: &Alert) -> String {
    let goes_further = alert.action > Action::Notify;
    let note = if goes_further && alert.dry_run { " (dry run)" } else { "" };
    format!("{}{note}", alert.action)
}

fn style(severity: Severity) -> Style {
    match severity {
        Severity::Critical => AnsiColor::White.on(AnsiColor::Red).bold(),
        Severity::High => AnsiColor::BrightRed.on_default().bold(),
        Severity::Medium => AnsiColor::Yellow.on_default(),
        Severity::Low => AnsiColor::Cyan.on_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::fixtures;

    #[test]
    fn an_alert_says_when_how_bad_what_and_what_to_do() {
        let alert = fixtures::alert("impossible_travel");
        let text = lines(&alert, 12.34, false, "attack: takeover, begun 0.5 s before");
        let plain = anstream::adapter::strip_str(&text).to_string();
        let parts: Vec<_> = plain.lines().collect();
        assert!(parts[0].starts_with(" +12.3 s "), "{plain}");
        assert!(parts[0].contains(alert.key_id.as_deref().unwrap_or_default()), "{plain}");
        assert!(parts[0].contains(action(&alert).as_str()), "{plain}");
        assert!(alert.title.ends_with(parts[1].trim_start()), "{plain}");
        assert!(parts[2].contains(alert.detectors[0].as_str()), "{plain}");
        assert!(parts[0].contains(&alert.severity.as_str().to_uppercase()));
        assert!(parts[2].ends_with("begun 0.5 s before"));
    }

    #[test]
    fn an_alert_without_a_key_names_its_source() {
        let text = lines(&fixtures::alert("source_resolved"), 1.0, false, "");
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert!(plain.contains("Source 198.51.100.200: observe"), "{plain}");
    }
}
