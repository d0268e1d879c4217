//! What is usual for one key, and how far a window is from it.

use serde::{Deserialize, Serialize};

use super::feature::{FEATURES, OWN_FEATURES};
use super::observation::ROUTE_BUCKETS;
use super::statistics::{Statistics, departure, entropy};

/// A window teaches at least this share of what is usual: about the last day and a half.
const SETTLED_WEIGHT: f64 = 0.03;
/// A window whose features are this far off together (root mean square) teaches a quarter.
const STRANGE: f64 = 1.3;
const STRANGE_LESSON: f64 = 0.25;
/// A window of so many requests teaches, and counts, half.
const HALF_REQUESTS: f64 = 20.0;
/// The prior deviation weighs as much as so many windows.
const PRIOR_WINDOWS: f64 = 5.0;
/// A residual teaches as if it were at most so many mean deviations: whoever changes a key's
/// behaviour step by step must not teach that steps are ordinary.
const WINSORIZED_AT: f64 = 4.0;
/// Of a standard normal variable, mean absolute value over standard deviation.
const MEAN_ABSOLUTE: f64 = 0.797_884_560_802_865_4;
/// Windows before a key is held against its own past.
const SETTLED_WINDOWS: u8 = 12;
/// Requests before a window says anything.
const MIN_REQUESTS: f64 = 20.0;
/// Of an hour of the day, how fast it is learned.
const HOUR_WEIGHT: f64 = 0.25;
const HOURS: usize = 24;
/// Silent windows that are caught up with at most.
const MAX_SILENT_WINDOWS: i32 = 7 * 24;

// Fixed point: half the bytes of floats, and the same numbers everywhere.
const LEVEL_STEP: f64 = 1.0 / 2_048.0;
const SHARE_STEP: f64 = 1.0 / 16_384.0;
const HOUR_STEP: f64 = 1.0 / 16.0;
const UNKNOWN_HOUR: u8 = u8::MAX;

/// Means, deviations and shares of one key's windows, in 120 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    windows: u8,
    /// The last window that is caught up with.
    last: i32,
    means: [i16; OWN_FEATURES],
    /// Mean absolute residuals.
    deviations: [i16; OWN_FEATURES],
    routes: [u16; ROUTE_BUCKETS],
    /// Mean `ln(1 + requests)` by hour of the day.
    hours: [u8; HOURS],
}

impl Default for Baseline {
    fn default() -> Self {
        Self {
            windows: 0,
            last: i32::MIN,
            means: Default::default(),
            deviations: Default::default(),
            routes: Default::default(),
            hours: [UNKNOWN_HOUR; HOURS],
        }
    }
}

/// What a window shows of one feature.
#[derive(Clone, Copy, Debug)]
enum Measure {
    Share {
        part: f64,
        whole: f64,
    },
    /// `certainty`, 0 to 1: how much a window of so many requests says.
    Level {
        value: f64,
        certainty: f64,
    },
    Missing,
}

impl Baseline {
    /// Whether there is enough past to hold a window against.
    pub fn is_settled(&self) -> bool {
        self.windows >= SETTLED_WINDOWS
    }

    /// Windows that were learned, up to 255.
    pub fn windows(&self) -> u8 {
        self.windows
    }

    /// Whether a window is large enough to be judged.
    pub fn is_telling(statistics: &Statistics) -> bool {
        statistics.requests >= MIN_REQUESTS
    }

    /// How far a window is from what is usual: for each of [`FEATURES`] the inverse hyperbolic
    /// sine of a z-score, 0 where nothing is known.
    pub fn features(&self, statistics: &Statistics) -> [f64; OWN_FEATURES] {
        let measures = self.measure(statistics);
        std::array::from_fn(|which| {
            let residual = self.residual(which, measures[which]);
            (residual * MEAN_ABSOLUTE / self.deviation(which)).asinh()
        })
    }

    /// What the window shows and what is usual, of one feature, in its own measure: a share, a
    /// logarithm, a mean.
    pub fn observed_and_usual(&self, statistics: &Statistics, which: usize) -> Option<(f64, f64)> {
        if which == HOUR {
            return Some((statistics.volume(), self.usual_volume(statistics.index)));
        }
        match self.measure(statistics)[which] {
            Measure::Share { part, whole } => Some((part / whole, self.share(which))),
            Measure::Level { value, .. } => Some((value, self.mean(which))),
            Measure::Missing => None,
        }
    }

    /// Learns a window that is over.
    pub fn learn(&mut self, statistics: &Statistics) {
        self.pass(statistics.index);
        if statistics.requests < 1.0 {
            return;
        }
        let measures = self.measure(statistics);
        let lesson = self.lesson(statistics);
        let weight = self.weight() * lesson;
        let weights: [f64; OWN_FEATURES] =
            std::array::from_fn(|which| self.learn_feature(which, measures[which], weight));
        learn_shares(&mut self.routes, &statistics.routes, weights[ROUTE_MIX]);
        self.learn_hour(statistics.index, statistics.volume(), weights[HOUR] / weight);
        self.windows = self.windows.saturating_add(1);
    }

    /// Of a window among those before it.
    fn weight(&self) -> f64 {
        (1.0 / (f64::from(self.windows) + 1.0)).max(SETTLED_WEIGHT)
    }

    /// How much of its weight a window teaches: less of few requests, and of strange ones.
    fn lesson(&self, statistics: &Statistics) -> f64 {
        if self.windows == 0 {
            return 1.0;
        }
        let squares: f64 = self.features(statistics).iter().map(|feature| feature * feature).sum();
        let is_strange = self.is_settled() && squares > STRANGE * STRANGE * OWN_FEATURES as f64;
        let lesson = if is_strange { STRANGE_LESSON } else { 1.0 };
        lesson * statistics.requests / (statistics.requests + HALF_REQUESTS)
    }

    /// Catches up with the silent windows before `index`, which is not learned.
    pub fn pass(&mut self, index: i32) {
        let from = self.last.saturating_add(1).max(index.saturating_sub(MAX_SILENT_WINDOWS));
        if self.last != i32::MIN {
            for silent in from..index {
                if self.hours[hour_of_day(silent)] == UNKNOWN_HOUR {
                    self.hours[hour_of_day(silent)] = 0;
                }
                self.learn_hour(silent, 0.0, 1.0);
            }
        }
        self.last = self.last.max(index);
    }

    fn measure(&self, statistics: &Statistics) -> [Measure; OWN_FEATURES] {
        let whole = statistics.requests;
        let certainty = (whole / (whole + HALF_REQUESTS)).sqrt();
        let level = |value| Measure::Level { value, certainty };
        let optional = |value: Option<f64>| value.map_or(Measure::Missing, level);
        let sure = |value| Measure::Level { value, certainty: 1.0 };
        let share = |part| Measure::Share { part, whole };
        [
            sure(statistics.volume()),
            sure(statistics.volume() - self.usual_volume(statistics.index)),
            share(statistics.errors),
            share(statistics.refused),
            share(statistics.throttled),
            level(entropy(&statistics.routes)),
            level(departure(&statistics.routes, &self.routes)),
            level(statistics.log_spread()),
            optional(statistics.burstiness()),
            optional(statistics.mean_size()),
            share(statistics.signed),
            optional(statistics.mean_skew()),
        ]
    }

    /// A share's distance in standard deviations of a binomial, a level's in its own measure.
    fn residual(&self, which: usize, measure: Measure) -> f64 {
        if self.windows == 0 {
            return 0.0;
        }
        match measure {
            Measure::Missing => 0.0,
            Measure::Share { part, whole } => {
                let steadied = |part: f64| ((part + 0.375) / (whole + 0.75)).sqrt().asin();
                2.0 * whole.sqrt() * (steadied(part) - steadied(self.share(which) * whole))
            }
            Measure::Level { value, certainty } => (value - self.mean(which)) * certainty,
        }
    }

    fn mean(&self, which: usize) -> f64 {
        f64::from(self.means[which]) * LEVEL_STEP
    }

    fn share(&self, which: usize) -> f64 {
        (f64::from(self.means[which]) * SHARE_STEP).sin().powi(2)
    }

    /// At this hour of the day; at any, where that is not known yet.
    fn usual_volume(&self, index: i32) -> f64 {
        match self.hours[hour_of_day(index)] {
            UNKNOWN_HOUR => self.mean(VOLUME),
            hour => f64::from(hour) * HOUR_STEP,
        }
    }

    fn deviation(&self, which: usize) -> f64 {
        let windows = f64::from(self.windows).min(1.0 / SETTLED_WEIGHT);
        let own = f64::from(self.deviations[which]) * LEVEL_STEP;
        let prior = FEATURES[which].prior_deviation;
        (PRIOR_WINDOWS * prior + windows * own) / (PRIOR_WINDOWS + windows)
    }

    /// Returns the weight that it taught with: less where it is far from what is usual.
    fn learn_feature(&mut self, which: usize, measure: Measure, weight: f64) -> f64 {
        let residual = self.residual(which, measure).abs();
        let limit = WINSORIZED_AT * self.deviation(which);
        let weight = weight * (limit / residual.max(limit));
        let (usual, seen) = match measure {
            Measure::Missing => return weight,
            Measure::Share { part, whole } => (self.share(which), part / whole),
            Measure::Level { value, .. } => (self.mean(which), value),
        };
        let learned = usual + weight * (seen - usual);
        self.means[which] = match measure {
            Measure::Share { .. } => fixed(learned.clamp(0.0, 1.0).sqrt().asin(), SHARE_STEP),
            _ => fixed(learned, LEVEL_STEP),
        };
        if self.windows > 0 {
            let known = f64::from(self.deviations[which]) * LEVEL_STEP;
            let deviation = known + weight * (residual.min(limit) - known);
            self.deviations[which] = fixed(deviation, LEVEL_STEP);
        }
        weight
    }

    fn learn_hour(&mut self, index: i32, volume: f64, weight: f64) {
        let hour = &mut self.hours[hour_of_day(index)];
        let known = if *hour == UNKNOWN_HOUR { volume } else { f64::from(*hour) * HOUR_STEP };
        *hour = hour_level(known + HOUR_WEIGHT * weight * (volume - known));
    }
}

/// Places in [`FEATURES`].
const VOLUME: usize = 0;
const HOUR: usize = 1;
const ROUTE_MIX: usize = 6;

fn fixed(value: f64, step: f64) -> i16 {
    (value / step).round() as i16
}

fn hour_level(volume: f64) -> u8 {
    ((volume / HOUR_STEP).round() as u8).min(UNKNOWN_HOUR - 1)
}

fn hour_of_day(index: i32) -> usize {
    index.rem_euclid(HOURS as i32) as usize
}

/// Shares of 65,535.
fn learn_shares(usual: &mut [u16], counts: &[u16], weight: f64) {
    let total: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    if total == 0.0 {
        return;
    }
    for (usual, count) in usual.iter_mut().zip(counts) {
        let known = f64::from(*usual);
        let seen = f64::from(*count) / total * f64::from(u16::MAX);
        *usual = (known + weight * (seen - known)).round() as u16;
    }
}
