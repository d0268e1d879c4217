//! Measures how far the windows of behaviour have drifted from those that a model was trained with.

use serde::Serialize;

use super::bins::Bins;
use super::model::Model;
use super::peer_features;
use crate::profile::behaviour::{FEATURES, PEERS, Statistics};

/// Counts are halved at twice this many windows, so that the drift is that of the last ones, at
/// least this many.
const REMEMBERED: u32 = 10_000;

/// One feature's counts by bin.
type Counts = Vec<u32>;

/// Counts of recent windows, since the model came into use.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    own: Vec<Counts>,
    peers: Vec<Counts>,
    own_windows: u32,
    peer_windows: u32,
}

/// The drift of one feature.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureDrift {
    /// `own`: the feature against the key's past; `peers`: the feature as it is.
    pub against: &'static str,
    pub feature: &'static str,
    pub words: &'static str,
    pub stability_index: f64,
    /// Number of windows that were counted.
    pub windows: u32,
}

impl Drift {
    /// Counts a window. `own` holds its features against the key's past, if the key has one.
    pub fn note(&mut self, model: &Model, own: Option<&[f64]>, statistics: &Statistics) {
        if let Some(features) = own {
            count(&mut self.own, &mut self.own_windows, &model.own.bins, features);
        }
        let features = peer_features(statistics);
        count(&mut self.peers, &mut self.peer_windows, &model.peers.bins, &features);
    }

    /// The drift of all features, the own ones first. Empty before the first window.
    pub fn features(&self, model: &Model) -> Vec<FeatureDrift> {
        let own = FEATURES.iter().map(|feature| (feature.name, feature.words));
        let peers = PEERS.iter().map(|feature| (feature.name, feature.words));
        let own = of_kind("own", own, &self.own, self.own_windows, &model.own.bins);
        own.chain(of_kind("peers", peers, &self.peers, self.peer_windows, &model.peers.bins))
            .collect()
    }
}

fn of_kind<'a>(
    against: &'static str,
    names: impl Iterator<Item = (&'static str, &'static str)> + 'a,
    counts: &'a [Counts],
    windows: u32,
    bins: &'a [Bins],
) -> impl Iterator<Item = FeatureDrift> + 'a {
    names.zip(bins).zip(counts).map(move |(((feature, words), bins), counts)| FeatureDrift {
        against,
        feature,
        words,
        stability_index: bins.stability_index(counts),
        windows,
    })
}

/// Unknown features (NaN) are not counted.
fn count(counts: &mut Vec<Counts>, windows: &mut u32, bins: &[Bins], features: &[f64]) {
    counts.resize_with(bins.len(), Vec::new);
    *windows += 1;
    for ((counts, bins), value) in counts.iter_mut().zip(bins).zip(features) {
        counts.resize(bins.shares.len(), 0);
        if !value.is_nan() {
            counts[bins.bin_of(*value)] += 1;
        }
    }
    if *windows >= 2 * REMEMBERED {
        *windows /= 2;
        counts.iter_mut().flatten().for_each(|count| *count /= 2);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_training_do_not_drift_and_larger_ones_do() {
        let model = Model::shipped().unwrap();
        // As many windows in every bin of the number of requests, all else equal.
        let mut edges = model.peers.bins[0].edges.clone();
        edges.push(edges[edges.len() - 1] + 1.0);
        let drift = |factor: f64| {
            let mut drift = Drift::default();
            for n in 0..2_000 {
                let requests = edges[n % edges.len()].exp_m1() * factor;
                let statistics = Statistics { requests, ..Statistics::default() };
                drift.note(&model, None, &statistics);
            }
            let features = drift.features(&model);
            let volume = features.iter().find(|feature| feature.feature == "volume").unwrap();
            assert_eq!((volume.against, volume.windows), ("peers", 2_000));
            volume.stability_index
        };
        assert!(drift(0.999) < 0.05, "{}", drift(0.999));
        assert!(drift(20.0) > 1.0, "{}", drift(20.0));
    }
}
