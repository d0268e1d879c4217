//! Tells what a suppression would have hidden, by the stored alerts.

use std::collections::BTreeSet;

use serde_json::json;

use crate::alert::{Alert, Severity};
use crate::event::EventTime;
use crate::store::{Store, StoreError};
use crate::text::{counted, visible, visible_within};
use crate::workflow::{Suppression, hidden_by};

/// The stored alerts that a new suppression is tried on.
const PREVIEW_DAYS: u32 = 90;
/// Incidents that the preview names.
const MOST_NAMED: usize = 10;

/// Counts what a suppression would have hidden.
#[derive(Default)]
pub struct Preview {
    hidden: BTreeSet<String>,
    requests: BTreeSet<String>,
    /// Incidents that are critical and are shown all the same.
    critical_shown: BTreeSet<String>,
    critical_hidden: BTreeSet<String>,
    titles: Vec<String>,
}

impl Preview {
    /// Tries it on the stored alerts.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn of(suppression: &Suppression, store: &Store) -> Result<Self, StoreError> {
        let mut preview = Self::default();
        // As if it had always been there, and hid critical alerts too.
        let tried =
            Suppression { from: EventTime::default(), hides_critical: true, ..suppression.clone() };
        let tried = [tried];
        let visit = |alert: &Alert| preview.add(&tried, suppression.hides_critical, alert);
        store.visit_alerts(&suppression.scope, PREVIEW_DAYS, visit).await?;
        Ok(preview)
    }

    fn add(&mut self, tried: &[Suppression], hides_critical: bool, alert: &Alert) {
        if hidden_by(tried, alert, alert.detected_at).is_none() {
            return;
        }
        let id = alert.id.clone();
        if alert.severity == Severity::Critical && !hides_critical {
            self.critical_shown.insert(id);
            return;
        }
        if alert.severity == Severity::Critical {
            self.critical_hidden.insert(id.clone());
        }
        if alert.action.request().is_some() && !alert.dry_run {
            self.requests.insert(id.clone());
        }
        if self.hidden.insert(id) && self.titles.len() < MOST_NAMED {
            self.titles.push(alert.title.clone());
        }
    }

    /// Lines of text. `option` is what hides critical alerts too.
    pub fn in_words(&self, suppression: &Suppression, option: &str) -> String {
        let hidden = counted(self.hidden.len(), "incident");
        let mut text = format!(
            "{}\nIn the last {PREVIEW_DAYS} days this would have hidden {hidden}, of them {} \
             critical and {} that proposed a suspension or revocation.\n",
            visible(&suppression.scope.to_string()),
            self.critical_hidden.len(),
            self.requests.len(),
        );
        if !self.critical_shown.is_empty() {
            let shown = counted(self.critical_shown.len(), "incident");
            text += &format!(
                "{shown} became critical, and would have been shown then: {option} hides them too.\n"
            );
        }
        for title in &self.titles {
            text += &format!("  {}\n", visible_within(title, 120));
        }
        if self.hidden.len() > self.titles.len() {
            text += &format!("  and {} more\n", self.hidden.len() - self.titles.len());
        }
        text
    }

    /// The figures for programs.
    pub fn as_json(&self, suppression: &Suppression, is_stored: bool) -> serde_json::Value {
        json!({
            "suppression": suppression, "is_stored": is_stored, "days": PREVIEW_DAYS,
            "hidden": self.hidden.len(), "critical_hidden": self.critical_hidden.len(),
            "critical_shown": self.critical_shown.len(), "requests_hidden": self.requests.len(),
        })
    }
}
