//! Tells people of breakers that open and close.

use std::collections::HashMap;

use metrics::gauge;
use serde_json::json;
use tokio::time::{Duration, Instant};
use tracing::warn;

use crate::alert::{Alert, AlertPosition, AlertType, DetectorId, Severity};
use crate::app::watchdog::{Finding, Notice, incident_id};
use crate::event::EventTime;
use crate::respond::{Breaker, Cause, Spent};
use crate::store::{Store, StoreError};

/// The keys in use are counted again after this time.
const COUNT_EVERY: Duration = Duration::from_secs(60);
/// A process that has just made a request is the one that opened a breaker.
const JUST_NOW: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct Breakers {
    keys_in_use: Option<(Instant, u64)>,
    /// When this process made its last request.
    requested: Option<Instant>,
    /// When each change was first seen: a breaker that has no incident, or an incident whose
    /// breaker has closed.
    changed: HashMap<String, Instant>,
    /// No incident about a breaker was open at the last look, which asked for them.
    is_calm: bool,
    /// Causes that the metric names.
    shown: Vec<&'static str>,
}

impl Breakers {
    /// The number of keys in use; `None` while nothing was requested within a day.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keys_in_use(
        &mut self,
        store: &Store,
        spent: &[Spent],
    ) -> Result<Option<u64>, StoreError> {
        if spent.is_empty() {
            return Ok(None);
        }
        match self.keys_in_use {
            Some((counted, count)) if counted.elapsed() < COUNT_EVERY => Ok(Some(count)),
            _ => {
                let count = store.keys_in_use().await?;
                self.keys_in_use = Some((Instant::now(), count));
                Ok(Some(count))
            }
        }
    }

    pub fn note_request(&mut self) {
        self.requested = Some(Instant::now());
    }

    /// Returns the alerts about breakers that have opened or closed. Other processes see the same,
    /// and leave it to the one whose request opened the breaker for a while.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn look(
        &mut self,
        store: &Store,
        open: &[Breaker],
        policy_version: &str,
        takeover_seconds: f64,
    ) -> Result<Vec<Alert>, StoreError> {
        self.show(open);
        if open.is_empty() && self.is_calm {
            return Ok(Vec::new());
        }
        let known = store.open_breakers().await?;
        self.is_calm = known.is_empty();
        let now = EventTime::now();
        let mut alerts = changes(open, &known, policy_version, now);
        let is_new = |id: &String| alerts.iter().any(|alert| alert.id == *id);
        self.changed.retain(|id, _| is_new(id));
        let is_ours = self.requested.is_some_and(|it| it.elapsed() < JUST_NOW);
        alerts.retain(|alert| {
            let seen = self.changed.entry(alert.id.clone()).or_insert_with(Instant::now);
            is_ours || seen.elapsed().as_secs_f64() >= takeover_seconds
        });
        for alert in &alerts {
            warn!(id = alert.id, kind = alert.alert_type.as_str(), "{}", alert.title);
        }
        Ok(alerts)
    }

    fn show(&mut self, open: &[Breaker]) {
        for cause in self.shown.drain(..) {
            gauge!("keywatch_breaker_open", "cause" => cause).set(0.0);
        }
        for breaker in open {
            let cause = breaker.cause.as_str();
            gauge!("keywatch_breaker_open", "cause" => cause).set(1.0);
            self.shown.push(cause);
        }
    }
}

/// Opens an incident for each open breaker without one, and ends those of closed breakers.
fn changes(open: &[Breaker], known: &[Alert], version: &str, now: EventTime) -> Vec<Alert> {
    let cause_of = |alert: &Alert| {
        let evidence = alert.evidence.first()?;
        evidence.fields.get("cause")?.as_str().map(str::to_owned)
    };
    let is_known = |breaker: &&Breaker| {
        known.iter().any(|alert| cause_of(alert).as_deref() == Some(breaker.cause.as_str()))
    };
    let opened = open.iter().filter(|it| !is_known(it)).map(|it| opened(it, version, now));
    let is_over = |alert: &&Alert| {
        let cause = cause_of(alert);
        open.iter().all(|breaker| cause.as_deref() != Some(breaker.cause.as_str()))
    };
    let ended = known.iter().filter(is_over).map(|alert| ended(alert, now));
    opened.chain(ended).collect()
}

fn opened(breaker: &Breaker, policy_version: &str, now: EventTime) -> Alert {
    let (count, bound) = (breaker.count, breaker.bound);
    let (topic, partition) = (String::new().into(), 0);
    let cause = breaker.cause.as_str();
    let what = match breaker.cause {
        Cause::Evidence(_) => {
            format!("{count} actions on evidence of the kind `{cause}` in an hour")
        }
        Cause::Share => format!("actions on {count} keys in a day"),
    };
    let held = match breaker.cause {
        Cause::Evidence(_) => "Further proposals on this kind of evidence",
        Cause::Share => "All further proposals",
    };
    let fields = [("cause", json!(cause)), ("count", json!(count)), ("bound", json!(bound))];
    let finding = Finding {
        since: breaker.since,
        position: AlertPosition { topic, partition, first_offset: 0, last_offset: 0 },
        headline: what.clone(),
        sentence: format!("Keywatch requested {what}, where at most {bound} are expected."),
        observed: count as f64,
        expected: bound as f64,
        p_value: 0.0,
        fields: fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
    };
    let notice = Notice {
        detector: DetectorId::BreakerOpen,
        severity: Severity::High,
        title: format!("Breaker open: {}", finding.headline),
        explanation: format!(
            "{} This may be an attack on many keys, a fault of the data or of Keywatch, or somebody \
             who wants it to stop. {held} now wait, except those of the highest confidence, for \
             which a part of the budget is kept. Look at the incidents that wait: `keywatch alerts \
             approve ID` lets one pass, `keywatch alerts dismiss ID` drops it. The breaker closes by \
             itself when the actions are past.",
            finding.sentence
        ),
        policy_version,
    };
    notice.alert(
        &incident_id(&format!("breaker {cause}"), &finding),
        1,
        AlertType::Opened,
        &finding,
        now,
    )
}

fn ended(open: &Alert, now: EventTime) -> Alert {
    Alert {
        revision: open.revision + 1,
        alert_type: AlertType::Resolved,
        risk: 0.0,
        action: crate::alert::Action::Observe,
        title: open.title.replace("Breaker open", "Breaker closed"),
        explanation: "The breaker has closed: the actions are past. Proposals that waited are \
                      requested within the budget."
            .to_owned(),
        detected_at: now,
        ..open.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Family;

    fn breaker(cause: Cause) -> Breaker {
        Breaker { cause, count: 13, bound: 12, since: EventTime::from_seconds(1_000) }
    }

    #[test]
    fn a_breaker_is_told_once_when_it_opens_and_once_when_it_closes() {
        let now = EventTime::from_seconds(2_000);
        let open = [breaker(Cause::Evidence(Family::Replay)), breaker(Cause::Share)];
        let opened = changes(&open, &[], "v1", now);
        assert_eq!(opened.len(), 2);
        assert_ne!(opened[0].id, opened[1].id);
        assert_eq!(opened[0].detectors, [DetectorId::BreakerOpen]);
        assert!(opened[0].explanation.contains("`replay`"), "{opened:?}");
        assert_eq!(changes(&open, &opened, "v1", now), []);
        let ended = changes(&open[1..], &opened, "v1", now);
        assert_eq!((ended.len(), &ended[0].id), (1, &opened[0].id));
        assert_eq!((ended[0].alert_type, ended[0].revision), (AlertType::Resolved, 2));
    }
}
