//! Holds the open incidents of a shard, with the times at which they close.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::event::{EventTime, KeyId, PartitionId};

use super::incident::Incident;
use super::subject::Subject;

/// Open incidents by subject. Those of keys have a map of their own, because every event looks one
/// up, and this must not require a `Subject`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct OpenIncidents {
    keys: HashMap<KeyId, Incident>,
    others: BTreeMap<Subject, Incident>,
    /// Not saved, because it follows from the incidents and the policy.
    #[serde(skip)]
    closing: Closing,
}

impl OpenIncidents {
    /// Computes again when the incidents close, after they were read from a checkpoint.
    pub fn set_closing_times(&mut self, quiet_seconds: f64) {
        self.closing = Closing::default();
        for incident in self.keys.values().chain(self.others.values()) {
            self.closing.insert(incident, quiet_seconds);
        }
    }

    pub fn of_key(&self, key_id: &KeyId) -> Option<&Incident> {
        self.keys.get(key_id)
    }

    pub fn get(&self, subject: &Subject) -> Option<&Incident> {
        match subject {
            Subject::Key(key_id) => self.keys.get(key_id),
            other => self.others.get(other),
        }
    }

    /// Changes the subject's incident, or `new` if there is none. `None` when there is neither.
    pub fn change<T>(
        &mut self,
        subject: &Subject,
        new: Option<Incident>,
        quiet_seconds: f64,
        change: impl FnOnce(&mut Incident) -> T,
    ) -> Option<T> {
        let mut incident = self.remove(subject, quiet_seconds).or(new)?;
        let result = change(&mut incident);
        self.closing.insert(&incident, quiet_seconds);
        self.insert(incident);
        Some(result)
    }

    fn insert(&mut self, incident: Incident) {
        match incident.subject() {
            Subject::Key(key_id) => self.keys.insert(key_id.clone(), incident),
            other => self.others.insert(other.clone(), incident),
        };
    }

    pub fn remove(&mut self, subject: &Subject, quiet_seconds: f64) -> Option<Incident> {
        let incident = match subject {
            Subject::Key(key_id) => self.keys.remove(key_id),
            other => self.others.remove(other),
        }?;
        self.closing.remove(&incident, quiet_seconds);
        Some(incident)
    }

    /// The next subject of `partition` whose incident closes at `watermark` or before.
    pub fn next_due(&self, partition: &PartitionId, watermark: EventTime) -> Option<Subject> {
        self.closing.next_due(partition, watermark)
    }
}

/// Subjects by partition and by the event time at which their incident closes if nothing more
/// happens.
#[derive(Debug, Default)]
struct Closing(HashMap<PartitionId, BTreeSet<(EventTime, Subject)>>);

impl Closing {
    fn insert(&mut self, incident: &Incident, quiet_seconds: f64) {
        let entry = (incident.closes_at(quiet_seconds), incident.subject().clone());
        self.0.entry(incident.partition().clone()).or_default().insert(entry);
    }

    fn remove(&mut self, incident: &Incident, quiet_seconds: f64) {
        if let Some(entries) = self.0.get_mut(incident.partition()) {
            entries.remove(&(incident.closes_at(quiet_seconds), incident.subject().clone()));
        }
    }

    fn next_due(&self, partition: &PartitionId, watermark: EventTime) -> Option<Subject> {
        let (deadline, subject) = self.0.get(partition)?.first()?;
        (*deadline <= watermark).then(|| subject.clone())
    }
}
