//! What is asked for: paths as templates, and which of them a key uses.

use std::fmt::Write;

use crate::event::EventTime;

/// Deeper paths differ in their first segments.
const MAX_SEGMENTS: usize = 8;
/// Longer segments are names of things, not of kinds of things.
const MAX_LITERAL: usize = 32;

/// A method and a path template, hashed. Two of ten thousand routes share an id with a
/// probability of about one percent.
pub type RouteId = u32;

/// The route of a request. Numbers, UUIDs and other opaque segments all count as `{id}`.
///
/// FNV-1a (Fowler, Noll and Vo) over method and literal segments, in one pass, since it is
/// asked with every request.
pub fn route_id(method: &str, path: &str) -> RouteId {
    let mut route = method.bytes().fold(FNV_BASIS, fnv);
    let (mut segment, mut shape, mut segments) = (route, Shape::default(), 0);
    for byte in path.bytes().chain([b'/']) {
        if byte != b'/' {
            segment = fnv(segment, byte);
            shape.add(byte);
            continue;
        }
        if shape.length > 0 && segments < MAX_SEGMENTS {
            route = fnv(if shape.is_literal() { segment } else { route }, b'/');
            segments += 1;
        }
        (segment, shape) = (route, Shape::default());
    }
    (route ^ (route >> 32)) as RouteId
}

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

const fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3)
}

/// The route as text: `GET /v1/orders/{id}`.
pub fn route_name(method: &str, path: &str) -> String {
    let mut name = format!("{method} ");
    for segment in segments(path) {
        let shown = if Shape::of(segment).is_literal() { segment } else { "{id}" };
        // Writing into a string does not fail.
        let _ = write!(name, "/{shown}");
    }
    name
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty()).take(MAX_SEGMENTS)
}

/// Letters of a path segment by kind.
#[derive(Clone, Copy, Default)]
struct Shape {
    /// Digits, lower case, upper case, and all else that no name has: 16 bits each.
    counts: u64,
    first: u8,
    length: usize,
}

const KINDS: [u64; 256] = {
    let mut kinds = [1 << 48; 256];
    let mut byte = 0u8;
    while byte < 128 {
        kinds[byte as usize] = match byte {
            b'0'..=b'9' => 1,
            b'a'..=b'z' => 1 << 16,
            b'A'..=b'Z' => 1 << 32,
            b'-' | b'_' | b'.' | b':' | b'~' => 0,
            _ => 1 << 48,
        };
        byte += 1;
    }
    kinds
};

impl Shape {
    fn of(segment: &str) -> Self {
        let mut shape = Self::default();
        segment.bytes().for_each(|byte| shape.add(byte));
        shape
    }

    fn add(&mut self, byte: u8) {
        if self.length == 0 {
            self.first = byte;
        }
        self.counts = self.counts.wrapping_add(KINDS[usize::from(byte)]);
        self.length += 1;
    }

    /// Whether a segment names a kind of thing (`orders`, `v1`, `oauth2`) and not one thing
    /// (`4711`, `cus_9s6XKz`, `BTC-USD`, `a@example.com`).
    fn is_literal(self) -> bool {
        let [digits, lower, upper, other] = [0, 16, 32, 48].map(|at| self.counts >> at & 0xffff);
        if self.length > MAX_LITERAL || other > 0 {
            return false;
        }
        match digits {
            0 => lower > 0 || upper == 1,
            1 => lower > 0 && self.length <= 10,
            _ => self.first == b'v' && self.length <= 8 && upper == 0 && (1..=5).contains(&lower),
        }
    }
}

/// Routes remembered of one key; the lightest gives way.
const MAX_ROUTES: usize = 12;
/// Weights are kept in quarters of an observation: one hour in which the route was used.
const OBSERVATION: u16 = 4;
/// An observation that came with an alert.
const SUSPICIOUS: u16 = 1;
/// A route of three observations is one of the key's own.
const KNOWN: u16 = 3 * OBSERVATION;
/// All weights are halved when they come to this many observations together: about a
/// fortnight of a key with a handful of routes.
const MAX_OBSERVATIONS: u32 = 2_000;

#[derive(Clone, Copy, Debug, Default)]
struct RouteUse {
    id: RouteId,
    weight: u16,
    /// Hour of the last observation; wraps after seven years.
    hour: u16,
}

/// The routes of one key, in 108 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteProfile {
    routes: [RouteUse; MAX_ROUTES],
    /// Bit by place: the route creates, rotates or reads keys.
    manages_keys: u16,
    /// Decayed number of times that a route was not among those remembered, in quarters.
    misses: u16,
    hour: u16,
    /// Requests of the present hour on routes that are not the key's own yet.
    fresh: u16,
}

/// What is known of one route of a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    pub is_known: bool,
    /// Observations before the present hour.
    pub observations: f64,
    pub manages_keys: bool,
    /// The present hour is learned already.
    pub is_counted: bool,
}

fn hour_of(time: EventTime) -> u16 {
    time.as_micros().div_euclid(3_600_000_000) as u16
}

impl RouteProfile {
    /// `None` for a route that is not remembered.
    pub fn usage(&self, id: RouteId, time: EventTime) -> Option<Usage> {
        let place = self.place(id)?;
        let RouteUse { weight, hour, .. } = self.routes[place];
        let this_hour = hour == hour_of(time);
        let before = if this_hour { weight.saturating_sub(OBSERVATION) } else { weight };
        Some(Usage {
            is_known: weight >= KNOWN,
            observations: f64::from(before) / f64::from(OBSERVATION),
            manages_keys: self.manages_keys & (1 << place) != 0,
            is_counted: this_hour,
        })
    }

    fn place(&self, id: RouteId) -> Option<usize> {
        self.routes.iter().position(|route| route.id == id && route.weight > 0)
    }

    /// Counts a request on a route that is not the key's own yet.
    pub fn count_fresh(&mut self, time: EventTime) {
        let hour = hour_of(time);
        if hour != self.hour {
            (self.hour, self.fresh) = (hour, 0);
        }
        self.fresh = self.fresh.saturating_add(1);
    }

    /// Requests so counted in the present hour.
    pub fn fresh_requests(&self) -> u16 {
        self.fresh
    }

    /// Observations of all routes.
    pub fn observations(&self) -> f64 {
        f64::from(self.total()) / f64::from(OBSERVATION)
    }

    /// How often a route was none of those remembered.
    pub fn misses(&self) -> f64 {
        f64::from(self.misses) / f64::from(OBSERVATION)
    }

    fn total(&self) -> u32 {
        self.routes.iter().map(|route| u32::from(route.weight)).sum()
    }

    /// Ids of the routes that are the key's own, the most used first.
    pub fn known(&self) -> Vec<RouteId> {
        let mut routes = self.routes;
        routes.sort_by_key(|route| std::cmp::Reverse(route.weight));
        routes.iter().filter(|route| route.weight >= KNOWN).map(|route| route.id).collect()
    }

    /// Learns a request that was answered. True when the route was taken up just now.
    pub fn learn(
        &mut self,
        id: RouteId,
        time: EventTime,
        manages_keys: bool,
        suspicious: bool,
    ) -> bool {
        let gain = if suspicious { SUSPICIOUS } else { OBSERVATION };
        let hour = hour_of(time);
        if let Some(place) = self.place(id) {
            let route = &mut self.routes[place];
            if route.hour != hour {
                (route.weight, route.hour) = (route.weight.saturating_add(gain), hour);
                self.forget_if_full();
            }
            return false;
        }
        let lightest = self.routes.iter().enumerate().min_by_key(|(_, route)| route.weight);
        let place = lightest.map_or(0, |(place, _)| place);
        self.routes[place] = RouteUse { id, weight: gain, hour };
        self.manages_keys &= !(1 << place);
        self.manages_keys |= u16::from(manages_keys) << place;
        self.misses = self.misses.saturating_add(gain);
        self.forget_if_full();
        true
    }

    fn forget_if_full(&mut self) {
        if self.total() > MAX_OBSERVATIONS * u32::from(OBSERVATION) {
            self.routes.iter_mut().for_each(|route| route.weight /= 2);
            self.misses /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_one_thing_becomes_an_id() {
        for (path, route) in [
            ("/v1/orders/4711", "/v1/orders/{id}"),
            ("/v1/orders/4711/items/8", "/v1/orders/{id}/items/{id}"),
            ("/v1beta1/customers/cus_9s6XKzkNRiZ8i3", "/v1beta1/customers/{id}"),
            ("/files/0b0e7a3c-6d0c-4d8e-9a3e-8c3f1f6d2a11", "/files/{id}"),
            ("/blobs/deadbeef0123456789", "/blobs/{id}"),
            ("/ticker/BTC-USD/", "/ticker/{id}"),
            ("/users/a@example.com", "/users/{id}"),
            ("/reports/2026-01-05", "/reports/{id}"),
            ("/oauth2/token", "/oauth2/token"),
            ("/pkg.Service/GetThing", "/pkg.Service/GetThing"),
            ("/v1/api-keys/17:rotate", "/v1/api-keys/{id}"),
            ("/", ""),
        ] {
            assert_eq!(route_name("GET", path), format!("GET {route}"), "{path}");
        }
        assert_eq!(route_id("GET", "/v1/orders/1"), route_id("GET", "/v1/orders/22"));
        assert_ne!(route_id("GET", "/v1/orders/1"), route_id("DELETE", "/v1/orders/1"));
    }

    #[test]
    fn a_route_is_the_key_s_own_after_hours_and_not_after_many_requests() {
        let mut routes = RouteProfile::default();
        for request in 0..5_000 {
            routes.learn(7, EventTime::from_seconds(request / 2), false, false);
        }
        let usage = routes.usage(7, EventTime::from_seconds(2_500));
        assert!(usage.is_some_and(|usage| !usage.is_known && usage.observations < 1.0));
        for hour in 1..3 {
            routes.learn(7, EventTime::from_seconds(hour * 3_600), false, false);
        }
        let usage = routes.usage(7, EventTime::from_seconds(10_800));
        assert!(usage.is_some_and(|usage| usage.is_known));
        assert_eq!(routes.known(), [7]);
    }

    #[test]
    fn a_key_with_more_routes_than_are_remembered_misses_often() {
        let mut routes = RouteProfile::default();
        for n in 0..6_000u32 {
            routes.learn(n % 40, EventTime::from_seconds(i64::from(n) * 100), false, false);
        }
        assert!(routes.misses() > 0.5 * routes.observations());
        assert!(routes.observations() <= f64::from(MAX_OBSERVATIONS));
        assert!(size_of::<RouteProfile>() <= 120);
    }
}
