//! Stores a trained population as plain numbers, from which a new shard starts.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{Counts, Group, Hours, Map, Population, SEASONS, Shape};

/// Fewest keys of a tenant that the prior contains. Smaller tenants count for the fleet only.
const MIN_KEYS: u64 = 5;

/// Places and hours of a fleet and of its larger tenants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PopulationPrior {
    fleet: GroupPrior,
    tenants: BTreeMap<CompactString, GroupPrior>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupPrior {
    /// Number of keys by the country of their first use.
    countries: BTreeMap<CompactString, u64>,
    /// Number of keys by the network (AS number) of their first use.
    networks: BTreeMap<u32, u64>,
    /// Number of learned hours by season: 24 hours of weekdays (UTC), then 24 of weekends.
    hours: Vec<f32>,
    /// Sum over these hours, each as a multiple of its key's mean.
    shares: Vec<f32>,
}

impl GroupPrior {
    fn of(group: &Group) -> Self {
        let countries = group.countries.counts.iter();
        let networks = group.networks.counts.iter();
        Self {
            countries: countries.map(|(country, keys)| (country.clone(), *keys)).collect(),
            networks: networks.map(|(asn, keys)| (*asn, *keys)).collect(),
            hours: group.hours.hours.to_vec(),
            shares: group.hours.sums.to_vec(),
        }
    }

    fn is_usable(&self) -> bool {
        let are_seasons = |values: &[f32]| {
            (values.is_empty() || values.len() == SEASONS)
                && values.iter().all(|value| value.is_finite() && *value >= 0.0)
        };
        are_seasons(&self.hours) && are_seasons(&self.shares)
    }

    fn restore(&self, borrowed: &Shape) -> Group {
        let mut hours = Hours::default();
        for season in 0..SEASONS {
            hours.hours[season] = self.hours.get(season).copied().unwrap_or_default();
            hours.sums[season] = self.shares.get(season).copied().unwrap_or_default();
            hours.reshape(season, borrowed);
        }
        Group {
            countries: Counts::of_prior(self.countries.iter()),
            networks: Counts::of_prior(self.networks.iter()),
            hours,
        }
    }
}

impl<T: std::hash::Hash + Eq + Clone> Counts<T> {
    fn of_prior<'a>(counts: impl Iterator<Item = (&'a T, &'a u64)>) -> Self
    where
        T: 'a,
    {
        let counts: Map<T, u64> = counts.map(|(value, count)| (value.clone(), *count)).collect();
        let total = counts.values().fold(0, |total: u64, count| total.saturating_add(*count));
        Self { counts, total }
    }
}

impl PopulationPrior {
    /// The prior that a learned population gives.
    pub fn of(population: &Population) -> Self {
        let tenants = population.tenants.iter();
        let large = tenants.filter(|(_, group)| group.countries.total >= MIN_KEYS);
        Self {
            fleet: GroupPrior::of(&population.fleet),
            tenants: large.map(|(name, group)| (name.clone(), GroupPrior::of(group))).collect(),
        }
    }

    /// Whether all numbers are finite and not negative, and all lists of seasons have the right
    /// length or are empty.
    pub fn is_usable(&self) -> bool {
        self.fleet.is_usable() && self.tenants.values().all(GroupPrior::is_usable)
    }

    /// The population with which a new shard starts. The prior must be usable.
    pub fn restore(&self) -> Population {
        let fleet = self.fleet.restore(&Shape::FLAT);
        let tenant = |(name, prior): (&CompactString, &GroupPrior)| {
            (name.clone(), prior.restore(&fleet.hours.shape))
        };
        let tenants = self.tenants.iter().map(tenant).collect();
        Population { fleet, tenants, ..Population::default() }
    }

    /// Number of keys of the fleet.
    pub fn keys(&self) -> u64 {
        self.fleet.countries.values().sum()
    }

    /// Number of tenants in the prior.
    pub fn tenants(&self) -> usize {
        self.tenants.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Origin;
    use crate::rate::HourShare;

    #[test]
    fn a_restored_population_has_the_learned_probabilities() {
        let mut learned = Population::default();
        for n in 0..40 {
            let (tenant, country) = if n % 4 == 0 { ("small", "JP") } else { ("large", "DE") };
            let tenant = if n == 0 { "single" } else { tenant };
            let origin = Origin { country: country.into(), asn: 64_500, ..Origin::default() };
            learned.admit(Some(tenant), &origin);
            learned.learn_hour(Some(tenant), HourShare { season: 9, share: 2.5 });
        }
        let prior = PopulationPrior::of(&learned);
        assert_eq!((prior.keys(), prior.tenants()), (40, 2), "a tenant of one key is left out");
        assert!(prior.is_usable());
        let restored = prior.restore();
        for tenant in [None, Some("small"), Some("large")] {
            for country in ["JP", "DE", "FR"] {
                let country = country.into();
                assert_eq!(restored.country(tenant, &country), learned.country(tenant, &country));
            }
            assert_eq!(restored.network(tenant, 64_500), learned.network(tenant, 64_500));
            assert_eq!(restored.shape(None).0, learned.shape(None).0);
        }
        assert!(restored.shape(Some("large")).0[9] > 1.5);
    }

    #[test]
    fn an_empty_prior_restores_an_empty_population() {
        let empty = PopulationPrior::default().restore();
        assert_eq!(empty.shape(None).0, Population::default().shape(None).0);
    }
}
