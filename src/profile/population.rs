//! How common countries and networks are over all keys: the prior for a place that a
//! key has never used.

use std::collections::HashMap;
use std::hash::Hash;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// Pseudo-observations that an unseen value gets.
const UNSEEN: f64 = 0.5;
/// Pseudo-observations spread over everything unseen.
const PRIOR_TOTAL: f64 = 50.0;

/// Shares of a categorical value, with an allowance for values not seen yet.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Hash + Eq"))]
pub struct Shares<T> {
    counts: HashMap<T, u64>,
    total: u64,
}

impl<T> Default for Shares<T> {
    fn default() -> Self {
        Self { counts: HashMap::new(), total: 0 }
    }
}

impl<T: Hash + Eq + Clone> Shares<T> {
    pub fn add(&mut self, value: &T) {
        self.total += 1;
        match self.counts.get_mut(value) {
            Some(count) => *count += 1,
            None => {
                self.counts.insert(value.clone(), 1);
            }
        }
    }

    /// Probability of this value, between 0 and 1 and never 0.
    pub fn of(&self, value: &T) -> f64 {
        let count = self.counts.get(value).copied().unwrap_or_default() as f64;
        (count + UNSEEN) / (self.total as f64 + PRIOR_TOTAL)
    }
}

/// What all keys together look like.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Population {
    pub countries: Shares<CompactString>,
    pub networks: Shares<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_values_are_likelier_than_unseen_ones() {
        let mut shares = Shares::default();
        for _ in 0..1_000 {
            shares.add(&1);
        }
        shares.add(&2);
        assert!(shares.of(&1) > 0.9);
        assert!(shares.of(&1) > shares.of(&2));
        assert!(shares.of(&2) > shares.of(&3));
        assert!(shares.of(&3) > 0.0);
    }
}
