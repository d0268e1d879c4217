//! Signals to incidents to alerts: one open incident a key, a risk, a confidence, an action.

mod as_json;
mod incident;
pub mod policy;
pub mod risk;

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertPosition, AlertType, DetectorId};
use crate::detect::{MAX_SURPRISE, Signal};
use crate::event::{EnrichedEvent, EventTime, KeyId, PartitionId};

use self::incident::Incident;
pub use self::policy::Policy;

/// Version of the shipped models, named in every alert.
pub const MODEL_VERSION: &str = "builtin-1";

/// New evidence of the same kind makes a new revision only when its score rose by this much.
const WORTH_TELLING: f64 = 10.0;

/// What the decision needs to know of the moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    pub partition: &'a PartitionId,
    /// Wall clock, for `detected_at` only: no decision depends on it. Without it an alert
    /// is detected at its event's time.
    pub now: Option<EventTime>,
}

/// All open incidents of a shard.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Decider {
    open: HashMap<KeyId, Incident>,
    /// Follows from `open` and the policy.
    #[serde(skip)]
    closing: Closing,
}

impl Decider {
    /// Works out again when the open incidents close, after they were read from a snapshot.
    pub fn set_closing_times(&mut self, policy: &Policy) {
        self.closing = Closing::default();
        for incident in self.open.values() {
            self.closing.insert(incident, policy.quiet_close_seconds());
        }
    }

    /// The p-value that `detector` must beat to tell anything new about this key.
    pub fn news_below(&self, key_id: &KeyId, detector: DetectorId) -> f64 {
        let known = self.open.get(key_id).and_then(|incident| incident.score_of(detector));
        match known {
            None => 1.0,
            Some(score) if score >= MAX_SURPRISE => 0.0,
            Some(score) => 10f64.powf(-(score + WORTH_TELLING) / 10.0),
        }
    }

    /// Notes that the unusual behaviour goes on, so that the incident stays open.
    pub fn keep_open(
        &mut self,
        enriched: &EnrichedEvent,
        partition: &PartitionId,
        policy: &Policy,
    ) {
        let key_id = &enriched.event.key_id;
        let quiet = policy.quiet_close_seconds();
        let Some(incident) = self.open.get_mut(key_id) else { return };
        self.closing.remove(incident, quiet);
        incident.touch(enriched, partition);
        self.closing.insert(incident, quiet);
    }

    /// Takes one event's signals; returns the alerts they cause.
    pub fn consider(
        &mut self,
        enriched: &EnrichedEvent,
        signals: Vec<Signal>,
        moment: Moment<'_>,
        policy: &mut Policy,
    ) -> Vec<Alert> {
        if signals.is_empty() {
            return Vec::new();
        }
        let key_id = &enriched.event.key_id;
        let quiet = policy.quiet_close_seconds();
        let is_new = !self.open.contains_key(key_id);
        let incident = self
            .open
            .entry(key_id.clone())
            .or_insert_with(|| Incident::open(enriched, signals[0].detector, moment.partition));
        self.closing.remove(incident, quiet);
        incident.add(enriched, signals, moment.partition);
        self.closing.insert(incident, quiet);

        let alert_type = if is_new { AlertType::Opened } else { AlertType::Updated };
        let verdict = policy.judge(incident);
        let mut alerts = vec![incident.revise(alert_type, &verdict, policy, moment)];
        if policy.requests_revocation(incident, &verdict, enriched.event.time) {
            incident.mark_revocation_requested();
            alerts.push(incident.revise(AlertType::RevocationRequested, &verdict, policy, moment));
        }
        alerts
    }

    /// Closes the incidents of the moment's partition that have been quiet long enough at
    /// `watermark`, its event time.
    pub fn close_quiet(
        &mut self,
        watermark: EventTime,
        moment: Moment<'_>,
        policy: &Policy,
    ) -> Vec<Alert> {
        let mut alerts = Vec::new();
        while let Some(key_id) = self.closing.pop_due(moment.partition, watermark) {
            alerts.extend(self.resolve(&key_id, moment, policy));
        }
        alerts
    }

    /// Closes the incident of `key_id` if it was quiet long enough at `time`: its partition may
    /// be one that says no more, like a file that has ended.
    pub fn close_stale(
        &mut self,
        key_id: &KeyId,
        time: EventTime,
        moment: Moment<'_>,
        policy: &Policy,
    ) -> Vec<Alert> {
        let quiet = policy.quiet_close_seconds();
        match self.open.get(key_id) {
            Some(incident) if incident.closes_at(quiet) < time => {
                self.closing.remove(incident, quiet);
                self.resolve(key_id, moment, policy).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn resolve(&mut self, key_id: &KeyId, moment: Moment<'_>, policy: &Policy) -> Option<Alert> {
        let mut incident = self.open.remove(key_id)?;
        let verdict = policy.judge(&incident);
        Some(incident.revise(AlertType::Resolved, &verdict, policy, moment))
    }
}

/// Open incidents by partition and by the event time at which they close if nothing more
/// happens.
#[derive(Debug, Default)]
struct Closing(HashMap<PartitionId, BTreeSet<(EventTime, KeyId)>>);

impl Closing {
    fn insert(&mut self, incident: &Incident, quiet_seconds: f64) {
        let entry = (incident.closes_at(quiet_seconds), incident.key_id().clone());
        self.0.entry(incident.partition().clone()).or_default().insert(entry);
    }

    fn remove(&mut self, incident: &Incident, quiet_seconds: f64) {
        if let Some(entries) = self.0.get_mut(incident.partition()) {
            entries.remove(&(incident.closes_at(quiet_seconds), incident.key_id().clone()));
        }
    }

    fn pop_due(&mut self, partition: &PartitionId, watermark: EventTime) -> Option<KeyId> {
        let entries = self.0.get_mut(partition)?;
        let (deadline, _) = entries.first()?;
        if *deadline > watermark {
            return None;
        }
        entries.pop_first().map(|(_, key_id)| key_id)
    }
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
