//! Which routes other keys use: those of the same tenant, with the same scopes, and all.

use std::collections::HashMap;

use compact_str::CompactString;

use super::route::RouteId;

/// Counts kept at most, twice: see [`PeerRoutes`].
const MAX_COUNTS: usize = 32_768;
/// Route names kept at most.
const MAX_NAMES: usize = 4_096;
/// Pseudo-counts of a route that nobody uses, and of everything that nobody uses.
const UNSEEN: f64 = 0.5;
const PRIOR_TOTAL: f64 = 50.0;

/// A set of keys, by the hash of what they have in common.
pub type GroupId = u64;
/// All keys.
pub const EVERYBODY: GroupId = 0;
/// The place of a group's total among its counts.
const TOTAL: RouteId = 0;

/// How many keys of a group have taken up a route, and the routes' names.
///
/// Two generations, like [`super::Recent`]: when the young one is full it becomes the old
/// one, and the former old one is dropped whole. Memory is bounded whatever is asked for.
#[derive(Debug, Default)]
pub struct PeerRoutes {
    young: HashMap<(GroupId, RouteId), u32, foldhash::fast::RandomState>,
    old: HashMap<(GroupId, RouteId), u32, foldhash::fast::RandomState>,
    names: HashMap<RouteId, CompactString, foldhash::fast::RandomState>,
}

impl PeerRoutes {
    /// Counts a key of these groups that took up a route; `name` is asked for the first time.
    pub fn take_up(&mut self, groups: &[GroupId], route: RouteId, name: impl FnOnce() -> String) {
        for group in groups.iter().copied() {
            self.add((group, route));
            self.add((group, TOTAL));
        }
        if self.names.len() < MAX_NAMES {
            self.names.entry(route).or_insert_with(|| name().into());
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

    /// The share that a route has in what the keys of the group use which knows it best:
    /// common for any of its peers is common enough for a key. More than 0, at most 1.
    /// `own` is what the asking key itself has added.
    pub fn share(&self, groups: &[GroupId], route: RouteId, own: f64) -> f64 {
        let shares = groups.iter().map(|group| {
            let unseen = if *group == EVERYBODY { UNSEEN } else { 0.0 };
            let users = (self.count((*group, route)) - own).max(0.0);
            (users + unseen) / (self.count((*group, TOTAL)) + PRIOR_TOTAL)
        });
        shares.fold(f64::MIN_POSITIVE, f64::max)
    }

    /// Keys other than the asking one that use a route.
    pub fn users(&self, route: RouteId, own: f64) -> f64 {
        (self.count((EVERYBODY, route)) - own).max(0.0)
    }

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
            peers.take_up(&[EVERYBODY], 1 + key % 4, || "GET /a".into());
        }
        for _ in 0..5 {
            peers.take_up(&[EVERYBODY, tenant], 77, || "GET /b".into());
        }
        assert!(peers.share(&[EVERYBODY], 1, 0.0) > 0.2);
        assert!(peers.share(&[EVERYBODY], 77, 0.0) < 0.02);
        assert!(peers.share(&[EVERYBODY, tenant], 77, 0.0) > 0.05);
        assert!(peers.share(&[EVERYBODY, tenant], 78, 0.0) < 0.002);
        assert_eq!(peers.name(77), Some("GET /b"));
    }

    #[test]
    fn endless_routes_cost_bounded_memory() {
        let mut peers = PeerRoutes::default();
        for route in 1..200_000 {
            peers.take_up(&[EVERYBODY], route, || "GET /".into());
        }
        assert!(peers.young.len() <= MAX_COUNTS && peers.old.len() <= MAX_COUNTS);
        assert!(peers.names.len() <= MAX_NAMES);
    }
}
