//! Turns signals into incidents and alerts. Each subject has at most one open incident, with a
//! risk, a confidence and an action.

mod as_json;
mod check;
mod corroboration;
mod incident;
mod ladder;
mod open;
pub mod policy;
pub mod promise;
pub mod risk;
mod rules;
mod subject;
mod support;
mod words;

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertPosition, AlertType, Ceiling, DetectorId};
use crate::detect::{MAX_SURPRISE, Signal};
use crate::event::{EventTime, KeyId, PartitionId};

pub use self::check::check;
use self::incident::Incident;
pub use self::incident::quiet_seconds;
use self::open::OpenIncidents;
pub use self::policy::{Exemptions, Policy};
pub use self::rules::Case;
pub use self::subject::{KnownKey, Occurrence, Subject};
pub use self::words::in_words;

/// Version of the detectors' constants, which every alert names. A trained model adds its own
/// version.
pub const MODEL_VERSION: &str = "builtin-1";

/// Revisions that `respond` may add to a proposal: one for each reason to wait (approval, budget,
/// breaker), and the request.
pub const RESPONSES: u32 = 4;

/// New evidence of a known detector makes a new revision only if its score is higher by this much.
const NEWS_SCORE_RISE: f64 = 10.0;

/// The time and place of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    pub partition: &'a PartitionId,
    /// The event time that the partition has reached.
    pub watermark: EventTime,
    /// Wall clock, for `detected_at` only: no decision depends on it. Without it, an alert is
    /// detected at the time of its event.
    pub now: Option<EventTime>,
    /// The model version that alerts name.
    pub model_version: &'a str,
}

/// All open incidents of a shard.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Decider {
    open: OpenIncidents,
}

impl Decider {
    /// Computes again when the open incidents close, after they were read from a checkpoint.
    pub fn set_closing_times(&mut self, policy: &Policy) {
        self.open.set_closing_times(policy.quiet_close_seconds());
    }

    /// The p-value that a finding of `detector` under this ceiling must not exceed to be news for
    /// this subject.
    pub fn news_below(
        &self,
        subject: &Subject,
        detector: DetectorId,
        ceiling: Option<Ceiling>,
    ) -> f64 {
        let incident = self.open.get(subject);
        let known = incident.and_then(|incident| incident.score_under(detector, ceiling));
        match known {
            None => 1.0,
            Some(score) if score >= MAX_SURPRISE => 0.0,
            Some(score) => 10f64.powf(-(score + NEWS_SCORE_RISE) / 10.0),
        }
    }

    pub fn is_open(&self, subject: &Subject) -> bool {
        self.open.get(subject).is_some()
    }

    /// Notes that the unusual behaviour continues, so that the incident stays open.
    pub fn keep_open(
        &mut self,
        subject: &Subject,
        occurrence: Occurrence<'_>,
        moment: Moment<'_>,
        policy: &Policy,
    ) {
        let quiet = policy.quiet_close_seconds();
        self.open.change(subject, None, quiet, |incident| incident.touch(occurrence, moment));
    }

    /// Adds the signals of one event to the subject's incident, or opens one. Returns the alert of
    /// the new revision.
    pub fn consider(
        &mut self,
        subject: &Subject,
        occurrence: Occurrence<'_>,
        signals: Vec<Signal>,
        moment: Moment<'_>,
        policy: &Policy,
    ) -> Option<Alert> {
        let strongest = signals.first().map(|signal| signal.detector)?;
        let is_new = self.open.get(subject).is_none();
        let alert_type = if is_new { AlertType::Opened } else { AlertType::Updated };
        let new = is_new.then(|| Incident::open(subject, occurrence, strongest, moment));
        let quiet = policy.quiet_close_seconds();
        self.open.change(subject, new, quiet, |incident| {
            incident.add(occurrence, signals, moment);
            revise(incident, alert_type, moment, policy)
        })
    }

    /// Closes the incidents of the moment's partition that have been quiet for long enough.
    pub fn close_quiet(&mut self, moment: Moment<'_>, policy: &Policy) -> Vec<Alert> {
        let mut alerts = Vec::new();
        while let Some(subject) = self.open.next_due(moment.partition, moment.watermark) {
            alerts.extend(self.resolve(&subject, moment, policy));
        }
        alerts
    }

    /// Closes the incident of `key_id` if it was quiet for long enough at `time`. Its partition may
    /// have no more events, like a file that has ended.
    pub fn close_stale_key(
        &mut self,
        key_id: &KeyId,
        time: EventTime,
        moment: Moment<'_>,
        policy: &Policy,
    ) -> Option<Alert> {
        self.open.of_key(key_id)?;
        self.close_stale(&Subject::Key(key_id.clone()), time, moment, policy)
    }

    /// As [`Self::close_stale_key`], for any subject.
    pub fn close_stale(
        &mut self,
        subject: &Subject,
        time: EventTime,
        moment: Moment<'_>,
        policy: &Policy,
    ) -> Option<Alert> {
        let incident = self.open.get(subject)?;
        let is_stale = incident.closes_at(policy.quiet_close_seconds()) < time;
        if is_stale { self.resolve(subject, moment, policy) } else { None }
    }

    fn resolve(&mut self, subject: &Subject, moment: Moment<'_>, policy: &Policy) -> Option<Alert> {
        let mut incident = self.open.remove(subject, policy.quiet_close_seconds())?;
        let verdict = policy.judge(&incident.case());
        Some(incident.revise(AlertType::Resolved, &verdict, policy, moment))
    }
}

fn revise(
    incident: &mut Incident,
    alert_type: AlertType,
    moment: Moment<'_>,
    policy: &Policy,
) -> Alert {
    let verdict = policy.judge(&incident.case());
    let alert = incident.revise(alert_type, &verdict, policy, moment);
    if policy.proposes_request(&verdict) {
        incident.reserve_revisions(RESPONSES);
    }
    alert
}

/// The position of the records behind an incident.
fn position(partition: &PartitionId, first_offset: i64, last_offset: i64) -> AlertPosition {
    AlertPosition {
        topic: partition.topic.clone(),
        partition: partition.partition,
        first_offset,
        last_offset,
    }
}
