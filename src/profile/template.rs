//! Replaces the parameters of paths by placeholders, and learns from traffic which segments are
//! parameters.
//!
//! A segment is a parameter if it is spelled like an id. The position after one parent path is
//! also a parameter if several keys use ever new values there, whatever their spelling. Only
//! routes that keys use for the first time, by proven use, are counted.

use std::collections::HashMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::route::RouteId;
use super::segment::Segment;
use crate::event::{DAY_SECONDS, EventTime};

/// Most segments of a path that a route depends on.
const MAX_SEGMENTS: usize = 8;
/// Most parents that are counted in one generation: see [`Templates`].
const MAX_PARENTS: usize = 512;
/// Most parameters that are remembered.
const MAX_PARAMETERS: usize = 2_048;
/// Fewest distinct values of a parameter.
const MIN_VALUES: f64 = 96.0;
/// Fewest keys that use a parameter, so that no single key can hide its operations in one.
const MIN_KEYS: u32 = 3;
/// Smallest share of routes with a new value among all routes counted at a parameter, overall and
/// recently. Operations do not reach it, because there are finitely many and several keys use
/// each of them.
const MIN_NEW_SHARE: f64 = 0.6;
/// Weight of one route in the recent share: about the last sixteen count.
const RECENT_STEP: f32 = 1.0 / 16.0;
/// Fewest keys that use a value which stays a literal in a parameter.
const MIN_COMMON: u16 = 3;
/// Smallest share of such a value.
const COMMON_SHARE: f64 = 0.03;
/// For this long after a position became a parameter, the routes below it are new for all keys.
const SETTLING_SECONDS: f64 = DAY_SECONDS;
/// Buckets of the sketch of distinct values (linear counting: Whang, Vander-Zanden and Taylor
/// 1990).
const VALUE_BUCKETS: u64 = 512;

/// The route of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub id: RouteId,
    /// The route without learned parameters, as training uses it.
    pub plain: RouteId,
    /// Part of the route became a parameter less than a day ago, so a first use of the route is
    /// not evidence.
    pub is_settling: bool,
}

/// The learned parameters, and counts of positions that may become parameters. Memory is bounded:
/// parents are in two generations, as in [`super::PeerRoutes`].
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Templates {
    young: HashMap<u64, Parent, foldhash::fast::RandomState>,
    old: HashMap<u64, Parent, foldhash::fast::RandomState>,
    parameters: HashMap<u64, Parameter, foldhash::fast::RandomState>,
}

/// Counts of the values at the position after one parent path.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Parent {
    /// One bit for each bucket of values.
    values: [u64; (VALUE_BUCKETS / 64) as usize],
    /// One bit for each bucket of keys.
    keys: u64,
    /// Number of routes counted.
    taken: u32,
    /// Decayed share of routes with a new value.
    recent: f32,
    /// The most frequent values and their counts (after Space-Saving: Metwally, Agrawal and El
    /// Abbadi 2005).
    common: [(u32, u16); 16],
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Parameter {
    since: EventTime,
    /// Hashes of values that stay literals: `search` in `/articles/search`.
    literals: Vec<u32>,
}

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// One step of FNV-1a (Fowler, Noll and Vo).
const fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3)
}

fn fold(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| fnv(hash, *byte))
}

/// Hashes a path into a route id, without ids and parameters. `is_parameter` is called for each
/// literal segment with the hash of its parent and the hash of the path up to the segment.
fn walk(method: &str, path: &str, mut is_parameter: impl FnMut(u64, u64) -> bool) -> RouteId {
    let mut route = fold(FNV_BASIS, method.as_bytes());
    for segment in segments(path) {
        let segment = segment.as_bytes();
        let below = match Segment::of(segment) {
            Segment::Id => route,
            Segment::Version => fold(route, b"{version}"),
            Segment::Literal => {
                let value = fold(route, segment);
                if is_parameter(route, value) { route } else { value }
            }
        };
        route = fnv(below, b'/');
    }
    (route ^ (route >> 32)) as RouteId
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty()).take(MAX_SEGMENTS)
}

/// The resource that a request names by an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thing {
    /// The number in the id, or a hash of the id.
    pub id: u64,
    pub is_number: bool,
}

impl Thing {
    /// Reads the last id of the path. A number may follow letters and may be hexadecimal, as in
    /// `order-4711` and `pi_5f00fc`. `None` if the path has no id.
    pub fn of(path: &str) -> Option<Self> {
        let is_id =
            |segment: &&str| !segment.is_empty() && Segment::of(segment.as_bytes()) == Segment::Id;
        let segment = path.rsplit('/').find(is_id)?;
        let number = segment.trim_start_matches(|letter: char| !letter.is_ascii_digit());
        Some(match number.parse().or_else(|_| u64::from_str_radix(number, 16)) {
            Ok(id) => Self { id, is_number: true },
            Err(_) => Self { id: fold(FNV_BASIS, segment.as_bytes()), is_number: false },
        })
    }
}

/// The route id of a request without learned parameters.
pub fn route_id(method: &str, path: &str) -> RouteId {
    walk(method, path, |_, _| false)
}

impl Templates {
    /// The route of a request at `time`.
    pub fn route(&self, method: &str, path: &str, time: EventTime) -> Route {
        let (mut is_learned, mut is_settling) = (false, false);
        let id = walk(method, path, |parent, value| {
            let parameter = self.parameter(parent, value);
            if let Some(parameter) = parameter {
                is_learned = true;
                is_settling |= time.seconds_since(parameter.since) < SETTLING_SECONDS;
            }
            parameter.is_some()
        });
        let plain = if is_learned { route_id(method, path) } else { id };
        Route { id, plain, is_settling }
    }

    fn parameter(&self, parent: u64, value: u64) -> Option<&Parameter> {
        if self.parameters.is_empty() {
            return None;
        }
        let parameter = self.parameters.get(&parent)?;
        (!parameter.literals.contains(&(value as u32))).then_some(parameter)
    }

    /// The route as text, with the version of this request: `GET /v1/orders/{id}`.
    pub fn name(&self, method: &str, path: &str) -> String {
        let mut name = format!("{method} ");
        let mut shown = segments(path).map(|segment| match Segment::of(segment.as_bytes()) {
            Segment::Id => None,
            Segment::Version => Some((segment, false)),
            Segment::Literal => Some((segment, true)),
        });
        let mut write = |segment: Option<&str>| {
            // Writing into a string does not fail.
            let _ = write!(name, "/{}", segment.unwrap_or("{id}"));
        };
        walk(method, path, |parent, value| {
            let is_parameter = self.parameter(parent, value).is_some();
            // `walk` calls back for literals only: write the ids and versions before this one too.
            for segment in shown.by_ref() {
                match segment {
                    Some((segment, true)) => {
                        write(Some(segment).filter(|_| !is_parameter));
                        break;
                    }
                    other => write(other.map(|(segment, _)| segment)),
                }
            }
            is_parameter
        });
        shown.for_each(|segment| write(segment.map(|(segment, _)| segment)));
        name
    }

    /// Counts a route that `key` (a hash) uses for the first time, by proven use. A position that
    /// then meets the conditions becomes a parameter.
    pub fn take_up(&mut self, key: u64, method: &str, path: &str, time: EventTime) {
        let Self { young, old, parameters } = self;
        walk(method, path, |parent, value| {
            if let Some(parameter) = parameters.get(&parent) {
                return !parameter.literals.contains(&(value as u32));
            }
            if young.len() >= MAX_PARENTS {
                *old = std::mem::take(young);
            }
            let counted =
                young.entry(parent).or_insert_with(|| old.remove(&parent).unwrap_or_default());
            counted.add(key, value);
            let is_parameter = counted.is_parameter() && parameters.len() < MAX_PARAMETERS;
            if is_parameter {
                let literals = counted.literals();
                young.remove(&parent);
                let is_literal = literals.contains(&(value as u32));
                parameters.insert(parent, Parameter { since: time, literals });
                return !is_literal;
            }
            false
        });
    }
}

impl Parent {
    fn add(&mut self, key: u64, value: u64) {
        let bucket = (value ^ (value >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55;
        let (word, bit) = ((bucket / 64) as usize, 1 << (bucket % 64));
        let is_new = self.values[word] & bit == 0;
        self.values[word] |= bit;
        self.recent += RECENT_STEP * (f32::from(u8::from(is_new)) - self.recent);
        self.keys |= 1 << (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58);
        self.taken = self.taken.saturating_add(1);
        let value = value as u32;
        if let Some((_, count)) = self.common.iter_mut().find(|(known, _)| *known == value) {
            *count = count.saturating_add(1);
        } else if let Some(rarest) = self.common.iter_mut().min_by_key(|(_, count)| *count) {
            // Unlike in Space-Saving, a new value does not inherit the count of the one it
            // replaces. Otherwise rare values would count as literals.
            if rarest.1 <= 1 {
                *rarest = (value, 1);
            } else {
                rarest.1 -= 1;
            }
        }
    }

    fn distinct(&self) -> f64 {
        let free = self.values.iter().map(|bits| bits.count_zeros()).sum::<u32>().max(1);
        let buckets = VALUE_BUCKETS as f64;
        -buckets * (f64::from(free) / buckets).ln()
    }

    fn is_parameter(&self) -> bool {
        if f64::from(self.taken) < MIN_VALUES || self.keys.count_ones() < MIN_KEYS {
            return false;
        }
        let distinct = self.distinct();
        distinct >= MIN_VALUES
            && distinct >= MIN_NEW_SHARE * f64::from(self.taken)
            && f64::from(self.recent) >= MIN_NEW_SHARE
    }

    fn literals(&self) -> Vec<u32> {
        let least = MIN_COMMON.max((COMMON_SHARE * f64::from(self.taken)) as u16);
        let common = self.common.iter().filter(|(_, count)| *count >= least);
        common.map(|(value, _)| *value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 10] =
        ["amber", "birch", "cedar", "dahlia", "elder", "fern", "gorse", "hazel", "iris", "jasmine"];

    fn slug(n: usize) -> String {
        format!("{}-{}-{}", WORDS[n % 10], WORDS[n / 10 % 10], WORDS[n / 100 % 10])
    }

    fn readers(keys: u64) -> Templates {
        let mut templates = Templates::default();
        for n in 0..200usize {
            let (key, time) = (n as u64 % keys, EventTime::from_seconds(n as i64));
            templates.take_up(key, "GET", &format!("/articles/{}", slug(n)), time);
            if n % 10 == 0 {
                templates.take_up(key, "GET", "/articles/search", time);
            }
        }
        templates
    }

    fn is_same(templates: &Templates, a: &str, b: &str) -> bool {
        let time = EventTime::from_seconds(500);
        templates.route("GET", a, time).id == templates.route("GET", b, time).id
    }

    #[test]
    fn segments_spelled_like_ids_become_placeholders() {
        let templates = Templates::default();
        for (path, route) in [
            ("/v1/orders/4711", "/v1/orders/{id}"),
            ("/v1/orders/4711/items/8", "/v1/orders/{id}/items/{id}"),
            ("/v1beta1/customers/cus_9s6XKzkNRiZ8i3", "/v1beta1/customers/{id}"),
            ("/files/0b0e7a3c-6d0c-4d8e-9a3e-8c3f1f6d2a11", "/files/{id}"),
            ("/ticker/BTC-USD/", "/ticker/{id}"),
            ("/users/a@example.com", "/users/{id}"),
            ("/oauth2/token", "/oauth2/token"),
            ("/pkg.Service/GetThing", "/pkg.Service/GetThing"),
            ("/v1/api-keys/17:rotate", "/v1/api-keys/{id}"),
            ("/", ""),
        ] {
            assert_eq!(templates.name("GET", path), format!("GET {route}"), "{path}");
        }
        assert_eq!(route_id("GET", "/v1/orders/1"), route_id("GET", "/v1/orders/22"));
        assert_ne!(route_id("GET", "/v1/orders/1"), route_id("DELETE", "/v1/orders/1"));
    }

    #[test]
    fn a_request_names_its_resource_by_the_last_id_of_the_path() {
        let number = |path| Thing::of(path).filter(|thing| thing.is_number).map(|thing| thing.id);
        assert_eq!(number("/v1/orders/4711/items"), Some(4_711));
        assert_eq!(number("/v1/orders/order-0004711"), Some(4_711));
        assert_eq!(number("/v1/customers/cus_9s6XKzkNRiZ8i3"), None);
        assert!(Thing::of("/v1/customers/cus_9s6XKzkNRiZ8i3").is_some());
        assert_eq!(Thing::of("/v1/orders"), None);
    }

    #[test]
    fn all_versions_of_a_route_have_one_id() {
        assert_eq!(route_id("GET", "/v1/orders"), route_id("GET", "/v2beta1/orders"));
        assert_ne!(route_id("GET", "/v1/orders"), route_id("GET", "/orders"));
    }

    #[test]
    fn a_position_where_several_keys_use_ever_new_values_is_a_parameter() {
        let templates = readers(5);
        assert!(is_same(&templates, "/articles/amber-elder-iris", "/articles/never-seen-yet"));
        assert!(!is_same(&templates, "/articles/search", "/articles/never-seen-yet"));
        assert_eq!(templates.name("GET", "/v1/articles/a"), "GET /v1/articles/a");
        assert_eq!(templates.name("GET", "/articles/a/b/7"), "GET /articles/{id}/b/{id}");
    }

    #[test]
    fn routes_below_a_new_parameter_are_settling_for_a_day() {
        let templates = readers(5);
        let at = |time| templates.route("GET", "/articles/other", EventTime::from_seconds(time));
        assert!(at(3_600).is_settling && !at(90_000).is_settling);
        assert_eq!(at(0).plain, route_id("GET", "/articles/other"));
    }

    #[test]
    fn a_single_key_cannot_make_a_parameter() {
        assert!(!is_same(&readers(1), "/articles/amber-elder-iris", "/articles/never-seen-yet"));
    }

    #[test]
    fn operations_that_many_keys_use_stay_literals() {
        let mut templates = Templates::default();
        for key in 0..60u64 {
            for n in 0..20usize {
                let operation = slug((key as usize * 7 + n * n) % 90);
                templates.take_up(key, "POST", &format!("/{operation}"), EventTime::default());
            }
        }
        assert!(templates.parameters.is_empty());
    }

    #[test]
    fn any_number_of_paths_needs_bounded_memory() {
        let mut templates = Templates::default();
        for n in 0..20_000usize {
            let path = format!("/{}/{}/{}", slug(n), slug(n / 7), slug(n / 3));
            templates.take_up(n as u64, "GET", &path, EventTime::default());
        }
        assert!(templates.young.len() <= MAX_PARENTS && templates.old.len() <= MAX_PARENTS);
        assert!(templates.parameters.len() <= MAX_PARAMETERS);
    }
}
