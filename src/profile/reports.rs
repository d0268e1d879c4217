//! Remembers what alerts have reported of a key, so that a dismissal makes nothing else ordinary.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::client::Trait;
use crate::event::EventTime;

/// Reports that are kept of one key: the latest.
const MOST: usize = 64;
/// A report of the same item within this time adds nothing.
const SAME_SECONDS: f64 = 60.0;

/// The set that a reported item belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ItemKind {
    Agent,
    Fingerprint,
    Route,
}

impl From<Trait> for ItemKind {
    fn from(which: Trait) -> Self {
        match which {
            Trait::Agent => Self::Agent,
            Trait::Fingerprint => Self::Fingerprint,
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Report {
    time: EventTime,
    kind: ItemKind,
    id: u32,
}

/// The programs and routes of one key that were reported. Most keys have none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reports(Vec<Report>);

impl Reports {
    /// Records that a request with this item was suspicious at `time`.
    pub fn note(&mut self, kind: ItemKind, id: u32, time: EventTime) {
        let is_same = |it: &Report| {
            it.kind == kind && it.id == id && time.seconds_since(it.time).abs() < SAME_SECONDS
        };
        if self.0.iter().any(is_same) {
            return;
        }
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push(Report { time, kind, id });
    }

    /// The items of this kind that were reported in `span`.
    pub fn items(
        &self,
        kind: ItemKind,
        span: &RangeInclusive<EventTime>,
    ) -> impl Iterator<Item = u32> {
        let is_meant = move |it: &&Report| it.kind == kind && span.contains(&it.time);
        self.0.iter().filter(is_meant).map(|it| it.id)
    }

    /// Forgets the reports since `since`.
    pub fn forget_since(&mut self, since: EventTime) {
        self.0.retain(|it| it.time < since);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_belongs_to_the_incident_in_whose_time_it_was_made() {
        let at = EventTime::from_seconds;
        let mut reports = Reports::default();
        for (second, id) in [(100, 1), (110, 1), (200, 2), (5_000, 3)] {
            reports.note(ItemKind::Route, id, at(second));
        }
        reports.note(ItemKind::Agent, 4, at(150));
        let items = |kind, span| reports.items(kind, &span).collect::<Vec<_>>();
        assert_eq!(items(ItemKind::Route, at(100)..=at(200)), [1, 2]);
        assert_eq!(items(ItemKind::Agent, at(100)..=at(200)), [4]);
        assert_eq!(items(ItemKind::Route, at(201)..=at(4_999)), [0; 0]);
    }

    #[test]
    fn only_the_latest_reports_are_kept() {
        let at = EventTime::from_seconds;
        let mut reports = Reports::default();
        (0..200).for_each(|id| reports.note(ItemKind::Route, id, at(i64::from(id))));
        let kept: Vec<u32> = reports.items(ItemKind::Route, &(at(0)..=at(200))).collect();
        assert_eq!((kept.len(), kept.last()), (MOST, Some(&199)));
    }
}
