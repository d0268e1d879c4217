//! Signals to incidents to alerts: one open incident a subject, a risk, a confidence, an action.

mod as_json;
mod incident;
mod open;
pub mod policy;
pub mod risk;
mod subject;

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertPosition, AlertType, DetectorId};
use crate::detect::{MAX_SURPRISE, Signal};
use crate::event::{EventTime, KeyId, PartitionId};

use self::incident::Incident;
use self::open::OpenIncidents;
pub use self::policy::Policy;
pub use self::subject::{Occurrence, Subject};

/// Version of the constants of the detectors, named in every alert; a trained model adds its own.
pub const MODEL_VERSION: &str = "builtin-1";

/// New evidence of the same kind makes a new revision only when its score rose by this much.
const WORTH_TELLING: f64 = 10.0;

/// What the decision needs to know of the moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    pub partition: &'a PartitionId,
    /// How far the partition's log has come, in event time.
    pub watermark: EventTime,
    /// Wall clock, for `detected_at` only: no decision depends on it. Without it an alert
    /// is detected at its event's time.
    pub now: Option<EventTime>,
    /// Named in alerts.
    pub model_version: &'a str,
}

/// All open incidents of a shard.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Decider {
    open: OpenIncidents,
}

impl Decider {
    /// Works out again when the open incidents close, after they were read from a snapshot.
    pub fn set_closing_times(&mut self, policy: &Policy) {
        self.open.set_closing_times(policy.quiet_close_seconds());
    }

    /// The p-value that `detector` must beat to tell anything new about this subject.
    pub fn news_below(&self, subject: &Subject, detector: DetectorId) -> f64 {
        let known = self.open.get(subject).and_then(|incident| incident.score_of(detector));
        match known {
            None => 1.0,
            Some(score) if score >= MAX_SURPRISE => 0.0,
            Some(score) => 10f64.powf(-(score + WORTH_TELLING) / 10.0),
        }
    }

    pub fn is_open(&self, subject: &Subject) -> bool {
        self.open.get(subject).is_some()
    }

    /// Notes that the unusual behaviour goes on, so that the incident stays open.
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

    /// Takes the signals of one event about one subject; returns the alerts they cause.
    pub fn consider(
        &mut self,
        subject: &Subject,
        occurrence: Occurrence<'_>,
        signals: Vec<Signal>,
        moment: Moment<'_>,
        policy: &mut Policy,
    ) -> Vec<Alert> {
        let Some(strongest) = signals.first().map(|signal| signal.detector) else {
            return Vec::new();
        };
        let is_new = self.open.get(subject).is_none();
        let alert_type = if is_new { AlertType::Opened } else { AlertType::Updated };
        let new = is_new.then(|| Incident::open(subject, occurrence, strongest, moment));
        let quiet = policy.quiet_close_seconds();
        let alerts = self.open.change(subject, new, quiet, |incident| {
            incident.add(occurrence, signals, moment);
            tell(incident, alert_type, occurrence.time, moment, policy)
        });
        alerts.unwrap_or_default()
    }

    /// Closes the incidents of the moment's partition that have been quiet long enough.
    pub fn close_quiet(&mut self, moment: Moment<'_>, policy: &Policy) -> Vec<Alert> {
        let mut alerts = Vec::new();
        while let Some(subject) = self.open.next_due(moment.partition, moment.watermark) {
            alerts.extend(self.resolve(&subject, moment, policy));
        }
        alerts
    }

    /// Closes the incident of `key_id` if it was quiet long enough at `time`: its partition may
    /// be one that says no more, like a file that has ended.
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

    /// As [`Self::close_stale_key`], of any subject.
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
        let verdict = policy.judge(&incident);
        Some(incident.revise(AlertType::Resolved, &verdict, policy, moment))
    }
}

fn tell(
    incident: &mut Incident,
    alert_type: AlertType,
    time: EventTime,
    moment: Moment<'_>,
    policy: &mut Policy,
) -> Vec<Alert> {
    let verdict = policy.judge(incident);
    let mut alerts = vec![incident.revise(alert_type, &verdict, policy, moment)];
    if policy.requests_revocation(incident, &verdict, time) {
        incident.mark_revocation_requested();
        alerts.push(incident.revise(AlertType::RevocationRequested, &verdict, policy, moment));
    }
    alerts
}

/// The records behind an incident so far.
fn position(partition: &PartitionId, first_offset: i64, last_offset: i64) -> AlertPosition {
    AlertPosition {
        topic: partition.topic.clone(),
        partition: partition.partition,
        first_offset,
        last_offset,
    }
}
