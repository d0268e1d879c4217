//! Counts the arrivals of keys in other countries, to know how many owners seem to travel
//! impossibly fast: colleagues in two countries share keys, and so do a laptop and a server.

use serde::{Deserialize, Serialize};

use crate::profile::place::Arrival;

/// Share of impossible journeys before any is known: clients switch on VPNs, and rows of location
/// databases are wrong.
const PRIOR_SHARE: f64 = 0.01;
/// Weight of [`PRIOR_SHARE`], in arrivals.
const PRIOR_ARRIVALS: f64 = 20.0;
/// Most arrivals remembered.
const REMEMBERED: f32 = 1_000.0;
/// The share is at most this, so that nobody makes journeys ordinary with keys of their own.
const MOST: f64 = 0.05;

/// Decayed counts of arrivals, thefts included: they are rare among them.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Arrivals {
    all: f32,
    impossible: f32,
}

impl Arrivals {
    pub fn learn(&mut self, arrival: Arrival) {
        let keep = 1.0 - 1.0 / REMEMBERED;
        self.all = self.all * keep + 1.0;
        self.impossible = self.impossible * keep + if arrival.is_impossible { 1.0 } else { 0.0 };
    }

    /// Share of the arrivals that are impossibly fast.
    pub fn impossible_share(&self) -> f64 {
        let impossible = f64::from(self.impossible) + PRIOR_ARRIVALS * PRIOR_SHARE;
        (impossible / (f64::from(self.all) + PRIOR_ARRIVALS)).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(impossible: u32, possible: u32) -> f64 {
        let mut arrivals = Arrivals::default();
        for n in 0..impossible + possible {
            arrivals.learn(Arrival { is_impossible: n < impossible });
        }
        arrivals.impossible_share()
    }

    #[test]
    fn the_share_is_learned_and_bounded() {
        assert!((share(0, 0) - 0.01).abs() < 1e-12);
        assert!((share(3, 97) - 0.026).abs() < 0.002, "{}", share(3, 97));
        assert!(share(0, 500) < 0.001);
        assert_eq!(share(500, 0), MOST);
    }
}
