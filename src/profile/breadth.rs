//! Learns how many routes a key uses in its first hour, over all keys.
//!
//! The counts are log-normal: most keys use a few routes, a console uses dozens.

use serde::{Deserialize, Serialize};

/// What is believed beforehand: the mean and the standard deviation of the logarithm, with the
/// weight of so many keys.
const PRIOR_MEAN: f64 = 1.1;
const PRIOR_SPREAD: f64 = 0.9;
const PRIOR_KEYS: f64 = 20.0;
/// Least standard deviation: programs differ in their number of routes.
const MIN_SPREAD: f64 = 0.8;

/// Sums of the logarithms of the number of routes in a key's first hour, and of their squares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Breadth {
    keys: f64,
    sum: f64,
    squares: f64,
}

impl Breadth {
    /// Counts that a key in its first hour has used its `routes`-th route.
    pub fn count(&mut self, routes: u16) {
        let (now, before) = (log(routes), log(routes.saturating_sub(1).max(1)));
        self.keys += f64::from(u8::from(routes <= 1));
        self.sum += now - before;
        self.squares += now * now - before * before;
    }

    /// The number of routes of a typical first hour.
    pub fn usual(&self) -> f64 {
        let (keys, sum) = (self.keys + PRIOR_KEYS, self.sum + PRIOR_KEYS * PRIOR_MEAN);
        (sum / keys).exp()
    }

    /// How many standard deviations the logarithm of `routes` lies above the mean of the keys but
    /// one that has `own` routes in these sums.
    pub fn deviations(&self, routes: u16, own: u16) -> f64 {
        let own_keys = f64::from(u8::from(own > 0));
        let keys = (self.keys - own_keys).max(0.0) + PRIOR_KEYS;
        let sum = self.sum - log(own.max(1)) + PRIOR_KEYS * PRIOR_MEAN;
        let prior_squares = PRIOR_KEYS * (PRIOR_SPREAD.powi(2) + PRIOR_MEAN.powi(2));
        let squares = self.squares - log(own.max(1)).powi(2) + prior_squares;
        let mean = sum / keys;
        let spread = (squares / keys - mean * mean).max(0.0).sqrt().max(MIN_SPREAD);
        (log(routes) - mean) / spread
    }
}

fn log(routes: u16) -> f64 {
    f64::from(routes.max(1)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(keys: usize, routes: u16) -> Breadth {
        let mut breadth = Breadth::default();
        (0..keys).for_each(|_| (1..=routes).for_each(|nth| breadth.count(nth)));
        breadth
    }

    #[test]
    fn a_walk_through_an_api_is_far_from_keys_of_few_routes() {
        assert!(fleet(200, 3).deviations(180, 0) > 4.5);
        assert!(Breadth::default().deviations(180, 0) > 4.0);
        assert!(Breadth::default().deviations(30, 0) < 3.0);
    }

    #[test]
    fn where_all_keys_use_many_routes_many_are_ordinary() {
        assert!(fleet(200, 90).deviations(180, 0) < 2.0);
    }

    #[test]
    fn a_key_is_not_compared_with_itself() {
        let mut breadth = fleet(20, 3);
        let before = breadth.deviations(180, 0);
        (1..=180).for_each(|nth| breadth.count(nth));
        assert!((breadth.deviations(180, 180) - before).abs() < 1e-9);
    }
}
