//! Scores a series row by row, by the distance of each row from its season, from the last day and
//! from the last hour.

use super::season::Seasons;
use super::sliding::Sliding;
use super::tail::{heavy_tail, pooled};
use super::{DAY, HOUR};

/// Values are clamped to this absolute value, so that their squares stay finite.
const LARGEST: f64 = 1e15;
/// Rows before the first that can be surprising, and the fewest rows in a window.
const LEAST_ROWS: f64 = 24.0;
const WEEK: f64 = 7.0 * DAY as f64;
/// Largest weight of the last hour as a reference; it applies to rows much finer than an hour. The
/// season and the last day have weight one.
const HOUR_WEIGHT: f64 = 0.25;
/// Rows are winsorized at this many deviations from their season before the model learns them.
const WINSORIZED_AT: f64 = 4.0;
/// Least deviation, as a share of the mean size of values. It keeps the scale of a constant series
/// above zero.
const FLOOR: f64 = 1e-3;
/// Addition to the deviation at which rows are winsorized, as a share of the mean size of values.
const TEACHING_FLOOR: f64 = 0.02;
/// Half-life of the mean size of values, in seconds.
const SIZE_HALF_LIFE: f64 = 14.0 * DAY as f64;
/// Surprise, in nats, at which the score is one half.
const ALERT_EVIDENCE: f64 = 2.4;
/// Quantile 0.995 of the standard normal distribution, for an interval of 99 % of usual rows.
const NORMAL_QUANTILE: f64 = 2.5758;
/// A gap between rows counts as at most this many usual steps.
const LONGEST_GAP: f64 = 10.0;
/// Weight of one row in the usual step.
const STEP_WEIGHT: f64 = 0.05;

/// Score and forecast of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredRow {
    /// From 0 (usual) to 1. From 0.5 on, the row is an alert.
    pub score: f64,
    pub expected: f64,
    /// Lower bound of an interval that contains 99 % of usual rows.
    pub lower: f64,
    /// Upper bound of this interval.
    pub upper: f64,
}

/// Scores one series of counts or other amounts, one row at a time, in one causal pass.
#[derive(Clone, Debug, Default)]
pub struct SeriesScorer {
    seasons: Seasons,
    clock: Clock,
    size: Decayed,
    lowest: f64,
    /// Squared deviations from the season, winsorized.
    credible: Decayed,
    hour: Decayed,
    day: Sliding,
    off_season: Sliding,
    off_hour: Sliding,
}

impl SeriesScorer {
    /// Scores a row, then learns it. `time` is in seconds since the epoch. Both numbers must be
    /// finite.
    pub fn push(&mut self, time: f64, value: f64) -> ScoredRow {
        let value = value.clamp(-LARGEST, LARGEST);
        if self.clock.rows == 0.0 {
            self.seasons = Seasons::starting_at(value as f32);
            self.hour.add(value, 0.0);
            self.lowest = value;
        }
        self.clock.advance(time);
        let seconds = self.clock.time as i64;
        let expected = self.seasons.smooth_mean(seconds);
        let scored = self.score(value, expected);
        self.learn(seconds, value, expected);
        scored
    }

    fn score(&self, value: f64, expected: f64) -> ScoredRow {
        let (day, week) = (self.clock.position(DAY as f64), self.clock.position(WEEK));
        let floor = FLOOR * self.size.mean() + f64::MIN_POSITIVE;
        let last_day = self.day.at(day);
        let off_season = f64::from(self.off_season.at(week).size()) + floor;
        let off_hour = f64::from(self.off_hour.at(week).size()) + floor;
        let off_day = f64::from(last_day.deviation()) + floor;
        let hour_weight = HOUR_WEIGHT * (1.0 - self.clock.step() / HOUR as f64).max(0.0);
        let evidence = pooled([
            (heavy_tail((value - f64::from(last_day.mean)) / off_day), 1.0),
            (heavy_tail((value - expected) / off_season), 1.0),
            (heavy_tail((value - self.hour.mean()) / off_hour), hour_weight),
        ]);
        let surprise = if self.clock.rows <= LEAST_ROWS { 0.0 } else { -evidence.ln() };
        let reach = NORMAL_QUANTILE * off_season;
        // The lower bound of a series that was never negative is not negative.
        let bound = if self.lowest >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
        ScoredRow {
            score: surprise / (surprise + ALERT_EVIDENCE),
            expected,
            lower: (expected - reach).max(bound.min(expected)),
            upper: expected + reach,
        }
    }

    fn learn(&mut self, seconds: i64, value: f64, expected: f64) {
        let (day, week) = (self.clock.position(DAY as f64), self.clock.position(WEEK));
        let off = value - expected;
        self.day.add(day, value as f32, 1.0);
        self.off_season.add(week, off as f32, 1.0);
        self.off_hour.add(week, (value - self.hour.mean()) as f32, 1.0);
        let step = self.clock.step();
        let is_young = self.clock.rows < LEAST_ROWS;
        let deviation = self.credible.mean().sqrt() + TEACHING_FLOOR * self.size.mean();
        let reach = if is_young { f64::INFINITY } else { WINSORIZED_AT * deviation };
        let credible = off.clamp(-reach, reach);
        self.credible.add(credible * credible, (-step / (3.0 * DAY as f64)).exp2());
        self.seasons.learn_row(seconds, step, (expected + credible) as f32);
        self.hour.add(value, (-step / HOUR as f64).exp2());
        self.size.add(value.abs(), (-step / SIZE_HALF_LIFE).exp2());
        self.lowest = self.lowest.min(value);
    }
}

/// An exponentially decayed mean.
#[derive(Clone, Copy, Debug, Default)]
struct Decayed {
    sum: f64,
    weight: f64,
}

impl Decayed {
    fn add(&mut self, value: f64, keep: f64) {
        self.sum = self.sum * keep + value;
        self.weight = self.weight * keep + 1.0;
    }

    fn mean(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }
}

/// The time of the present row and the usual step between rows, in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    rows: f64,
    time: f64,
    usual: f64,
}

impl Clock {
    /// Moves to the time of the next row. An earlier time counts as the same time.
    fn advance(&mut self, time: f64) {
        let elapsed = if self.rows == 0.0 { 0.0 } else { (time - self.time).max(0.0) };
        self.time = if self.rows == 0.0 { time } else { self.time.max(time) };
        if self.usual == 0.0 {
            self.usual = elapsed;
        } else {
            let gap = elapsed.min(LONGEST_GAP * self.usual);
            self.usual += STEP_WEIGHT * (gap - self.usual);
        }
        self.rows += 1.0;
    }

    fn step(&self) -> f64 {
        self.usual.clamp(1.0, WEEK)
    }

    /// The time divided by a window length: `length` seconds, doubled until the window spans at
    /// least [`LEAST_ROWS`] rows. Because it only doubles, small changes of the learned step do not
    /// move the blocks.
    fn position(&self, length: f64) -> f64 {
        let least = LEAST_ROWS * self.step() / length;
        let doublings = if least > 1.0 { (least.log2() - 0.05).ceil().max(0.0) } else { 0.0 };
        self.time / (length * doublings.exp2())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STEP: f64 = 300.0;
    const DAY_ROWS: usize = 288;

    /// A daily wave around `level` with a ripple whose periods are much shorter than a day.
    fn wave(days: usize, level: f64) -> Vec<f64> {
        let row = |row: usize| {
            let day = (row as f64 / DAY_ROWS as f64 * std::f64::consts::TAU).sin();
            let ripple = (row as f64 * 1.7).sin() + (row as f64 * 0.37).cos();
            level + 40.0 * day + 4.0 * ripple
        };
        (0..days * DAY_ROWS).map(row).collect()
    }

    fn score(values: &[f64]) -> Vec<f64> {
        let mut scorer = SeriesScorer::default();
        let rows = values.iter().enumerate();
        rows.map(|(row, &value)| scorer.push(row as f64 * STEP, value).score).collect()
    }

    fn highest(scores: &[f64]) -> f64 {
        scores.iter().copied().fold(0.0, f64::max)
    }

    #[test]
    fn a_spike_scores_high_among_counts_and_among_negative_amounts() {
        for level in [50.0, -20.0] {
            let mut values = wave(21, level);
            let at = 20 * DAY_ROWS + 30;
            values[at] = level + 600.0;
            let scores = score(&values);
            let usual = highest(&scores[14 * DAY_ROWS..at]);
            assert!(scores[at] > 0.5 && scores[at] > 1.5 * usual, "{} {usual}", scores[at]);
        }
    }

    #[test]
    fn each_row_of_an_event_scores_high() {
        let mut values = wave(21, 50.0);
        let at = 20 * DAY_ROWS + 30;
        values[at..at + 3].fill(650.0);
        let scores = score(&values);
        let usual = highest(&scores[14 * DAY_ROWS..at]);
        assert!(scores[at..at + 3].iter().all(|&score| score > 1.3 * usual));
    }

    #[test]
    fn the_daily_peak_scores_lower_than_the_same_value_at_night() {
        let mut values = wave(21, 50.0);
        let (noon, night) = (20 * DAY_ROWS + DAY_ROWS / 4, 20 * DAY_ROWS + DAY_ROWS * 3 / 4);
        let peak = values[noon];
        values[night] = peak;
        let scores = score(&values);
        assert!(scores[night] > 1.3 * scores[noon], "{} {}", scores[night], scores[noon]);
    }

    #[test]
    fn a_change_in_a_constant_series_scores_high() {
        let mut values = vec![0.0; 5 * DAY_ROWS];
        values[4 * DAY_ROWS] = 1.0;
        assert!(score(&values)[4 * DAY_ROWS] > 0.5);
    }

    proptest! {
        #[test]
        fn any_series_gets_scores_within_bounds(
            rows in prop::collection::vec((any::<i32>(), prop::num::f64::NORMAL), 1..80)
        ) {
            let mut scorer = SeriesScorer::default();
            for (time, value) in rows {
                let row = scorer.push(f64::from(time), value);
                prop_assert!((0.0..=1.0).contains(&row.score), "{row:?}");
                prop_assert!(row.lower <= row.expected && row.expected <= row.upper, "{row:?}");
            }
        }

        #[test]
        fn a_score_does_not_depend_on_the_unit(factor in 0.001f64..1_000.0) {
            let values = wave(3, 50.0);
            let scaled: Vec<f64> = values.iter().map(|value| value * factor).collect();
            for (one, other) in score(&values).into_iter().zip(score(&scaled)) {
                prop_assert!((one - other).abs() < 0.02, "{one} {other}");
            }
        }
    }
}
