//! Decides whether a new model is worse than the current one.

use std::fmt::Write;

use super::samples::{Sample, Samples};
use super::{is_held_out, survival_ratio};
use crate::detect::outlier::Model;
use crate::detect::outlier::density::Density;

/// A model is worse if the mean difference lies this many standard errors below 0 ...
const ERRORS_BELOW: f64 = 2.0;
/// ... or if its share of rare windows lies this many standard deviations above its promise.
const DEVIATIONS_ABOVE: f64 = 3.0;
/// The tail probability at which promised and measured shares are compared.
pub const RARE: f64 = 1e-3;

/// Compares two models on the windows of keys that were held out of the new one's fit.
#[derive(Clone, Debug)]
pub struct Comparison {
    old: String,
    new: String,
    parts: [Part; 2],
}

/// The comparison of one density of both models.
#[derive(Clone, Debug)]
struct Part {
    name: &'static str,
    windows: usize,
    /// Mean log density of a window, in the units of the features.
    log_density: [f64; 2],
    /// Mean of new minus old, and its standard error over keys.
    gain: f64,
    error: f64,
    /// Windows that the model calls rarer than [`RARE`], in a thousand.
    beyond: [f64; 2],
}

impl Part {
    fn new(name: &'static str, densities: [&Density; 2], samples: &[Sample]) -> Self {
        let held_out: Vec<&Sample> = samples.iter().filter(|sample| is_held_out(sample)).collect();
        let windows = held_out.len();
        let mean = |of: &dyn Fn(&Sample) -> f64| {
            held_out.iter().map(|sample| of(sample)).sum::<f64>() / windows.max(1) as f64
        };
        let [old, new] = densities;
        let difference =
            |sample: &Sample| new.log_density(&sample.features) - old.log_density(&sample.features);
        let log_density =
            densities.map(|density| mean(&|sample: &Sample| density.log_density(&sample.features)));
        Self {
            name,
            windows,
            log_density,
            gain: mean(&difference),
            error: error_over_keys(&held_out, &difference),
            beyond: densities.map(|density| 1e3 * survival_ratio(density, &held_out, RARE)),
        }
    }

    /// The fault in words; `None` if the new model is not worse.
    fn fault(&self) -> Option<String> {
        if self.gain < -ERRORS_BELOW * self.error {
            return Some(format!(
                "it finds windows {} less likely (by {:.3} nats each)",
                self.name, -self.gain
            ));
        }
        let expected = RARE * self.windows as f64;
        let allowed = 1e3 * (expected + DEVIATIONS_ABOVE * expected.sqrt().max(1.0))
            / self.windows.max(1) as f64;
        let [old, new] = self.beyond;
        (new > allowed && new > old).then(|| {
            format!(
                "it calls {new:.2} in a thousand windows {} rarer than one in a thousand",
                self.name
            )
        })
    }
}

/// Windows of one key resemble each other, so the error is computed over keys and not over windows.
fn error_over_keys(samples: &[&Sample], of: &dyn Fn(&Sample) -> f64) -> f64 {
    let total: f64 = samples.iter().map(|sample| of(sample)).sum();
    let mean = total / samples.len().max(1) as f64;
    let by_key = samples.chunk_by(|a, b| a.key == b.key);
    let squares = by_key.map(|windows| {
        let deviation: f64 = windows.iter().map(|sample| of(sample) - mean).sum();
        deviation * deviation
    });
    squares.sum::<f64>().sqrt() / samples.len().max(1) as f64
}

impl Comparison {
    pub fn new(old: &Model, new: &Model, samples: &Samples) -> Self {
        let own = Part::new("against the key's past", [&old.own, &new.own], &samples.own);
        let peers = Part::new("against peers", [&old.peers, &new.peers], &samples.peers);
        Self { old: old.version(), new: new.version(), parts: [own, peers] }
    }

    /// The faults of the new model; empty if it is not worse.
    pub fn faults(&self) -> Vec<String> {
        self.parts.iter().filter_map(Part::fault).collect()
    }

    /// A Markdown table.
    pub fn table(&self) -> String {
        let mut table = format!(
            "| on windows of keys that the fit did not see | `{}` | `{}` |\n|---|---|---|\n",
            self.old, self.new
        );
        for part in &self.parts {
            let ([old, new], [old_beyond, new_beyond]) = (part.log_density, part.beyond);
            // Writing into a string cannot fail.
            let _ = writeln!(
                table,
                "| mean log density, {} windows {} (difference {:+.3}, standard error {:.3}) \
                 | {old:.3} | {new:.3} |\n\
                 | called rarer than one in a thousand, in a thousand | {old_beyond:.2} \
                 | {new_beyond:.2} |",
                part.windows, part.name, part.gain, part.error
            );
        }
        table
    }
}
