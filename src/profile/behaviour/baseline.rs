//! Learns one key's usual windows, and measures how far a window deviates from them.

use serde::{Deserialize, Serialize};

use super::feature::{FEATURES, OWN_FEATURES};
use super::observation::ROUTE_BUCKETS;
use super::statistics::{Statistics, departure, entropy};

/// Least weight of a new window. With it, the baseline follows about the last 33 windows.
const SETTLED_WEIGHT: f64 = 0.03;
/// Root mean square of the features above which a window is strange.
const STRANGE: f64 = 1.3;
/// Factor on the weight of a strange window.
const STRANGE_FACTOR: f64 = 0.25;
/// Requests of a window that has half the full weight.
const HALF_REQUESTS: f64 = 20.0;
/// Weight of the prior deviation, in windows.
const PRIOR_WINDOWS: f64 = 5.0;
/// Residuals are winsorized at this many mean absolute deviations, so that somebody who changes
/// a key's behaviour in steps cannot teach the baseline that such steps are ordinary.
const WINSORIZED_AT: f64 = 4.0;
/// Mean absolute value of a standard normal variable.
const MEAN_ABSOLUTE: f64 = 0.797_884_560_802_865_4;
/// Windows that the baseline must learn before a key is compared with its own past.
const SETTLED_WINDOWS: u8 = 12;
/// Fewest requests of a window that is judged.
const MIN_REQUESTS: f64 = 20.0;
/// Weight of a new window in the mean of its hour of the day.
const HOUR_WEIGHT: f64 = 0.25;
const HOURS: usize = 24;
/// Most silent windows that are learned at once.
const MAX_SILENT_WINDOWS: i32 = 7 * 24;

// Fixed-point numbers take half the bytes of floats, and are equal on all machines.
const LEVEL_STEP: f64 = 1.0 / 2_048.0;
const SHARE_STEP: f64 = 1.0 / 16_384.0;
const HOUR_STEP: f64 = 1.0 / 16.0;
const UNKNOWN_HOUR: u8 = u8::MAX;

/// Means, deviations and shares of one key's windows, in 120 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    windows: u8,
    /// Number of the last window that was learned or passed.
    last: i32,
    means: [i16; OWN_FEATURES],
    /// Mean absolute residuals.
    deviations: [i16; OWN_FEATURES],
    /// Usual shares of the route buckets, in units of 1/65,535.
    routes: [u16; ROUTE_BUCKETS],
    /// Mean `ln(1 + requests)` by hour of the day (UTC).
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

/// One feature as measured in a window.
#[derive(Clone, Copy, Debug)]
enum Measure {
    Share {
        part: f64,
        whole: f64,
    },
    /// `certainty` is a factor on the residual from 0 to 1. It grows with the number of requests.
    Level {
        value: f64,
        certainty: f64,
    },
    Missing,
}

impl Baseline {
    /// Whether the baseline has learned enough windows to compare one with them.
    pub fn is_settled(&self) -> bool {
        self.windows >= SETTLED_WINDOWS
    }

    /// Number of windows learned, at most 255.
    pub fn windows(&self) -> u8 {
        self.windows
    }

    /// Whether a window has enough requests to be judged.
    pub fn is_telling(statistics: &Statistics) -> bool {
        statistics.requests >= MIN_REQUESTS
    }

    /// Deviation of a window from the baseline: for each of [`FEATURES`] the inverse hyperbolic
    /// sine of a z-score. The value is 0 if the feature is missing or nothing was learned.
    pub fn features(&self, statistics: &Statistics) -> [f64; OWN_FEATURES] {
        let measures = self.measure(statistics);
        std::array::from_fn(|which| {
            let residual = self.residual(which, measures[which]);
            (residual * MEAN_ABSOLUTE / self.deviation(which)).asinh()
        })
    }

    /// The observed and the usual value of feature `which`, in the feature's own unit: a share, a
    /// logarithm or a mean. `None` if the window does not have the feature.
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

    /// Learns a window that has ended, and the silent windows before it.
    pub fn learn(&mut self, statistics: &Statistics) {
        self.pass(statistics.index);
        if statistics.requests < 1.0 {
            return;
        }
        let measures = self.measure(statistics);
        let weight = self.weight() * self.weight_factor(statistics);
        let weights: [f64; OWN_FEATURES] =
            std::array::from_fn(|which| self.learn_feature(which, measures[which], weight));
        learn_shares(&mut self.routes, &statistics.routes, weights[ROUTE_MIX]);
        self.learn_hour(statistics.index, statistics.volume(), weights[HOUR] / weight);
        self.windows = self.windows.saturating_add(1);
    }

    /// As [`Self::learn`], without the silent windows: the key was used otherwise in them.
    pub fn learn_alone(&mut self, statistics: &Statistics) {
        self.last = statistics.index.saturating_sub(1);
        self.learn(statistics);
    }

    /// Weight of a new window against those before it.
    fn weight(&self) -> f64 {
        (1.0 / (f64::from(self.windows) + 1.0)).max(SETTLED_WEIGHT)
    }

    /// Factor on the weight of a window. It is smaller if the window has few requests or is
    /// strange.
    fn weight_factor(&self, statistics: &Statistics) -> f64 {
        if self.windows == 0 {
            return 1.0;
        }
        let squares: f64 = self.features(statistics).iter().map(|feature| feature * feature).sum();
        let is_strange = self.is_settled() && squares > STRANGE * STRANGE * OWN_FEATURES as f64;
        let factor = if is_strange { STRANGE_FACTOR } else { 1.0 };
        factor * statistics.requests / (statistics.requests + HALF_REQUESTS)
    }

    /// Learns the silent windows before window `index`, and marks `index` as passed without
    /// learning it.
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

    /// Difference between a measure and its usual value. For a share it is in standard deviations
    /// of a binomial (arcsine transformation, Anscombe 1948). For a level it is in its own unit.
    fn residual(&self, which: usize, measure: Measure) -> f64 {
        if self.windows == 0 {
            return 0.0;
        }
        match measure {
            Measure::Missing => 0.0,
            Measure::Share { part, whole } => {
                let arcsine = |part: f64| ((part + 0.375) / (whole + 0.75)).sqrt().asin();
                2.0 * whole.sqrt() * (arcsine(part) - arcsine(self.share(which) * whole))
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

    /// Mean volume at this hour of the day, or over all hours if this hour is not known yet.
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

    /// Learns one feature. Returns the weight that was used: it is reduced if the residual is
    /// winsorized.
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

// Indices into [`FEATURES`].
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

/// Moves the shares `usual`, in units of 1/65,535, towards those of `counts`.
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
