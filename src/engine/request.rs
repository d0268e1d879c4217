//! Compares one request with its key's past: its route, its management of keys, its client
//! programs, and the silence before it.

use std::hash::BuildHasher;

use crate::alert::{Action, Ceiling, DetectorId, Restraint};
use crate::answer::{Answer, invites_retry};
use crate::detect::Signal;
use crate::detect::breadth::{Walk, find_walk};
use crate::detect::dormancy::find_dormant_use;
use crate::detect::rotation::find_rotation_abuse;
use crate::detect::route::{UnexpectedRoute, find_unexpected_route};
use crate::event::{AccessEvent, EnrichedEvent, HOUR_SECONDS};
use crate::profile::behaviour::Observation;
use crate::profile::client::{Client, Trait};
use crate::profile::key_management::KeyAction;
use crate::profile::peers::{EVERYBODY, GroupId, PeerRoutes};
use crate::profile::route::{Route, Usage};
use crate::profile::signs::Sign;
use crate::profile::template::Thing;
use crate::profile::{ItemKind, Profile, Suspicion};
use crate::registry::RegisteredKey;

use super::blackout::Blackouts;
use super::inspection::{Findings, Inspection};

/// A shorter silence is not judged, so that blackouts are not subtracted from it.
const MIN_SILENCE_SECONDS: f64 = 600.0;

/// A key that is used from more sites in its first hour is one of a crowd.
const FEW_SITES: usize = 3;

/// The ceiling for novelties: deploys and people bring new routes and programs as thieves do.
pub(super) const NOVELTY: Option<Ceiling> =
    Some(Ceiling { most: Action::Notify, reason: Restraint::OrdinaryCause });

/// The ceiling for what a machine explains on which the key is established: worth a line in the
/// list, and nobody's night.
pub(super) const OWN_MACHINE: Option<Ceiling> =
    Some(Ceiling { most: Action::Observe, reason: Restraint::KnownAddress });

/// One request with what its key's profile says of it. It is made before the profile counts the
/// request.
#[derive(Clone, Copy, Debug)]
pub struct RequestView {
    route: Route,
    usage: Option<Usage>,
    action: Option<KeyAction>,
    agent: Option<Client>,
    fingerprint: Option<Client>,
    /// Since the key's last use, without blackouts of the log.
    silence_seconds: f64,
    is_answered: bool,
    /// Whether the answer shows that the route exists, or who may use it.
    is_telling: bool,
}

impl RequestView {
    /// Describes a request. The caller makes it before `profile` counts the request.
    pub fn of(
        event: &AccessEvent,
        profile: &Profile,
        peers: &PeerRoutes,
        blackouts: &Blackouts,
    ) -> Self {
        let route = peers.templates.route(&event.method, &event.path, event.time);
        let usage = profile.routes.usage(route.id, event.time);
        let is_known_for_else = usage.is_some_and(|usage| !usage.is_marked);
        let action =
            if is_known_for_else { None } else { KeyAction::of(&event.method, &event.path) };
        let answer = event.answer();
        let is_answered = !answer.is_error();
        Self {
            route,
            usage,
            action,
            agent: Client::of(Trait::Agent, event, &profile.clients),
            fingerprint: Client::of(Trait::Fingerprint, event, &profile.clients),
            silence_seconds: silence(event, profile, blackouts),
            is_answered,
            is_telling: is_answered || answer == Answer::Refused,
        }
    }

    /// The request as an observation for the behaviour model.
    pub fn observe(&self, enriched: &EnrichedEvent) -> Observation {
        Observation::of(&enriched.event, &enriched.origin, self.route.plain)
    }

    pub fn client(&self, which: Trait) -> Option<Client> {
        match which {
            Trait::Agent => self.agent,
            Trait::Fingerprint => self.fingerprint,
        }
    }

    fn clients(&self) -> impl Iterator<Item = (Trait, Client)> {
        let client = |which| self.client(which).map(|client| (which, client));
        [Trait::Agent, Trait::Fingerprint].into_iter().filter_map(client)
    }

    pub fn is_answered(&self) -> bool {
        self.is_answered
    }

    pub fn count(&self, event: &AccessEvent, profile: &mut Profile) {
        if self.is_answered {
            self.count_taken(event, profile);
        }
        // Whoever walks through ids meets those of others (403) and those that do not exist (404).
        if let Some(Thing { id, is_number }) = Thing::of(&event.path)
            && !invites_retry(event.status)
        {
            profile.walks.count(event.time, self.route.id, id, is_number);
        }
        if !self.is_telling {
            return;
        }
        if !self.is_usual() {
            profile.routes.count_fresh(event.time);
        }
        if let Some(action) = self.action {
            profile.key_management.count(event.time, action);
        }
    }

    /// Counts the client programs and the bytes of an answered request.
    fn count_taken(&self, event: &AccessEvent, profile: &mut Profile) {
        for (which, client) in self.clients() {
            profile.clients.count_fresh(which, &client, event.time);
        }
        if let Some(bytes) = event.bytes_out {
            profile.volume.count(event.time, bytes);
        }
    }

    /// Whether the key knows the route, or the route has only got another name.
    pub fn is_usual(&self) -> bool {
        self.route.is_settling || self.usage.is_some_and(|usage| usage.is_known)
    }

    /// Teaches the request to the profile. It is called after detection.
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
        if suspicion.volume {
            profile.volume.exclude_current();
        }
        if suspicion.walk {
            profile.walks.exclude_current();
        }
        if !self.is_answered {
            return;
        }
        for (which, client) in self.clients() {
            let is_at_home = profile.places.is_established_prefix(event.client_ip);
            if client.usage.is_none() && is_at_home {
                profile.clients.deployed_at = event.time;
            }
            // Suspicious programs are learned too: they lead to a notice at most, and a new job
            // goes on.
            peers.clients.learn(which, &client, event, &mut profile.clients);
            if suspicion.of_client(which) {
                profile.clients.tell(which, &client);
                profile.reports.note(which.into(), client.id, event.time);
            }
        }
        if suspicion.route || suspicion.key_management {
            profile.reports.note(ItemKind::Route, self.route.id, event.time);
        }
        profile.silence.learn(event.time, self.silence_seconds);
        if self.usage.is_some_and(|usage| usage.is_counted) {
            return;
        }
        let manages_keys = self.action.is_some();
        if profile.routes.learn(self.route.id, event.time, manages_keys, suspicion.route) {
            if event.time.seconds_since(profile.first_seen) < HOUR_SECONDS {
                peers.breadth.count(profile.routes.remembered());
            }
            let AccessEvent { method, path, time, key_id, .. } = event;
            peers.templates.take_up(hash_of(key_id), method, path, *time);
            let groups = groups(event, registered);
            peers.take_up(&groups, self.route.id, |templates| templates.name(method, path));
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

/// A hash that is the same in each run.
pub(super) fn hash_of(name: &str) -> u64 {
    foldhash::quality::FixedState::default().hash_one(name)
}

/// The groups of peers of a key, which contain the key itself.
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
    pub(super) fn inspect_route(&self, findings: &mut Findings) -> bool {
        let is_ordinary = self.request.is_usual() || !self.request.is_telling;
        let signals = &mut findings.signals;
        let is_forbidden = signals.iter().any(|s| s.detector == DetectorId::UnexpectedEndpoint);
        if is_ordinary || is_forbidden {
            return is_forbidden;
        }
        let (detector, threshold) = (DetectorId::UnexpectedEndpoint, self.thresholds.route);
        let is_unexpected = self.find_route().is_some_and(|found| {
            findings.signs.note(Sign::Route, found.new, found.p_value);
            let (routes, event) = (&self.profile.routes, &self.enriched.event);
            let signal = || found.into_signal(routes, self.peers, event);
            self.keep_under(NOVELTY, detector, found.p_value, threshold, signals, signal)
        });
        let is_walk = self.find_walk().is_some_and(|walk| {
            let event = &self.enriched.event;
            let name = || self.peers.templates.name(&event.method, &event.path);
            let signal = || walk.into_signal(&self.peers.breadth, &name(), event);
            self.keep_under(NOVELTY, detector, walk.p_value, threshold, signals, signal)
        });
        is_unexpected || is_walk
    }

    /// Judges the first hour of a key by its number of routes, unless a crowd uses the key: its
    /// members walk through names that look like routes.
    fn find_walk(&self) -> Option<Walk> {
        let Profile { routes, places, first_seen, .. } = self.profile;
        let age = self.enriched.event.time.seconds_since(*first_seen);
        let is_of_few = places.sites().len() <= FEW_SITES;
        (age < HOUR_SECONDS && is_of_few)
            .then(|| find_walk(&self.peers.breadth, routes.remembered()))
    }

    fn find_route(&self) -> Option<UnexpectedRoute> {
        let RequestView { route, usage, .. } = *self.request;
        let event = &self.enriched.event;
        let Profile { routes, first_seen, .. } = self.profile;
        let known_seconds = event.time.seconds_since(*first_seen);
        let groups = || groups(event, self.registered);
        find_unexpected_route(routes, known_seconds, route.id, usage, self.peers, groups)
    }

    /// What its route alone says of a request.
    pub(super) fn evidence_of_route(&self) -> Option<Signal> {
        if self.request.is_usual() || !self.request.is_telling {
            return None;
        }
        let (routes, event) = (&self.profile.routes, &self.enriched.event);
        let signal = self.find_route()?.into_signal(routes, self.peers, event);
        Some(Signal { ceiling: NOVELTY, ..signal })
    }

    pub(super) fn inspect_key_management(&self, signals: &mut Vec<Signal>) -> bool {
        if self.request.action.is_none() || !self.request.is_telling {
            return false;
        }
        let Profile { key_management, first_seen, .. } = self.profile;
        let found = find_rotation_abuse(key_management, *first_seen, self.enriched.event.time);
        found.is_some_and(|found| {
            let signal = || found.into_signal(key_management);
            let (detector, threshold) = (DetectorId::RotationAbuse, self.thresholds.route);
            // The owner's clean-up runs where the owner's other work does.
            let ceiling = if self.is_own_program_at_home() { NOVELTY } else { None };
            self.keep_under(ceiling, detector, found.p_value, threshold, signals, signal)
        })
    }

    fn is_own_program_at_home(&self) -> bool {
        self.profile.places.is_established_prefix(self.enriched.event.client_ip)
            && self.has_known_program()
    }

    pub(super) fn inspect_silence(&self, findings: &mut Findings) {
        let silence = self.request.silence_seconds;
        if !self.request.is_answered || silence < MIN_SILENCE_SECONDS {
            return;
        }
        let EnrichedEvent { event, origin, .. } = self.enriched;
        let is_at_home = self.profile.places.is_established(event.client_ip, origin);
        let profile = &self.profile.silence;
        if let Some(found) = find_dormant_use(profile, silence, is_at_home) {
            if found.is_beyond_a_journey() {
                findings.signs.note(Sign::Silence, found.record, found.p_value_of_silence());
                findings.waking = Some(found.waking);
            }
            let signal = || found.into_signal(event);
            let (detector, threshold) = (DetectorId::DormantKeyUse, self.thresholds.dormancy);
            self.keep(detector, found.p_value, threshold, &mut findings.signals, signal);
        }
    }
}
