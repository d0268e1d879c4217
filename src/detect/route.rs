//! Finds a route that the key never used and that is rare for its peers:
//! `scope.unexpected_endpoint`.

use serde_json::json;

use super::Signal;
use crate::alert::DetectorId;
use crate::event::{AccessEvent, DAY_SECONDS};
use crate::profile::peers::{GroupId, PeerRoutes};
use crate::profile::route::{RouteId, RouteProfile, Usage};

/// A younger key has not yet shown its daily jobs.
pub const MIN_KNOWN_SECONDS: f64 = DAY_SECONDS;
/// Least number of observations (a route used in an hour) before a route can be unexpected.
const MIN_OBSERVATIONS: f64 = 30.0;
/// Fewer requests are a trial of a new feature.
const MIN_FRESH_REQUESTS: u16 = 3;
/// Each further request on new routes makes a mere trial less likely by this factor, up to the
/// maximum below.
const FURTHER_REQUEST: f64 = 0.5;
const MAX_FRESH_REQUESTS: u16 = 10;
/// After this many routes that the key used once and never again, another new route is half as
/// surprising: the logarithm of its rarity counts half.
const USUAL_ONE_OFFS: f64 = 4.0;
/// A route that any group of peers uses with more than this share is not rare.
const RARE: f64 = 0.01;
/// Pseudo-observations of a new route.
const CONCENTRATION: f64 = 0.5;
/// Number of usual routes that an alert shows.
const SHOWN_ROUTES: usize = 6;

/// A route that is new to the key and rare for its peers.
#[derive(Clone, Copy, Debug)]
pub struct UnexpectedRoute {
    pub p_value: f64,
    /// Probability of any new one, whichever it is.
    pub new: f64,
    id: RouteId,
    users: f64,
    requests: u16,
    is_first: bool,
}

/// Finds a route that is new to the key and rare for its peers. `None` on a key's first day.
///
/// The p-value is the probability that the key turns to so rare a route. As in a Pitman-Yor process
/// with discount 1 (Pitman and Yor 1997), the chance of a new route is the share of routes that
/// were new before: a key that always requests other things is never surprising. This is multiplied
/// by how common the route is for the key's peers. The rarity weighs less, the more routes the key
/// used once and never again.
pub fn find_unexpected_route(
    routes: &RouteProfile,
    known_seconds: f64,
    id: RouteId,
    usage: Option<Usage>,
    peers: &PeerRoutes,
    groups: impl FnOnce() -> Vec<GroupId>,
) -> Option<UnexpectedRoute> {
    let observations = routes.observations();
    let requests = routes.fresh_requests();
    // If a key has more routes than its profile remembers, a route that seems new may be an old
    // one.
    if routes.is_full()
        || known_seconds < MIN_KNOWN_SECONDS
        || observations < MIN_OBSERVATIONS
        || requests < MIN_FRESH_REQUESTS
    {
        return None;
    }
    let own = f64::from(u8::from(usage.is_some()));
    let new = (CONCENTRATION + routes.misses()) / (CONCENTRATION + observations);
    let rarity = peers.share(&groups(), id, own);
    if rarity > RARE {
        return None;
    }
    let known = usage.map_or(0.0, |usage| usage.observations / observations);
    let further = requests.min(MAX_FRESH_REQUESTS) - MIN_FRESH_REQUESTS;
    let insistence = FURTHER_REQUEST.powi(i32::from(further));
    let weight = USUAL_ONE_OFFS / (USUAL_ONE_OFFS + routes.one_offs());
    let p_value = (new * (rarity * insistence).powf(weight)).max(known * insistence);
    let users = peers.users(id, own);
    let is_first = usage.is_none_or(|usage| usage.observations == 0.0);
    Some(UnexpectedRoute { p_value: p_value.min(1.0), new, id, users, requests, is_first })
}

impl UnexpectedRoute {
    pub fn into_signal(
        self,
        routes: &RouteProfile,
        peers: &PeerRoutes,
        event: &AccessEvent,
    ) -> Signal {
        let route = peers.templates.name(&event.method, &event.path);
        let usual: Vec<&str> = routes
            .known()
            .into_iter()
            .filter(|id| *id != self.id)
            .filter_map(|id| peers.name(id))
            .take(SHOWN_ROUTES)
            .collect();
        let users = match self.users as u64 {
            0 => "no other key uses".to_owned(),
            1 => "one other key uses".to_owned(),
            keys => format!("{keys} other keys use"),
        };
        let novelty = match self.is_first {
            true => "which the key never used before this hour",
            false => "which the key began to use within the last hours",
        };
        Signal {
            detector: DetectorId::UnexpectedEndpoint,
            p_value: self.p_value,
            observed: None,
            expected: None,
            headline: match self.is_first {
                true => format!("used {route}, which is new to it"),
                false => format!("used {route}, which it began to use recently"),
            },
            sentence: format!(
                "Requested {route}, {novelty}, and which {users} ({} requests on routes \
                 new to it in this hour). Its usual routes: {}. The answer was {}.",
                self.requests,
                usual.join(", "),
                event.status
            ),
            fields: json!({
                "route": route,
                "usual_routes": usual,
                "other_keys": self.users,
                "requests_on_new_routes": self.requests,
                "status": event.status,
                "probability": self.p_value,
            }),
            ceiling: None,
        }
    }
}
