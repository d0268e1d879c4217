//! What a key asks for and after how long: routes, key management, dormancy.

use std::hash::BuildHasher;

use crate::alert::DetectorId;
use crate::detect::{Signal, conduct, dormancy};
use crate::event::{AccessEvent, EnrichedEvent};
use crate::profile::behaviour::Observation;
use crate::profile::key_management::KeyAction;
use crate::profile::peers::{EVERYBODY, GroupId, PeerRoutes};
use crate::profile::route::{RouteId, Usage, route_id, route_name};
use crate::profile::{Profile, Suspicion};
use crate::registry::RegisteredKey;

use super::blackout::Blackouts;
use super::inspection::Inspection;

/// A shorter silence is not looked at twice.
const MIN_SILENCE_SECONDS: f64 = 600.0;

/// What one request tells of its key's conduct.
#[derive(Clone, Copy, Debug)]
pub struct Conduct {
    route: RouteId,
    usage: Option<Usage>,
    action: Option<KeyAction>,
    /// Since the last use; the log's own silence does not count.
    silence_seconds: f64,
    is_answered: bool,
    /// Answers that say that there is such a route, and who may use it.
    is_telling: bool,
}

impl Conduct {
    /// Looks at a request before its profile has counted it.
    pub fn of(event: &AccessEvent, profile: &Profile, blackouts: &Blackouts) -> Self {
        let route = route_id(&event.method, &event.path);
        let usage = profile.routes.usage(route, event.time);
        let is_known_for_else = usage.is_some_and(|usage| !usage.manages_keys);
        let action =
            if is_known_for_else { None } else { KeyAction::of(&event.method, &event.path) };
        let is_answered = event.status < 400;
        Self {
            route,
            usage,
            action,
            silence_seconds: silence(event, profile, blackouts),
            is_answered,
            is_telling: is_answered || matches!(event.status, 401 | 403),
        }
    }

    /// The request in the numbers of behaviour.
    pub fn observe(&self, enriched: &EnrichedEvent) -> Observation {
        Observation::of(&enriched.event, &enriched.origin, self.route)
    }

    pub fn count(&self, event: &AccessEvent, profile: &mut Profile) {
        if !self.is_telling {
            return;
        }
        if !self.usage.is_some_and(|usage| usage.is_known) {
            profile.routes.count_fresh(event.time);
        }
        if let Some(action) = self.action {
            profile.key_management.count(event.time, action);
        }
    }

    /// Learns the request, after detection.
    pub fn learn(
        &self,
        event: &AccessEvent,
        registered: Option<&RegisteredKey>,
        suspicion: Suspicion,
        profile: &mut Profile,
        peers: &mut PeerRoutes,
    ) {
        if suspicion.key_management {
            profile.key_management.exclude_current();
        }
        if !self.is_answered {
            return;
        }
        profile.silence.learn(event.time, self.silence_seconds);
        if self.usage.is_some_and(|usage| usage.is_counted) {
            return;
        }
        let manages_keys = self.action.is_some();
        if profile.routes.learn(self.route, event.time, manages_keys, suspicion.route) {
            let groups = groups(event, registered);
            peers.take_up(&groups, self.route, || route_name(&event.method, &event.path));
        }
    }
}

fn silence(event: &AccessEvent, profile: &Profile, blackouts: &Blackouts) -> f64 {
    let Some(last_used) = profile.silence.last_used() else { return 0.0 };
    let seconds = event.time.seconds_since(last_used);
    if seconds < MIN_SILENCE_SECONDS {
        return seconds;
    }
    blackouts.spoken_seconds(last_used, event.time)
}

/// The peers of a key, itself among them.
fn groups(event: &AccessEvent, registered: Option<&RegisteredKey>) -> Vec<GroupId> {
    let hasher = foldhash::quality::FixedState::default();
    let mut groups = vec![EVERYBODY];
    let tenant = registered.map(|key| &key.tenant).filter(|tenant| !tenant.is_empty());
    if let Some(tenant) = tenant.or(event.tenant.as_ref()) {
        groups.push(hasher.hash_one(("tenant", tenant)));
    }
    if let Some(key) = registered.filter(|key| !key.scopes.is_empty()) {
        groups.push(hasher.hash_one(("scopes", &key.scopes)));
    }
    groups
}

impl Inspection<'_> {
    pub(super) fn inspect_route(&self, signals: &mut Vec<Signal>) -> bool {
        let Conduct { route, usage, .. } = *self.conduct;
        let is_ordinary = usage.is_some_and(|usage| usage.is_known) || !self.conduct.is_telling;
        let is_forbidden = signals.iter().any(|s| s.detector == DetectorId::UnexpectedEndpoint);
        if is_ordinary || is_forbidden {
            return is_forbidden;
        }
        let EnrichedEvent { event, .. } = self.enriched;
        let routes = &self.profile.routes;
        let groups = || groups(event, self.registered);
        let unexpected = conduct::unexpected_route(routes, route, usage, self.peers, groups)
            .filter(|found| found.p_value < self.thresholds.conduct);
        let Some(unexpected) = unexpected else { return false };
        if self.is_news(DetectorId::UnexpectedEndpoint, unexpected.p_value) {
            signals.push(unexpected.into_signal(routes, self.peers, event));
        }
        true
    }

    pub(super) fn inspect_key_management(&self, signals: &mut Vec<Signal>) -> bool {
        if self.conduct.action.is_none() || !self.conduct.is_telling {
            return false;
        }
        let Profile { key_management, first_seen, .. } = self.profile;
        let event = &self.enriched.event;
        let abuse = conduct::rotation_abuse(key_management, *first_seen, event);
        let threshold = self.thresholds.conduct;
        let Some(signal) = abuse.filter(|signal| signal.p_value < threshold) else {
            return false;
        };
        if self.is_news(signal.detector, signal.p_value) {
            signals.push(signal);
        }
        true
    }

    pub(super) fn inspect_silence(&self, signals: &mut Vec<Signal>) {
        let silence = self.conduct.silence_seconds;
        if !self.conduct.is_answered || silence < MIN_SILENCE_SECONDS {
            return;
        }
        let EnrichedEvent { event, origin, .. } = self.enriched;
        let at_home = self.profile.places.is_established(event.client_ip, origin);
        let woken = dormancy::wakes_up(&self.profile.silence, silence, at_home, event)
            .filter(|signal| signal.p_value < self.thresholds.dormancy);
        signals.extend(woken.filter(|signal| self.is_news(signal.detector, signal.p_value)));
    }
}
