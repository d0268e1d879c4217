//! Records the worst scores of a key in the current hour.

use serde::{Deserialize, Serialize};

use crate::event::EventTime;

/// Families of detectors whose scores are kept.
pub const SCORED_FAMILIES: usize = 6;

/// Worst scores by family, in the order of [`crate::detect::calibration::MEASURED`]. A score is
/// the surprise `-10 log10(p)` as an integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorstScores(pub [u8; SCORED_FAMILIES]);

impl WorstScores {
    /// Takes the maximum of both scores for each family.
    pub fn raise_to(&mut self, other: Self) {
        for (worst, score) in self.0.iter_mut().zip(other.0) {
            *worst = (*worst).max(score);
        }
    }
}

/// The worst scores of the current hour.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct HourScores {
    hour: i32,
    worst: WorstScores,
    is_excluded: bool,
}

impl HourScores {
    pub fn new(time: EventTime) -> Self {
        Self { hour: hour_of(time), worst: WorstScores::default(), is_excluded: false }
    }

    /// Ends an hour before `time`. Returns its scores, or `None` if no hour ended or if it was
    /// excluded.
    pub fn end_before(&mut self, time: EventTime) -> Option<WorstScores> {
        if hour_of(time) <= self.hour {
            return None;
        }
        let ended = std::mem::replace(self, Self::new(time));
        (!ended.is_excluded).then_some(ended.worst)
    }

    /// Excludes the current hour, because the key is suspected.
    pub fn exclude_current(&mut self) {
        self.is_excluded = true;
    }

    /// Adds the scores of one event to the current hour.
    pub fn add(&mut self, scores: WorstScores) {
        self.worst.raise_to(scores);
    }
}

fn hour_of(time: EventTime) -> i32 {
    i32::try_from(time.as_micros().div_euclid(3_600_000_000)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_ends_once_with_its_worst_scores() {
        let at = |minute: i64| EventTime::from_seconds(minute * 60);
        let mut scores = HourScores::new(at(0));
        scores.add(WorstScores([3, 0, 9, 0, 0, 0]));
        scores.add(WorstScores([1, 2, 0, 0, 0, 4]));
        assert_eq!(scores.end_before(at(59)), None);
        assert_eq!(scores.end_before(at(60)), Some(WorstScores([3, 2, 9, 0, 0, 4])));
        assert_eq!(scores.end_before(at(61)), None);
        assert_eq!(scores.end_before(at(500)), Some(WorstScores::default()));
        scores.exclude_current();
        assert_eq!(scores.end_before(at(600)), None);
        assert_eq!(scores.end_before(at(700)), Some(WorstScores::default()));
    }
}
