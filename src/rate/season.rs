//! What is usual at this hour of the day and this hour of the week.

use super::Prediction;

const HOURS_A_DAY: usize = 24;
const HOURS_A_WEEK: usize = 168;
/// Visits of an hour at which its own mean weighs as much as the mean it borrows:
/// the hour of the week borrows from the hour of the day, that from the whole.
const PRIOR_VISITS: f64 = 3.0;
/// Visits of an hour of the week after which what was learned weighs half.
const HALF_LIFE_WEEKS: f64 = 6.0;
const HALF_LIFE_DAYS: f64 = 10.0;
/// Values further from the expectation than this many standard deviations are
/// learned as if they were this far, so that an attack cannot teach itself usual.
const WINSOR_DEVIATIONS: f64 = 2.0;
/// Rows over which dispersion is learned.
const DISPERSION_ROWS: f64 = 2000.0;
/// Rows learned as they are, before there is a dispersion to judge them by.
const TRUSTED_ROWS: u32 = 20;
/// Part of the overall level that the variance never falls below in quiet hours.
const QUIET_FLOOR: f64 = 0.1;
/// Keeps divisions finite for a series that is zero throughout; far below any count.
const TINY: f64 = 1e-12;

/// A mean with the weight behind it, small since there are 192 a series.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f32,
    weight: f32,
}

impl Mean {
    /// The mean after `prior_weight` observations of `prior`.
    fn shrunk(self, prior: f64, prior_weight: f64) -> f64 {
        (f64::from(self.sum) + prior_weight * prior) / (f64::from(self.weight) + prior_weight)
    }

    fn learn(&mut self, value: f64, weight: f64, keep: f64) {
        self.sum = (f64::from(self.sum) * keep + weight * value) as f32;
        self.weight = (f64::from(self.weight) * keep + weight) as f32;
    }
}

/// The usual count of one series by hour of the day and hour of the week.
///
/// Rows may come at any step, uneven or repeated; the step is learned. Hours are
/// UTC: a fixed offset moves the cells, not the model.
#[derive(Clone, Debug)]
pub struct SeasonalCount {
    day: [Mean; HOURS_A_DAY],
    week: Box<[Mean; HOURS_A_WEEK]>,
    level: Mean64,
    /// Mean of squared residual over expectation, the Fano factor.
    dispersion: f64,
    rows: u32,
    last_time: f64,
    step: f64,
}

/// The overall mean: long sums want the precision.
#[derive(Clone, Copy, Debug, Default)]
struct Mean64 {
    sum: f64,
    weight: f64,
}

/// The two cells a time lies between, with their weights: hours join without a step.
struct Cells {
    hour: i64,
    later: f64,
}

impl Cells {
    fn at(time: f64) -> Self {
        let hour = time / 3600.0 - 0.5;
        Self { hour: hour.floor() as i64, later: hour - hour.floor() }
    }

    fn weighted(&self) -> [(i64, f64); 2] {
        [(self.hour, 1.0 - self.later), (self.hour.saturating_add(1), self.later)]
    }
}

fn day_cell(hour: i64) -> usize {
    hour.rem_euclid(HOURS_A_DAY as i64) as usize
}

fn week_cell(hour: i64) -> usize {
    hour.rem_euclid(HOURS_A_WEEK as i64) as usize
}

impl Default for SeasonalCount {
    fn default() -> Self {
        Self {
            day: [Mean::default(); HOURS_A_DAY],
            week: Box::new([Mean::default(); HOURS_A_WEEK]),
            level: Mean64::default(),
            dispersion: 1.0,
            rows: 0,
            last_time: 0.0,
            step: 0.0,
        }
    }
}

impl SeasonalCount {
    /// What to expect of a row at `time` (seconds since the epoch), before it is learned.
    pub fn predict(&self, time: f64) -> Prediction {
        let mean = self.expected(time);
        Prediction::new(mean, self.dispersion * self.scale(mean))
    }

    /// The overall level, seasons aside.
    pub fn level(&self) -> f64 {
        if self.level.weight > 0.0 { self.level.sum / self.level.weight } else { 0.0 }
    }

    /// Learns a row. Time that goes backwards is taken as standing still.
    pub fn learn(&mut self, time: f64, value: f64) {
        let elapsed = self.advance(time);
        if self.rows == 0 {
            self.level = Mean64 { sum: value, weight: 1.0 };
        }
        let expected = self.expected(time);
        let value = self.winsorised(value, expected);
        self.learn_dispersion(value, expected);
        let keep = 0.5_f64.powf(elapsed / (HALF_LIFE_DAYS * 86_400.0));
        self.level.sum = self.level.sum * keep + value;
        self.level.weight = self.level.weight * keep + 1.0;
        self.learn_cells(time, value);
        self.rows = self.rows.saturating_add(1);
    }

    fn expected(&self, time: f64) -> f64 {
        let prior = PRIOR_VISITS * self.rows_an_hour();
        let mean = |hour| {
            let of_day = self.day[day_cell(hour)].shrunk(self.level(), prior);
            self.week[week_cell(hour)].shrunk(of_day, prior)
        };
        Cells::at(time).weighted().into_iter().map(|(hour, weight)| weight * mean(hour)).sum()
    }

    fn learn_cells(&mut self, time: f64, value: f64) {
        let rows_an_hour = self.rows_an_hour();
        for (hour, weight) in Cells::at(time).weighted() {
            let visits = weight / rows_an_hour / HALF_LIFE_WEEKS;
            self.day[day_cell(hour)].learn(value, weight, 0.5_f64.powf(visits / 7.0));
            self.week[week_cell(hour)].learn(value, weight, 0.5_f64.powf(visits));
        }
    }

    /// The variance a dispersion of one would give.
    fn scale(&self, expected: f64) -> f64 {
        expected.abs().max(QUIET_FLOOR * self.level().abs()) + TINY
    }

    fn winsorised(&self, value: f64, expected: f64) -> f64 {
        if self.rows < TRUSTED_ROWS {
            return value;
        }
        let reach = WINSOR_DEVIATIONS * (self.dispersion * self.scale(expected)).sqrt();
        value.clamp(expected - reach, expected + reach)
    }

    fn learn_dispersion(&mut self, value: f64, expected: f64) {
        let squared = (value - expected).powi(2) / self.scale(expected);
        let rate = 1.0 / (f64::from(self.rows) + 1.0).min(DISPERSION_ROWS);
        self.dispersion += rate * (squared - self.dispersion);
    }

    /// Seconds since the row before; updates the usual step between rows.
    fn advance(&mut self, time: f64) -> f64 {
        let elapsed = if self.rows == 0 { 0.0 } else { (time - self.last_time).max(0.0) };
        self.last_time = if self.rows == 0 { time } else { self.last_time.max(time) };
        if self.step == 0.0 {
            self.step = elapsed;
        } else {
            // A gap is not a new step: it counts as ten at most.
            self.step += 0.05 * (elapsed.min(10.0 * self.step) - self.step);
        }
        elapsed
    }

    /// At least one: a row that spans hours is one visit of the hour it is stamped with.
    fn rows_an_hour(&self) -> f64 {
        (3600.0 / self.step.max(1.0)).max(1.0)
    }
}
