//! `keywatch train` trains the model of `behaviour.outlier` from history.
//!
//! ```text
//! events -> requests -> windows (polars, lazily) -> features (as in the service) -> densities (linfa)
//! ```

pub mod card;
pub mod compare;
pub mod exclusions;
mod fit;
pub mod history;
pub mod priors;
pub mod samples;
pub mod source;
pub mod windows;

use crate::decode::DecodeError;
use crate::detect::outlier::density::Density;
use crate::detect::outlier::model::{FORMAT, Model};
use crate::detect::outlier::{advance, allowance};
use crate::detect::priors::Priors;
use crate::enrich::EnrichError;
use crate::profile::behaviour::{Run, schema_hash};
use crate::source::SourceError;
use crate::store::StoreError;

use self::compare::RARE;
use self::fit::{Criterion, fit, survival};
use self::history::History;
use self::samples::{LeftOut, Sample, Samples};

/// Why no model was trained.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Enrich(#[from] EnrichError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the requests could not be summed up: {0}")]
    Polars(#[from] polars::error::PolarsError),
    #[error(
        "{found} windows ({what}) are too few to train with: {needed} are needed. A window is an \
         hour of a key with 20 requests or more; a key is compared with its own past after 12 of \
         them. Give more history"
    )]
    TooFew { what: &'static str, found: usize, needed: usize },
    #[error("no mixture fits the windows ({what}): they are too similar. Use another history")]
    NoFit { what: &'static str },
    #[error("the principal components could not be found: {0}")]
    Algebra(String),
    #[error("the model has numbers that JSON cannot hold: {0}")]
    Json(#[from] serde_json::Error),
}

/// A model and the figures of its training.
#[derive(Clone, Debug)]
pub struct Trained {
    pub model: Model,
    pub own_criteria: Vec<Criterion>,
    pub peer_criteria: Vec<Criterion>,
    /// Mean log density of a window, over the keys that the fit did not see.
    pub held_out: f64,
    pub fitted: f64,
    /// Windows of held-out keys that the model calls rarer than once in a thousand; in a thousand
    /// windows.
    pub held_out_beyond: f64,
    pub held_out_windows: usize,
    pub history: HistorySummary,
}

/// The history that a model was trained with.
#[derive(Clone, Debug)]
pub struct HistorySummary {
    pub requests: u64,
    pub attempts: u64,
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

impl Trained {
    /// # Errors
    /// Returns an error for numbers that JSON cannot express.
    pub fn set_priors(&mut self, priors: Priors) -> Result<(), TrainError> {
        self.model.priors = priors;
        Ok(self.model.seal()?)
    }
}

/// One key in five is held out of the fit and measures how well it generalizes.
const HELD_OUT: u32 = 5;

fn is_held_out(sample: &Sample) -> bool {
    sample.key % HELD_OUT == HELD_OUT - 1
}

/// Splits the windows into those held out and the others.
fn split(samples: &[Sample]) -> (Vec<&Sample>, Vec<&Sample>) {
    samples.iter().partition(|sample| is_held_out(sample))
}

/// The measured share of windows rarer than `rare`, divided by `rare`.
fn survival_ratio(density: &Density, samples: &[&Sample], rare: f64) -> f64 {
    let surprise = |sample: &Sample| density.survival.surprise(density.score(&sample.features));
    let beyond = samples.iter().filter(|sample| surprise(sample) > -rare.ln()).count();
    beyond as f64 / samples.len().max(1) as f64
}

/// # Errors
/// Returns an error for too little history, or if the fit fails.
pub fn train(
    name: &str,
    history: &History,
    samples: &Samples,
    seed: u64,
) -> Result<Trained, TrainError> {
    let (held_out, own_seen) = split(&samples.own);
    let (_, peers_seen) = split(&samples.peers);
    let own = fit("against the key's own past", &own_seen, seed)?;
    let peers = fit("of all keys", &peers_seen, seed)?;
    let mean_log = |samples: &[&Sample]| {
        let logs = samples.iter().map(|sample| own.density.log_density(&sample.features));
        logs.sum::<f64>() / samples.len().max(1) as f64
    };
    let mut model = Model {
        format: FORMAT,
        name: name.to_owned(),
        features: schema_hash(),
        runs: survival(runs(&own.density, &samples.own)),
        own: own.density.clone(),
        peers: peers.density,
        priors: Priors::default(),
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
        held_out: mean_log(&held_out),
        fitted: mean_log(&own_seen),
        held_out_beyond: 1e3 * survival_ratio(&own.density, &held_out, RARE),
        held_out_windows: held_out.len(),
        history: HistorySummary {
            requests: history.requests,
            attempts: history.attempts,
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

/// The running sums of surprise over all keys' windows; 0 for a window that is ordinary itself.
fn runs(density: &Density, samples: &[Sample]) -> Vec<f64> {
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
