//! Learns the common places and hours of a tenant's keys and of all keys.
//!
//! A key with little history borrows them as a prior. The more keys a tenant has, the more its
//! own counts weigh against those of the fleet.

mod arrivals;
mod prior;

use std::collections::HashMap;
use std::hash::Hash;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use self::arrivals::Arrivals;
pub use self::prior::PopulationPrior;
use super::place::Arrival;
use crate::event::Origin;
use crate::rate::HourShare;
use crate::rate::season::{SEASONS, Shape};

/// Pseudo-count of an unseen value.
const UNSEEN: f64 = 0.5;
/// Pseudo-count of all unseen values together.
const PRIOR_TOTAL: f64 = 50.0;
/// Weight of the fleet's counts in those of a tenant, in keys.
const BORROWED_KEYS: f64 = 5.0;
/// Weight of the borrowed shape in one season of a group, in hours.
const BORROWED_HOURS: f32 = 20.0;
/// Largest share of one hour that is learned, so that the burst of one key does not count as a
/// habit of the group.
const MAX_SHARE: f32 = 5.0;
/// Most tenants remembered. The keys of further tenants borrow from the fleet only.
const MAX_TENANTS: usize = 10_000;

/// Looked up for most events. The seed is random, so that nobody can choose names that collide.
type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Counts of a categorical value.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Hash + Eq"))]
struct Counts<T> {
    counts: Map<T, u64>,
    total: u64,
}

impl<T> Default for Counts<T> {
    fn default() -> Self {
        Self { counts: Map::default(), total: 0 }
    }
}

impl<T: Hash + Eq + Clone> Counts<T> {
    fn add(&mut self, value: &T) {
        self.total += 1;
        match self.counts.get_mut(value) {
            Some(count) => *count += 1,
            None => {
                self.counts.insert(value.clone(), 1);
            }
        }
    }

    fn of(&self, value: &T) -> f64 {
        self.counts.get(value).copied().unwrap_or_default() as f64
    }

    /// Probability of this value. It is above 0 even for an unseen value.
    fn share(&self, value: &T) -> f64 {
        (self.of(value) + UNSEEN) / (self.total as f64 + PRIOR_TOTAL)
    }

    /// Probability of this value if the prior probability is `borrowed`.
    fn share_with(&self, value: &T, borrowed: f64) -> f64 {
        (self.of(value) + BORROWED_KEYS * borrowed) / (self.total as f64 + BORROWED_KEYS)
    }
}

/// Hourly rates of a group of keys. Each hour counts as a multiple of its key's mean.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Hours {
    #[serde(with = "crate::rate::sparse")]
    sums: [f32; SEASONS],
    #[serde(with = "crate::rate::sparse")]
    hours: [f32; SEASONS],
    shape: Shape,
}

impl Default for Hours {
    fn default() -> Self {
        Self { sums: [0.0; SEASONS], hours: [0.0; SEASONS], shape: Shape::FLAT }
    }
}

impl Hours {
    fn add(&mut self, hour: HourShare, borrowed: &Shape) {
        let season = hour.season;
        self.sums[season] += hour.share.min(MAX_SHARE);
        self.hours[season] += 1.0;
        self.reshape(season, borrowed);
    }

    fn reshape(&mut self, season: usize, borrowed: &Shape) {
        self.shape.0[season] = (self.sums[season] + BORROWED_HOURS * borrowed.0[season])
            / (self.hours[season] + BORROWED_HOURS);
    }
}

/// The places where a group's keys were first used, and the hours at which they are used.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Group {
    countries: Counts<CompactString>,
    networks: Counts<u32>,
    hours: Hours,
}

/// The fleet and its tenants, as groups of keys.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Population {
    fleet: Group,
    tenants: Map<CompactString, Group>,
    arrivals: Arrivals,
}

impl Population {
    /// Counts a new key and the place of its first use.
    pub fn admit(&mut self, tenant: Option<&str>, origin: &Origin) {
        let has_room = self.tenants.len() < MAX_TENANTS;
        if let Some(name) = tenant
            && has_room
            && !self.tenants.contains_key(name)
        {
            let mut group = Group::default();
            group.hours.shape = self.fleet.hours.shape;
            self.tenants.insert(name.into(), group);
        }
        let own = tenant.and_then(|name| self.tenants.get_mut(name));
        for group in own.into_iter().chain([&mut self.fleet]) {
            group.countries.add(&origin.country);
            group.networks.add(&origin.asn);
        }
    }

    /// Learns an hour of one key of this tenant.
    pub fn learn_hour(&mut self, tenant: Option<&str>, hour: HourShare) {
        self.fleet.hours.add(hour, &Shape::FLAT);
        if let Some(group) = tenant.and_then(|name| self.tenants.get_mut(name)) {
            group.hours.add(hour, &self.fleet.hours.shape);
        }
    }

    /// Relative rates of the hours of the week for keys of this tenant.
    pub fn shape(&self, tenant: Option<&str>) -> &Shape {
        &self.group(tenant).unwrap_or(&self.fleet).hours.shape
    }

    /// Probability that a key of this tenant is used from this country. It is never below the
    /// fleet's probability, because the keys of one tenant need not be in one country.
    pub fn country(&self, tenant: Option<&str>, country: &CompactString) -> f64 {
        let fleet = self.fleet.countries.share(country);
        self.group(tenant).map_or(fleet, |own| own.countries.share_with(country, fleet).max(fleet))
    }

    /// Probability that a key of this tenant is used from this network. It is never below the
    /// fleet's probability.
    pub fn network(&self, tenant: Option<&str>, asn: u32) -> f64 {
        let fleet = self.fleet.networks.share(&asn);
        self.group(tenant).map_or(fleet, |own| own.networks.share_with(&asn, fleet).max(fleet))
    }

    /// Learns the arrival of a key in another country.
    pub fn learn_arrival(&mut self, arrival: Arrival) {
        self.arrivals.learn(arrival);
    }

    /// Probability that a key's arrival in another country seems impossibly fast, and is innocent.
    pub fn usual_journeys(&self) -> f64 {
        self.arrivals.impossible_share()
    }

    fn group(&self, tenant: Option<&str>) -> Option<&Group> {
        self.tenants.get(tenant?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(country: &str, asn: u32) -> Origin {
        Origin { country: country.into(), asn, ..Origin::default() }
    }

    #[test]
    fn common_values_are_likelier_than_unseen_ones() {
        let mut population = Population::default();
        for _ in 0..1_000 {
            population.admit(None, &origin("DE", 1));
        }
        population.admit(None, &origin("FR", 2));
        let share = |country: &str| population.country(None, &country.into());
        assert!(share("DE") > 0.9);
        assert!(share("DE") > share("FR"));
        assert!(share("FR") > share("JP"));
        assert!(share("JP") > 0.0);
        assert!(population.network(None, 1) > 0.9);
    }

    #[test]
    fn a_tenants_counts_weigh_more_than_the_fleets() {
        let mut population = Population::default();
        for n in 0..1_000 {
            let tenant = if n < 50 { "acme" } else { "others" };
            let country = if n < 50 { "JP" } else { "DE" };
            population.admit(Some(tenant), &origin(country, 1));
        }
        assert!(population.country(Some("acme"), &"JP".into()) > 0.9);
        assert!(population.country(Some("acme"), &"DE".into()) > 0.8);
        assert!(population.country(Some("others"), &"JP".into()) < 0.1);
        assert!(population.country(Some("unknown"), &"DE".into()) > 0.8);
    }

    #[test]
    fn the_hours_of_a_tenant_are_learned_from_its_own_keys() {
        let mut population = Population::default();
        population.admit(Some("acme"), &origin("JP", 1));
        for _ in 0..1_000 {
            population.learn_hour(None, HourShare { season: 3, share: 2.0 });
        }
        population.admit(Some("later"), &origin("JP", 1));
        for _ in 0..200 {
            population.learn_hour(Some("acme"), HourShare { season: 3, share: 0.1 });
        }
        assert!(population.shape(Some("acme")).0[3] < 0.4);
        assert!(population.shape(Some("later")).0[3] > 1.5);
        assert!(population.shape(Some("nobody")).0[3] > 1.5);
    }
}
