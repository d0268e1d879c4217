//! Signals to incidents to alerts: one open incident a key, a risk, a confidence, an action.

mod incident;
pub mod policy;
pub mod risk;

use std::collections::{BTreeSet, HashMap};

use crate::alert::{Alert, AlertPosition, AlertType, DetectorId};
use crate::config::PolicyConfig;
use crate::detect::{MAX_SURPRISE, Signal};
use crate::event::{EnrichedEvent, EventTime, KeyId, PartitionId};

use self::incident::Incident;
use self::policy::Policy;

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

/// All open incidents.
#[derive(Debug)]
pub struct Decider {
    policy: Policy,
    open: HashMap<KeyId, Incident>,
    /// Open incidents by the event time at which they close if nothing more happens.
    closing: BTreeSet<(EventTime, KeyId)>,
}

impl Decider {
    pub fn new(config: &PolicyConfig) -> Self {
        Self { policy: Policy::new(config), open: HashMap::new(), closing: BTreeSet::new() }
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
    pub fn keep_open(&mut self, key_id: &KeyId, enriched: &EnrichedEvent) {
        if let Some(incident) = self.open.get_mut(key_id) {
            let before = incident.closes_at(self.policy.quiet_close_seconds());
            incident.touch(enriched);
            let after = incident.closes_at(self.policy.quiet_close_seconds());
            if before != after {
                self.closing.remove(&(before, key_id.clone()));
                self.closing.insert((after, key_id.clone()));
            }
        }
    }

    /// Takes one event's signals; returns the alerts they cause.
    pub fn consider(
        &mut self,
        enriched: &EnrichedEvent,
        signals: Vec<Signal>,
        moment: Moment<'_>,
    ) -> Vec<Alert> {
        if signals.is_empty() {
            return Vec::new();
        }
        let key_id = &enriched.event.key_id;
        let is_new = !self.open.contains_key(key_id);
        let incident = self
            .open
            .entry(key_id.clone())
            .or_insert_with(|| Incident::open(enriched, signals[0].detector, moment.partition));
        let before = incident.closes_at(self.policy.quiet_close_seconds());
        self.closing.remove(&(before, key_id.clone()));
        incident.add(enriched, signals);
        let after = incident.closes_at(self.policy.quiet_close_seconds());
        self.closing.insert((after, key_id.clone()));

        let alert_type = if is_new { AlertType::Opened } else { AlertType::Updated };
        let verdict = self.policy.judge(incident);
        let mut alerts = vec![incident.revise(alert_type, &verdict, &self.policy, moment)];
        if self.policy.requests_revocation(incident, &verdict, enriched.event.time) {
            incident.mark_revocation_requested();
            alerts.push(incident.revise(
                AlertType::RevocationRequested,
                &verdict,
                &self.policy,
                moment,
            ));
        }
        alerts
    }

    /// Closes the incidents that have been quiet long enough at `watermark`.
    pub fn close_quiet(&mut self, watermark: EventTime, moment: Moment<'_>) -> Vec<Alert> {
        let mut alerts = Vec::new();
        while let Some((deadline, key_id)) = self.closing.first() {
            if *deadline > watermark {
                break;
            }
            let key_id = key_id.clone();
            self.closing.pop_first();
            if let Some(mut incident) = self.open.remove(&key_id) {
                let verdict = self.policy.judge(&incident);
                alerts.push(incident.revise(AlertType::Resolved, &verdict, &self.policy, moment));
            }
        }
        alerts
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
