//! Counts which routes a key's peers use: keys of the same tenant, with the same scopes, and all
//! keys.

use std::collections::HashMap;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::breadth::Breadth;
use super::client::FleetClients;
use super::route::RouteId;
use super::template::Templates;

/// Most counts in one generation: see [`PeerRoutes`].
const MAX_COUNTS: usize = 32_768;
/// Most route names.
const MAX_NAMES: usize = 4_096;
/// Pseudo-count of a route that no key uses.
const UNSEEN: f64 = 0.5;
/// Pseudo-count of all unused routes together.
const PRIOR_TOTAL: f64 = 50.0;

/// A group of keys: the hash of the tenant or the scopes that they share.
pub type GroupId = u64;
/// The group of all keys.
pub const EVERYBODY: GroupId = 0;
/// The route id under which the total of a group is counted.
const TOTAL: RouteId = 0;

/// For each group, how many of its keys use each route; also the names of routes.
///
/// Counts are in two generations, as in [`super::Recent`]. A full young generation becomes the old
/// one, and the former old one is dropped. So requests for any number of routes need bounded
/// memory.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct PeerRoutes {
    young: HashMap<(GroupId, RouteId), u32, foldhash::fast::RandomState>,
    old: HashMap<(GroupId, RouteId), u32, foldhash::fast::RandomState>,
    names: HashMap<RouteId, CompactString, foldhash::fast::RandomState>,
    /// Which path segments are parameters.
    pub templates: Templates,
    /// Which clients all keys use.
    pub clients: FleetClients,
    /// How many routes keys use in their first hour.
    pub breadth: Breadth,
}

impl PeerRoutes {
    /// Counts that a key of these groups began to use a route. `name` is called only if the route
    /// has no name yet.
    pub fn take_up(
        &mut self,
        groups: &[GroupId],
        route: RouteId,
        name: impl FnOnce(&Templates) -> String,
    ) {
        for group in groups.iter().copied() {
            self.add((group, route));
            self.add((group, TOTAL));
        }
        if self.names.len() < MAX_NAMES {
            self.names.entry(route).or_insert_with(|| name(&self.templates).into());
        }
    }

    fn add(&mut self, key: (GroupId, RouteId)) {
        if self.young.len() >= MAX_COUNTS {
            self.old = std::mem::take(&mut self.young);
        }
        *self.young.entry(key).or_default() += 1;
    }

    fn count(&self, key: (GroupId, RouteId)) -> f64 {
        let of = |counts: &HashMap<_, u32, _>| counts.get(&key).copied().unwrap_or_default();
        f64::from(of(&self.young)) + f64::from(of(&self.old))
    }

    /// Share of a route among all routes of a group's keys: the highest of the groups, because a
    /// route that is common in one of its groups is ordinary for a key. The share is above 0 and
    /// at most 1. `own` is the count that the key itself added, which is subtracted.
    pub fn share(&self, groups: &[GroupId], route: RouteId, own: f64) -> f64 {
        let shares = groups.iter().map(|group| {
            let unseen = if *group == EVERYBODY { UNSEEN } else { 0.0 };
            let users = (self.count((*group, route)) - own).max(0.0);
            (users + unseen) / (self.count((*group, TOTAL)) + PRIOR_TOTAL)
        });
        shares.fold(f64::MIN_POSITIVE, f64::max)
    }

    /// Number of other keys that use a route. `own` is the count that the key itself added.
    pub fn users(&self, route: RouteId, own: f64) -> f64 {
        (self.count((EVERYBODY, route)) - own).max(0.0)
    }

    /// Name of a route, such as `GET /v1/orders/{id}`. `None` if it was not kept.
    pub fn name(&self, route: RouteId) -> Option<&str> {
        self.names.get(&route).map(CompactString::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_of_the_tenant_is_common_though_the_fleet_hardly_knows_it() {
        let (mut peers, tenant) = (PeerRoutes::default(), 9);
        for key in 0..400 {
            peers.take_up(&[EVERYBODY], 1 + key % 4, |_| "GET /a".into());
        }
        for _ in 0..5 {
            peers.take_up(&[EVERYBODY, tenant], 77, |_| "GET /b".into());
        }
        assert!(peers.share(&[EVERYBODY], 1, 0.0) > 0.2);
        assert!(peers.share(&[EVERYBODY], 77, 0.0) < 0.02);
        assert!(peers.share(&[EVERYBODY, tenant], 77, 0.0) > 0.05);
        assert!(peers.share(&[EVERYBODY, tenant], 78, 0.0) < 0.002);
        assert_eq!(peers.name(77), Some("GET /b"));
    }

    #[test]
    fn any_number_of_routes_needs_bounded_memory() {
        let mut peers = PeerRoutes::default();
        for route in 1..200_000 {
            peers.take_up(&[EVERYBODY], route, |_| "GET /".into());
        }
        assert!(peers.young.len() <= MAX_COUNTS && peers.old.len() <= MAX_COUNTS);
        assert!(peers.names.len() <= MAX_NAMES);
    }
}
