//! `scope.unexpected_endpoint` (against the key's own routes) and `lifecycle.rotation_abuse`.

use serde_json::json;

use super::Signal;
use crate::alert::DetectorId;
use crate::event::{AccessEvent, EventTime};
use crate::profile::key_management::{KeyAction, KeyManagementProfile, WINDOW_SECONDS};
use crate::profile::peers::{GroupId, PeerRoutes};
use crate::profile::route::{RouteId, RouteProfile, Usage, route_name};

/// Observations (a route used in an hour) before a route can be unexpected.
const MIN_OBSERVATIONS: f64 = 30.0;
/// A new feature that is tried once or twice is nobody's sign.
const MIN_FRESH_REQUESTS: u16 = 3;
/// Each further request on routes not the key's own makes it so much less likely to be a
/// trial, up to this many.
const FURTHER_REQUEST: f64 = 0.5;
const MAX_FRESH_REQUESTS: u16 = 10;
/// A route with more than this share in what any group of its peers uses is not rare.
const RARE: f64 = 0.01;
/// Pseudo-observation of a route not used before.
const CONCENTRATION: f64 = 0.5;
/// Usual routes that are shown.
const SHOWN_ROUTES: usize = 6;

/// A route that is none of the key's own and rare for its peers.
#[derive(Clone, Copy, Debug)]
pub struct UnexpectedRoute {
    pub p_value: f64,
    id: RouteId,
    users: f64,
    requests: u16,
}

/// The probability that the key turns to a route so rare. As in a Pitman-Yor process with
/// discount 1 (Pitman and Yor 1997) the chance of something new is the share of what was new
/// before, so that a key which asks for ever other things is never surprising; it is shared
/// out by how common the route is for its peers.
pub fn unexpected_route(
    routes: &RouteProfile,
    id: RouteId,
    usage: Option<Usage>,
    peers: &PeerRoutes,
    groups: impl FnOnce() -> Vec<GroupId>,
) -> Option<UnexpectedRoute> {
    let observations = routes.observations();
    let requests = routes.fresh_requests();
    if observations < MIN_OBSERVATIONS || requests < MIN_FRESH_REQUESTS {
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
    let p_value = (new * rarity).max(known) * FURTHER_REQUEST.powi(i32::from(further));
    let users = peers.users(id, own);
    Some(UnexpectedRoute { p_value: p_value.min(1.0), id, users, requests })
}

impl UnexpectedRoute {
    pub fn into_signal(
        self,
        routes: &RouteProfile,
        peers: &PeerRoutes,
        event: &AccessEvent,
    ) -> Signal {
        let route = route_name(&event.method, &event.path);
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
        Signal {
            detector: DetectorId::UnexpectedEndpoint,
            p_value: self.p_value,
            observed: None,
            expected: None,
            headline: format!("used {route} for the first time"),
            sentence: format!(
                "Asked for {route}, which it never used before and {users} ({} requests on routes \
                 new to it in this hour); its usual routes: {}. The answer was {}.",
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
        }
    }
}

/// History before anything can be unusually many.
const MIN_HISTORY_SECONDS: f64 = 6.0 * 3_600.0;
/// Fewer requests than this in a window are nobody's haste.
const MIN_REQUESTS: u32 = 8;

/// Judges the current window by two things: how rarely the key manages keys at all, and how
/// many requests that takes it when it does (a hurdle model with a geometric tail; Mullahy
/// 1986).
pub fn rotation_abuse(
    profile: &KeyManagementProfile,
    first_seen: EventTime,
    event: &AccessEvent,
) -> Option<Signal> {
    let count = profile.current();
    let history = event.time.seconds_since(first_seen);
    if count < MIN_REQUESTS || history < MIN_HISTORY_SECONDS {
        return None;
    }
    let windows = history / WINDOW_SECONDS as f64;
    let any = ((profile.active_windows() + 0.5) / (windows + 1.0)).min(1.0);
    let usual = profile.usual_requests();
    let p_value = any * (usual / (1.0 + usual)).powf(f64::from(count - 1));
    let of = |action| profile.current_of(action);
    let (created, rotated) = (of(KeyAction::Create), of(KeyAction::Rotate));
    let (read, deleted) = (of(KeyAction::Read), of(KeyAction::Delete));
    let minutes = WINDOW_SECONDS / 60;
    let never = profile.active_windows() == 0.0;
    let before = if never {
        "it never did so before".to_owned()
    } else {
        format!("{usual:.0} are usual for it when it does so at all")
    };
    Some(Signal {
        detector: DetectorId::RotationAbuse,
        p_value: p_value.max(f64::MIN_POSITIVE),
        observed: Some(f64::from(count)),
        expected: Some(if never { 0.0 } else { usual }),
        headline: format!("{count} requests on keys and secrets within {minutes} minutes"),
        sentence: format!(
            "{count} requests on keys and secrets within {minutes} minutes ({created} to create, \
             {rotated} to rotate, {read} to read, {deleted} to delete); {before}."
        ),
        fields: json!({
            "count": count,
            "created": created,
            "rotated": rotated,
            "read": read,
            "deleted": deleted,
            "window_seconds": WINDOW_SECONDS,
            "usual_count": if never { 0.0 } else { usual },
        }),
    })
}
