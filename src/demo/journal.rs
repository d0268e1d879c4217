//! Records the alerts that the demo saw and compares them with its planned attacks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};

use super::screen::seconds_after;
use super::source::LiveSince;
use crate::alert::{Alert, AlertType};
use crate::backtest::labels::Label;
use crate::event::EventTime;

/// An alert and the wall-clock time at which it appeared.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    pub(super) alert: Arc<Alert>,
    pub(super) at: EventTime,
}

/// The alerts seen so far, and the attacks. Clones share them.
#[derive(Clone)]
pub(super) struct Journal(Arc<Contents>);

struct Contents {
    planned: Vec<Label>,
    present: EventTime,
    live_since: LiveSince,
    labels: OnceLock<Vec<Label>>,
    sightings: Mutex<Vec<Sighting>>,
}

/// How many attacks of one kind were found, and how fast.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) attacks: usize,
    /// Seconds from an attack's first request to the alert, ascending; one entry for each attack
    /// found.
    pub(super) seconds: Vec<f64>,
    pub(super) detectors: BTreeSet<&'static str>,
}

impl Journal {
    /// `planned` holds the attacks as if the live part began at `present`.
    pub(super) fn new(planned: &[Label], present: EventTime, live_since: &LiveSince) -> Self {
        Self(Arc::new(Contents {
            planned: planned.to_vec(),
            present,
            live_since: Arc::clone(live_since),
            labels: OnceLock::new(),
            sightings: Mutex::default(),
        }))
    }

    pub(super) fn note(&self, alert: &Arc<Alert>) {
        let sighting = Sighting { alert: Arc::clone(alert), at: EventTime::now() };
        self.lock().push(sighting);
    }

    /// The attack that `alert` is about.
    pub(super) fn attack_behind(&self, alert: &Alert) -> Option<&Label> {
        self.labels().iter().find(|label| label.covers(alert))
    }

    /// All alerts so far that brought news. The end of an incident is not news.
    pub(super) fn sightings(&self) -> Vec<Sighting> {
        let is_news = |sighting: &&Sighting| sighting.alert.alert_type != AlertType::Resolved;
        self.lock().iter().filter(is_news).cloned().collect()
    }

    /// Counts the attacks that had begun at `now`, by kind. An attack is found by any alert on its
    /// key while it lasts, whichever detector raised the alert.
    pub(super) fn found(&self, now: EventTime) -> BTreeMap<&str, Found> {
        let sightings = self.sightings();
        let mut kinds: BTreeMap<&str, Found> = BTreeMap::new();
        for label in self.labels().iter().filter(|label| label.start <= now) {
            let found = kinds.entry(&label.kind).or_default();
            found.attacks += 1;
            let first = sightings.iter().find(|sighting| label.covers(&sighting.alert));
            if let Some(Sighting { alert, at }) = first {
                found.seconds.push(seconds_after(*at, label.start));
                found.detectors.extend(alert.detectors.first().map(|first| first.as_str()));
            }
        }
        kinds.values_mut().for_each(|found| found.seconds.sort_by(f64::total_cmp));
        kinds
    }

    /// Counts the incidents on keys that nobody attacked.
    pub(super) fn false_incidents(&self) -> usize {
        let sightings = self.sightings();
        let unattacked = sightings.iter().filter(|s| self.attack_behind(&s.alert).is_none());
        unattacked.map(|sighting| &sighting.alert.id).collect::<BTreeSet<_>>().len()
    }

    /// The attacks, at their real times.
    fn labels(&self) -> &[Label] {
        let Some(since) = self.0.live_since.get() else { return &[] };
        self.0.labels.get_or_init(|| {
            let delay = since.seconds_since(self.0.present);
            let moved = |label: &Label| Label {
                start: label.start.plus_seconds(delay),
                end: label.end.plus_seconds(delay),
                ..label.clone()
            };
            self.0.planned.iter().map(moved).collect()
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Sighting>> {
        self.0.sightings.lock()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::deliver::fixtures;

    fn journal(alert: &Alert, key: &str) -> Journal {
        let present = EventTime::from_seconds(1_000);
        let delay = alert.detected_event_time.seconds_since(present) - 5.0;
        let label = Label {
            key_id: Some(key.into()),
            kind: "takeover".into(),
            start: present,
            end: present.plus_seconds(60.0),
            detectors: vec!["geo.impossible_travel".into()],
        };
        let since = LiveSince::default();
        since.set(present.plus_seconds(delay)).unwrap();
        Journal::new(&[label], present, &since)
    }

    #[test]
    fn an_attack_is_found_by_an_alert_on_its_key_after_the_move_to_the_present() {
        let alert = Arc::new(fixtures::alert("impossible_travel"));
        let journal = journal(&alert, alert.key_id.as_ref().unwrap());
        assert_eq!(journal.found(EventTime::now())["takeover"].seconds, [0.0; 0]);
        journal.note(&alert);
        let found = journal.found(EventTime::now());
        assert_eq!((found["takeover"].attacks, found["takeover"].seconds.len()), (1, 1));
        assert!(found["takeover"].seconds[0] >= 5.0);
        assert_eq!(journal.false_incidents(), 0);
    }

    #[test]
    fn an_alert_on_another_key_is_false_and_finds_nothing() {
        let alert = Arc::new(fixtures::alert("impossible_travel"));
        let journal = journal(&alert, "another");
        journal.note(&alert);
        journal.note(&alert);
        assert!(journal.found(EventTime::now())["takeover"].seconds.is_empty());
        assert_eq!(journal.false_incidents(), 1);
    }

    #[test]
    fn attacks_still_to_come_do_not_count() {
        let alert = fixtures::alert("impossible_travel");
        let journal = journal(&alert, "another");
        assert!(journal.found(EventTime::from_seconds(0)).is_empty());
    }
}
