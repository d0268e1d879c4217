//! Compares the current values of a feature with those of training.

use serde::{Deserialize, Serialize};

/// Added to every bin: an empty bin is rare, not impossible.
const PSEUDO_COUNT: f64 = 0.5;
/// Least share of a bin in training.
const MIN_SHARE: f64 = 1e-4;

/// The distribution of a feature's values in training: bins between its deciles. Deciles that
/// coincide count once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bins {
    /// Ascending. A value that equals an edge lies below it.
    pub edges: Vec<f64>,
    /// Share of the values in each bin: one more than edges.
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

    /// Population stability index of counts by bin (Siddiqi, Credit Risk Scorecards, 2006): the sum
    /// of `(now - then) ln(now / then)` over the bins' shares. Below 0.1 little has changed, above
    /// 0.25 much has.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tenths() -> Bins {
        Bins { edges: (1..10).map(f64::from).collect(), shares: vec![0.1; 10] }
    }

    #[test]
    fn values_fall_between_the_edges_and_a_value_on_an_edge_below_it() {
        let bins = tenths();
        assert!(bins.is_usable());
        assert_eq!([0.5, 1.0, 1.1, 9.0, 99.0].map(|value| bins.bin_of(value)), [0, 0, 1, 8, 9]);
    }

    #[test]
    fn values_as_in_training_are_stable_and_moved_ones_are_not() {
        let bins = tenths();
        assert!(bins.stability_index(&[100; 10]) < 1e-9);
        // Computed by hand: shares of 0.2 in the first five bins and (nearly) none in the others.
        let moved = bins.stability_index(&[200, 200, 200, 200, 200, 0, 0, 0, 0, 0]);
        let expected = 5.0 * 0.1 * 2f64.ln() + 5.0 * 0.1 * (0.1f64 / (0.5 / 1_005.0)).ln();
        assert!((moved - expected).abs() < 0.05, "{moved} {expected}");
    }
}
