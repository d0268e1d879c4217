//! Matches alerts with labels: which alerts are true, and when each attack was found.

use std::collections::HashMap;

use crate::alert::{Alert, AlertType, Severity};
use crate::event::{EventTime, KeyId};

use super::labels::Label;

/// An alert and whether any attack explains it.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    pub alert: &'a Alert,
    pub is_true: bool,
}

/// The result of matching alerts with labels. The closing of an incident brings no news and is left
/// out.
pub struct Matches<'a> {
    pub alerts: Vec<Judged<'a>>,
    /// For each label and each severity of [`Severity::ALL`]: the event time of the first alert of
    /// at least that severity that names the attack.
    found: Vec<[Option<EventTime>; Severity::ALL.len()]>,
}

impl<'a> Matches<'a> {
    pub fn new(alerts: &'a [Alert], labels: &[Label]) -> Self {
        let mut by_key: HashMap<Option<&KeyId>, Vec<usize>> = HashMap::new();
        for (index, label) in labels.iter().enumerate() {
            by_key.entry(label.key_id.as_ref()).or_default().push(index);
        }
        let mut matches =
            Self { alerts: Vec::new(), found: vec![Default::default(); labels.len()] };
        for alert in alerts.iter().filter(|alert| alert.alert_type != AlertType::Resolved) {
            let keys = alert.affected_keys.iter().map(Some).chain([alert.key_id.as_ref()]);
            let candidates = keys.filter_map(|key| by_key.get(&key)).flatten();
            let mut is_true = false;
            for &index in candidates.filter(|index| labels[**index].covers(alert)) {
                is_true = true;
                if labels[index].is_named_by(alert) {
                    matches.note(index, alert);
                }
            }
            matches.alerts.push(Judged { alert, is_true });
        }
        matches
    }

    fn note(&mut self, label: usize, alert: &Alert) {
        let time = alert.detected_event_time;
        for (first, severity) in self.found[label].iter_mut().zip(Severity::ALL) {
            if *severity <= alert.severity {
                *first = Some(first.map_or(time, |first| first.min(time)));
            }
        }
    }

    /// Event time of the first alert of at least this severity that names the attack.
    pub fn found(&self, label: usize, severity: Severity) -> Option<EventTime> {
        let place = Severity::ALL.iter().position(|s| *s == severity)?;
        self.found[label][place]
    }

    pub fn at_least(&self, severity: Severity) -> impl Iterator<Item = Judged<'a>> {
        self.alerts.iter().copied().filter(move |judged| judged.alert.severity >= severity)
    }
}
