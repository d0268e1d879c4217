//! The score of a series, row by row.

use super::incident::{ALERT_DECADES, Incidents};
use super::ladder::Ladder;
use super::surprise::Surprise;
use super::{Prediction, SeasonalCount};

/// Part of the mean level added to expectations: see [`Ladder::push`].
const FLOOR: f64 = 0.1;
/// Larger values are taken as this large, so that sums stay finite.
const LARGEST: f64 = 1e60;

/// What the model says of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredRow {
    /// From 0, usual, to 1: 0.5 where incidents as rare as this come once in 500 rows.
    pub score: f64,
    pub expected: f64,
    /// 99 of 100 usual rows lie from here to `upper`.
    pub lower: f64,
    pub upper: f64,
}

/// Scores one series of counts (or other amounts), a row at a time.
#[derive(Clone, Debug, Default)]
pub struct SeriesScorer {
    season: SeasonalCount,
    ladder: Ladder,
    surprise: Surprise,
    incidents: Incidents,
    rows: f64,
    mean: f64,
}

impl SeriesScorer {
    /// Scores a row and learns it. `time` in seconds since the epoch; both must be finite.
    pub fn push(&mut self, time: f64, value: f64) -> ScoredRow {
        let value = value.clamp(-LARGEST, LARGEST);
        let prediction = if self.rows == 0.0 {
            Prediction::new(value, value.abs())
        } else {
            self.season.predict(time)
        };
        self.rows += 1.0;
        self.mean += (value.abs() - self.mean) / self.rows;
        let floor = FLOOR * self.mean + f64::MIN_POSITIVE;
        let residuals = self.ladder.push(value, prediction.mean(), floor);
        let decades = self.incidents.push(self.surprise.push(residuals));
        self.season.learn(time, value);
        let (lower, upper) = prediction.interval();
        ScoredRow {
            score: decades / (decades + ALERT_DECADES),
            expected: prediction.mean(),
            lower,
            upper,
        }
    }
}
