//! Whether the windows of today are like those that a model was trained with.

use serde::{Deserialize, Serialize};

use super::model::Model;
use super::peer_features;
use crate::profile::behaviour::{FEATURES, PEERS, Statistics};

/// Counts are halved at twice this many windows: what is told is of the last so many or more.
const REMEMBERED: u32 = 10_000;
/// Added to every bin: one that nobody falls into is rare, not impossible.
const PSEUDO_COUNT: f64 = 0.5;
/// A bin's share in training is taken to be at least this.
const MIN_SHARE: f64 = 1e-4;

/// Where a feature's values lay in training: bins between its deciles, of which those that
/// coincide count once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bins {
    /// Rising; a value that equals one lies below it.
    pub edges: Vec<f64>,
    /// Shares of the values: one more than edges.
    pub shares: Vec<f64>,
}

impl Bins {
    pub fn is_usable(&self) -> bool {
        self.edges.iter().all(|edge| edge.is_finite())
            && self.edges.is_sorted()
            && self.shares.len() == self.edges.len() + 1
            && self.shares.iter().all(|share| (0.0..=1.0).contains(share))
    }

    pub fn bin_of(&self, value: f64) -> usize {
        self.edges.partition_point(|edge| *edge < value)
    }

    /// Population stability index of counts by bin (Siddiqi, Credit Risk Scorecards, 2006): the
    /// sum of `(now - then) ln(now / then)` over the bins' shares. Below 0.1 little has changed,
    /// above 0.25 much has.
    pub fn stability_index(&self, counts: &[u32]) -> f64 {
        let total: f64 = counts.iter().copied().map(f64::from).sum();
        let whole = total + PSEUDO_COUNT * self.shares.len() as f64;
        let by_bin = self.shares.iter().zip(counts).map(|(share, count)| {
            let (then, now) = (share.max(MIN_SHARE), (f64::from(*count) + PSEUDO_COUNT) / whole);
            (now - then) * (now / then).ln()
        });
        by_bin.sum()
    }
}

/// One feature's counts by bin.
type Counts = Vec<u32>;

/// Windows since the model came into use, or those of late.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    own: Vec<Counts>,
    peers: Vec<Counts>,
    own_windows: u32,
    peer_windows: u32,
}

/// How far one feature has moved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureDrift {
    /// `own`: against the key's past; `peers`: as it is.
    pub against: &'static str,
    pub feature: &'static str,
    pub words: &'static str,
    pub stability_index: f64,
    /// Windows that it was measured on.
    pub windows: u32,
}

impl Drift {
    /// Takes note of a window that says something, with its features against the key's past if
    /// it has one.
    pub fn note(&mut self, model: &Model, own: Option<&[f64]>, statistics: &Statistics) {
        if let Some(features) = own {
            count(&mut self.own, &mut self.own_windows, &model.own.bins, features);
        }
        let features = peer_features(statistics);
        count(&mut self.peers, &mut self.peer_windows, &model.peers.bins, &features);
    }

    /// All features, the own ones first; nothing before the first window.
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

/// Features that are not known (NaN) count in no bin.
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

    fn tenths() -> Bins {
        Bins { edges: (1..10).map(f64::from).collect(), shares: vec![0.1; 10] }
    }

    #[test]
    fn values_fall_between_the_edges_and_on_one_below_it() {
        let bins = tenths();
        assert!(bins.is_usable());
        assert_eq!([0.5, 1.0, 1.1, 9.0, 99.0].map(|value| bins.bin_of(value)), [0, 0, 1, 8, 9]);
    }

    #[test]
    fn what_is_as_in_training_is_stable_and_what_moved_is_not() {
        let bins = tenths();
        assert!(bins.stability_index(&[100; 10]) < 1e-9);
        // By hand, of shares 0.2 in the first five bins and (nearly) none in the others.
        let moved = bins.stability_index(&[200, 200, 200, 200, 200, 0, 0, 0, 0, 0]);
        let expected = 5.0 * 0.1 * 2f64.ln() + 5.0 * 0.1 * (0.1f64 / (0.5 / 1_005.0)).ln();
        assert!((moved - expected).abs() < 0.05, "{moved} {expected}");
    }

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
