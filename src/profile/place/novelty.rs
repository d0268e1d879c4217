//! Counts how often a key uses a network, a country or a region for the first time.
//!
//! The counts also cover places that are not remembered any more. A key of one person rarely uses
//! a new place; a key of a crowd does so all the time.

use serde::{Deserialize, Serialize};

/// Time constant of the decay, in observations: a fortnight of a key with one place, or a day of a
/// crowd.
const WINDOW: f32 = 2_048.0;
/// Pseudo-observations of a new place.
const PRIOR: f64 = 0.5;
/// Weight of what is usual in the fleet, in pseudo-observations.
const JOURNEY_PRIOR: f64 = 20.0;

/// The ways in which one observation differs from the key's own places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Firsts {
    pub network: bool,
    pub country: bool,
    pub region: bool,
    /// The journey from the key's other places would be impossibly fast.
    pub impossible: bool,
    /// The place is not an established site of the key, whether new or not.
    pub passing: bool,
    /// The place is a data centre, whether new or not.
    pub rented: bool,
}

/// Counts of observations. All counts decay at the same rate.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Novelty {
    observations: f32,
    networks: f32,
    countries: f32,
    regions: f32,
    impossible: f32,
    passing: f32,
    impossible_passing: f32,
    rented: f32,
}

impl Novelty {
    /// Counts an observation with the weight `gain`.
    pub(super) fn count(&mut self, firsts: Firsts, gain: f32) {
        let keep = 1.0 - gain / WINDOW;
        // The first place of a key is always new, and says nothing about its habits.
        let is_first = self.observations == 0.0;
        for (count, is_one) in [
            (&mut self.observations, true),
            (&mut self.networks, firsts.network && !is_first),
            (&mut self.countries, firsts.country && !is_first),
            (&mut self.regions, firsts.region && !is_first),
            (&mut self.impossible, firsts.impossible),
            (&mut self.passing, firsts.passing && !is_first),
            (&mut self.impossible_passing, firsts.impossible && firsts.passing),
            (&mut self.rented, firsts.rented),
        ] {
            *count = *count * keep + if is_one { gain } else { 0.0 };
        }
    }

    /// Decayed count of countries that were new after the first.
    pub(super) fn countries(&self) -> f32 {
        self.countries
    }

    /// Decayed count of observations.
    pub fn observations(&self) -> f64 {
        f64::from(self.observations)
    }

    /// Probability that the next observation is from a network that the key never used before. The
    /// estimate is the share of past observations from such networks (Good 1953, in sequence).
    pub fn new_network(&self) -> f64 {
        self.share(self.networks)
    }

    /// As [`Self::new_network`], for countries.
    pub fn new_country(&self) -> f64 {
        self.share(self.countries)
    }

    /// As [`Self::new_network`], for regions.
    pub fn new_region(&self) -> f64 {
        self.share(self.regions)
    }

    /// Probability that the next observation is from a data centre.
    pub fn rented(&self) -> f64 {
        self.share(self.rented)
    }

    /// Probability that the next observation is from a place that is not an established site.
    pub fn passing(&self) -> f64 {
        self.share(self.passing)
    }

    /// Decayed count of observations outside of the established sites.
    pub fn arrivals(&self) -> f64 {
        f64::from(self.passing)
    }

    /// Probability that an ordinary observation seems to need an impossibly fast journey.
    ///
    /// The value is the higher of two rates: over all observations, and over observations outside
    /// of the established sites. It is at least what is `usual` in the fleet, because every client
    /// may begin to use a VPN, and every key may get a second holder.
    pub fn impossible(&self, usual: f64) -> f64 {
        let rate = |seen: f32, of: f32| {
            (f64::from(seen) + JOURNEY_PRIOR * usual) / (f64::from(of) + JOURNEY_PRIOR)
        };
        let passing = rate(self.impossible_passing, self.passing);
        rate(self.impossible, self.observations).max(passing).max(usual)
    }

    fn share(&self, count: f32) -> f64 {
        (f64::from(count) + PRIOR) / (self.observations() + PRIOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(observations: u32, firsts: impl Fn(u32) -> Firsts) -> Novelty {
        let mut novelty = Novelty::default();
        (0..observations).for_each(|n| novelty.count(firsts(n), 1.0));
        novelty
    }

    const NEW: Firsts = Firsts {
        network: true,
        country: true,
        region: true,
        passing: true,
        impossible: false,
        rented: false,
    };

    #[test]
    fn a_new_place_is_less_likely_the_longer_the_key_has_stayed() {
        let stays = |n| if n == 0 { NEW } else { Firsts::default() };
        assert!(after(1_000, stays).new_network() < after(10, stays).new_network() / 50.0);
        assert!(after(1_000, stays).new_country() < 0.001);
    }

    #[test]
    fn a_crowd_uses_new_networks_as_often_as_before() {
        let crowd = |n| if n % 4 == 0 { NEW } else { Firsts::default() };
        let often = after(5_000, crowd).new_network();
        assert!((often - 0.25).abs() < 0.01, "{often}");
    }

    #[test]
    fn impossible_journeys_are_likely_for_a_key_that_is_used_everywhere() {
        let everywhere = |_| Firsts { impossible: true, ..Firsts::default() };
        assert!(after(200, everywhere).impossible(0.01) > 0.9);
        let nowhere_else = |_| Firsts::default();
        assert_eq!(after(2_000, nowhere_else).impossible(0.01), 0.01);
    }
}
