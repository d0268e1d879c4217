//! `keywatch train`: the model of `behaviour.outlier` from history.
//!
//! ```text
//! events -> requests -> windows (polars, lazily) -> features (as in the service) -> densities (linfa)
//! ```

pub mod card;
pub mod exclusions;
mod fit;
pub mod history;
pub mod samples;
pub mod source;
pub mod windows;

use crate::app::AppError;
use crate::detect::outlier::model::{FORMAT, Model};
use crate::detect::outlier::{advance, allowance};
use crate::profile::behaviour::{Run, schema_hash};

use self::fit::{Criterion, fit, survival};
use self::history::History;
use self::samples::{LeftOut, Sample, Samples};

/// Why nothing was trained.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error(transparent)]
    App(#[from] AppError),
    #[error("the requests could not be summed up: {0}")]
    Polars(#[from] polars::error::PolarsError),
    #[error(
        "{found} windows ({what}) are too few to train with: {needed} are needed. A window is an \
         hour of a key with 20 requests or more; against its own past a key is held after 12 of \
         them. Give more history"
    )]
    TooFew { what: &'static str, found: usize, needed: usize },
    #[error("no mixture fits the windows ({what}): they are too much alike. Give other history")]
    NoFit { what: &'static str },
    #[error("the principal components could not be found: {0}")]
    Algebra(String),
    #[error("the model has numbers that JSON cannot hold: {0}")]
    Json(#[from] serde_json::Error),
}

/// A model, and how it came about.
#[derive(Clone, Debug)]
pub struct Trained {
    pub model: Model,
    pub own_criteria: Vec<Criterion>,
    pub peer_criteria: Vec<Criterion>,
    /// Mean log density of the keys that the fit did not see, a window.
    pub held_out: f64,
    pub fitted: f64,
    /// Windows of keys that the fit did not see which are called rarer than once in a thousand,
    /// in a thousand.
    pub held_out_beyond: f64,
    pub held_out_windows: usize,
    pub history: HistorySummary,
}

/// What a model was trained with.
#[derive(Clone, Debug)]
pub struct HistorySummary {
    pub requests: u64,
    pub rejections: u64,
    pub keys: usize,
    pub windows: usize,
    pub own_windows: usize,
    pub peer_windows: usize,
    pub left_out: LeftOut,
    pub first: String,
    pub last: String,
    pub seed: u64,
}

/// One key in five does not take part in the fit, and tells how well it holds for others.
const HELD_OUT: u32 = 5;

/// # Errors
/// Too little history, or a fit that fails.
pub fn train(
    name: &str,
    history: &History,
    samples: &Samples,
    seed: u64,
) -> Result<Trained, TrainError> {
    let is_held_out = |sample: &&Sample| sample.key % HELD_OUT == HELD_OUT - 1;
    let seen = |samples: &'_ [Sample]| -> Vec<usize> {
        (0..samples.len()).filter(|n| !is_held_out(&&samples[*n])).collect()
    };
    let pick = |samples: &'_ [Sample]| -> Vec<Sample> {
        seen(samples).into_iter().map(|n| samples[n].clone()).collect()
    };
    let (own_seen, peers_seen) = (pick(&samples.own), pick(&samples.peers));
    let own = fit("against the key's own past", &own_seen.iter().collect::<Vec<_>>(), seed)?;
    let peers = fit("of all keys", &peers_seen.iter().collect::<Vec<_>>(), seed)?;
    let mean_log = |samples: &mut dyn Iterator<Item = &Sample>| {
        let logs: Vec<f64> = samples.map(|sample| -own.density.score(&sample.features)).collect();
        logs.iter().sum::<f64>() / logs.len().max(1) as f64
    };
    let held_out: Vec<&Sample> = samples.own.iter().filter(is_held_out).collect();
    let surprise =
        |sample: &&&Sample| own.density.survival.surprise(own.density.score(&sample.features));
    let beyond = held_out.iter().filter(|sample| surprise(sample) > 1e3f64.ln()).count();
    let mut model = Model {
        format: FORMAT,
        name: name.to_owned(),
        features: schema_hash(),
        runs: survival(runs(&own.density, &samples.own)),
        own: own.density.clone(),
        peers: peers.density,
        is_shipped: false,
        checksum: String::new(),
    };
    model.seal()?;
    let time = |time: Option<crate::event::EventTime>| {
        time.map_or_else(String::new, |time| time.to_string())
    };
    Ok(Trained {
        own_criteria: own.criteria,
        peer_criteria: peers.criteria,
        held_out: mean_log(&mut held_out.iter().copied()),
        fitted: mean_log(&mut own_seen.iter()),
        held_out_beyond: 1e3 * beyond as f64 / held_out.len().max(1) as f64,
        held_out_windows: held_out.len(),
        history: HistorySummary {
            requests: history.requests,
            rejections: history.rejections,
            keys: history.keys.len(),
            windows: history.windows.len(),
            own_windows: samples.own.len(),
            peer_windows: samples.peers.len(),
            left_out: samples.left_out,
            first: time(history.first),
            last: time(history.last),
            seed,
        },
        model,
    })
}

/// The sums of surprises of all keys' windows, 0 for a window that is ordinary itself.
fn runs(density: &crate::detect::outlier::density::Density, samples: &[Sample]) -> Vec<f64> {
    let mut runs = Vec::with_capacity(samples.len());
    for windows in samples.chunk_by(|a, b| a.key == b.key) {
        let mut run = Run::default();
        for window in windows {
            let surprise = density.survival.surprise(density.score(&window.features));
            let adds = surprise > allowance(run);
            run = advance(run, surprise, window.learned);
            runs.push(if adds { f64::from(run.sum) } else { 0.0 });
        }
    }
    runs
}
