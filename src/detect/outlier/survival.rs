//! Converts a score into the share of ordinary windows that score at least as high.

use serde::{Deserialize, Serialize};

/// Shares of windows whose score quantiles are kept, descending. Above the last quantile the tail
/// is taken to be exponential.
pub const LEVELS: [f64; 10] = [0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005];

/// Empirical quantiles of scores, and an exponential tail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Survival {
    /// Quantiles in the order of [`LEVELS`], never descending.
    pub scores: Vec<f64>,
    /// Mean excess over the last quantile.
    pub mean_excess: f64,
}

impl Survival {
    pub fn is_usable(&self) -> bool {
        self.scores.len() == LEVELS.len()
            && self.scores.is_sorted()
            && self.mean_excess > 0.0
            && self.mean_excess.is_finite()
    }

    /// `-ln` of the share of windows with at least this score; 0 below the median.
    pub fn surprise(&self, score: f64) -> f64 {
        let above = self.scores.partition_point(|known| *known <= score);
        let (Some(below), Some(from)) =
            (above.checked_sub(1), above.checked_sub(1).and_then(|at| self.scores.get(at)))
        else {
            return 0.0;
        };
        let here = -LEVELS[below].ln();
        let Some(to) = self.scores.get(above) else {
            return here + (score - from) / self.mean_excess;
        };
        let next = -LEVELS[above].ln();
        here + (next - here) * (score - from) / (to - from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn survival() -> Survival {
        // The quantiles of a standard exponential distribution are -ln of the level.
        Survival { scores: LEVELS.iter().map(|level| -level.ln()).collect(), mean_excess: 1.0 }
    }

    #[test]
    fn quantiles_and_tail_give_back_their_share() {
        for surprise in [0.7, 1.0, 2.3, 5.0, 7.6, 9.0, 20.0] {
            let found = survival().surprise(surprise);
            assert!((found - surprise).abs() < 1e-9, "{surprise}: {found}");
        }
        assert_eq!(survival().surprise(0.1), 0.0);
    }

    proptest! {
        #[test]
        fn a_higher_score_is_never_less_surprising(low in -5f64..50.0, more in 0f64..50.0) {
            prop_assert!(survival().surprise(low + more) >= survival().surprise(low));
        }
    }
}
