//! The score of a series, row by row.

use super::incident::{ALERT_DECADES, Incidents};
use super::ladder::Ladder;
use super::surprise::Surprise;
use super::{Prediction, SeasonalCount};

/// Part of the mean level added to expectations: see [`Ladder::push`].
const FLOOR: f64 = 0.3;
/// Larger values are taken as this large, so that sums and single-precision means stay finite.
const LARGEST: f64 = 1e30;

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STEP: f64 = 300.0;
    const DAY_ROWS: usize = 288;

    /// A daily wave with a deterministic ripple: five-minute counts for `days`.
    fn wave(days: usize) -> Vec<f64> {
        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as f64 / f64::from(1_u32 << 31) - 0.5
        };
        let row = |i: usize| (i as f64 / DAY_ROWS as f64 * std::f64::consts::TAU).sin();
        (0..days * DAY_ROWS).map(|i| (50.0 + 40.0 * row(i) + 20.0 * noise()).round()).collect()
    }

    fn score(values: &[f64]) -> Vec<ScoredRow> {
        let mut scorer = SeriesScorer::default();
        let rows = values.iter().enumerate();
        rows.map(|(row, &value)| scorer.push(row as f64 * STEP, value)).collect()
    }

    fn highest(rows: &[ScoredRow]) -> f64 {
        rows.iter().map(|row| row.score).fold(0.0, f64::max)
    }

    /// Where the alert level is first reached from `start` on.
    fn first_alert(rows: &[ScoredRow], start: usize) -> Option<usize> {
        (start..rows.len()).find(|&row| rows[row].score >= 0.5)
    }

    #[test]
    fn a_spike_is_told_at_once_and_only_once() {
        let mut values = wave(21);
        let start = 20 * DAY_ROWS + 30;
        values[start..start + 12].fill(600.0);
        let rows = score(&values);
        assert_eq!(first_alert(&rows, start), Some(start));
        let again = rows[start + 1..start + 24].iter().filter(|row| row.score >= 0.5).count();
        assert!(again <= 1, "{again} rows repeat the alert");
    }

    #[test]
    fn the_daily_peak_is_no_news_but_the_same_count_at_night_is() {
        let mut values = wave(21);
        let night = 20 * DAY_ROWS + DAY_ROWS * 3 / 4;
        values[night..night + 6].fill(95.0);
        let rows = score(&values);
        let alert = first_alert(&rows, night);
        assert!(alert.is_some_and(|row| row < night + 6), "{alert:?}");
        let noon = 19 * DAY_ROWS + DAY_ROWS / 4;
        assert!(highest(&rows[noon - 20..noon + 20]) < 0.5);
    }

    #[test]
    fn silence_where_traffic_is_usual_is_told() {
        let mut values = wave(21);
        let start = 20 * DAY_ROWS + 60;
        values[start..start + 24].fill(0.0);
        let alert = first_alert(&score(&values), start);
        assert!(alert.is_some_and(|row| row < start + 24), "{alert:?}");
    }

    #[test]
    fn a_lasting_rise_too_small_for_one_row_is_told() {
        let mut values = wave(28);
        let start = 25 * DAY_ROWS;
        values[start..].iter_mut().for_each(|value| *value = (*value * 1.6).round());
        let alert = first_alert(&score(&values), start);
        assert!(alert.is_some_and(|row| row < start + DAY_ROWS), "{alert:?}");
    }

    #[test]
    fn ordinary_traffic_alerts_about_as_seldom_as_promised() {
        let rows = score(&wave(56));
        let alerts = rows.iter().filter(|row| row.score >= 0.5).count();
        // Once in 500 rows by the calibration, and here by twice that at most.
        assert!(alerts <= 2 * rows.len() / 500, "{alerts} alerts in {} rows", rows.len());
    }

    #[test]
    fn the_expectation_follows_the_hour_and_the_interval_holds_it() {
        let rows = score(&wave(21));
        let day = &rows[20 * DAY_ROWS..];
        assert!(day[DAY_ROWS / 4].expected > 80.0 && day[DAY_ROWS * 3 / 4].expected < 20.0);
        assert!(day.iter().all(|row| row.lower <= row.expected && row.expected <= row.upper));
    }

    #[test]
    fn counting_in_other_units_changes_no_score() {
        let values = wave(7);
        // A power of two, so that rounding is the same.
        let scaled: Vec<f64> = values.iter().map(|value| value * 1024.0).collect();
        for (one, other) in score(&values).iter().zip(score(&scaled)) {
            assert!((one.score - other.score).abs() < 1e-3, "{one:?} {other:?}");
        }
    }

    proptest! {
        #[test]
        fn any_finite_rows_give_finite_figures_and_a_score_in_range(
            rows in prop::collection::vec((prop::num::f64::NORMAL, prop::num::f64::ANY), 1..400)
        ) {
            let mut scorer = SeriesScorer::default();
            for (time, value) in rows.into_iter().filter(|(_, value)| value.is_finite()) {
                let row = scorer.push(time, value);
                prop_assert!((0.0..=1.0).contains(&row.score), "{row:?}");
                prop_assert!([row.expected, row.lower, row.upper].iter().all(|x| x.is_finite()));
            }
        }

        #[test]
        fn rows_that_come_later_change_nothing(
            values in prop::collection::vec(0.0..1e4_f64, 150..400),
            steps in prop::collection::vec(0.0..1e5_f64, 400),
            cut in 1_usize..150,
        ) {
            let mut time = 0.0;
            let times: Vec<f64> = steps.iter().map(|step| { time += step; time }).collect();
            let score = |rows: usize| -> Vec<ScoredRow> {
                let mut scorer = SeriesScorer::default();
                (0..rows).map(|row| scorer.push(times[row], values[row])).collect()
            };
            prop_assert_eq!(&score(values.len())[..values.len() - cut], score(values.len() - cut));
        }
    }
}
