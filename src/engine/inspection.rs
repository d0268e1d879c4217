//! One look at one event by all detectors.

use crate::alert::DetectorId;
use crate::decide::{Decider, Subject};
use crate::detect::replay::Repetition;
use crate::detect::{Signal, Thresholds, geo, outcome, rate, replay, rules};
use crate::event::EnrichedEvent;
use crate::profile::outcome::Failure;
use crate::profile::{PeerRoutes, Population, Profile, Suspicion};
use crate::registry::RegisteredKey;

use super::conduct::Conduct;
use super::fleet::Fleet;

/// People travel: a new country alone must be that much less likely than a new network or
/// an impossible journey.
const ALONE: f64 = 0.3;

/// Everything a look at one event needs; nothing in it changes.
pub struct Inspection<'a> {
    pub profile: &'a Profile,
    pub registered: Option<&'a RegisteredKey>,
    pub population: &'a Population,
    pub fleet: &'a Fleet,
    pub peers: &'a PeerRoutes,
    pub conduct: &'a Conduct,
    pub decider: &'a Decider,
    pub thresholds: Thresholds,
    pub validity_window_seconds: f64,
    pub enriched: &'a EnrichedEvent,
}

impl Inspection<'_> {
    /// The signals that tell something new, and what must not be learned.
    pub fn run(&self, repetition: Option<&Repetition>) -> (Vec<Signal>, Suspicion) {
        let mut signals = Vec::new();
        let suspicion = Suspicion {
            rule: self.inspect_rules(&mut signals),
            rate: self.inspect_rate(&mut signals),
            ramp: self.inspect_ramp(&mut signals),
            outcomes: self.inspect_outcomes(&mut signals),
            place: self.inspect_place(&mut signals),
            replay: self.inspect_replay(repetition, &mut signals),
            clock: self.inspect_clock(&mut signals),
            route: self.inspect_route(&mut signals),
            key_management: self.inspect_key_management(&mut signals),
        };
        self.inspect_silence(&mut signals);
        signals.sort_by(|a, b| a.p_value.total_cmp(&b.p_value));
        (signals, suspicion)
    }

    fn inspect_rules(&self, signals: &mut Vec<Signal>) -> bool {
        let Some(key) = self.registered else { return false };
        let mut broken = rules::broken_rules(key, &self.enriched.event);
        broken.retain(|signal| signal.p_value < self.thresholds.replay);
        let is_broken = !broken.is_empty();
        signals.extend(broken.into_iter().filter(|s| self.is_news(s.detector, s.p_value)));
        is_broken
    }

    fn inspect_rate(&self, signals: &mut Vec<Signal>) -> bool {
        let (rate, time) = (&self.profile.rate, self.enriched.event.time);
        let surge = |which| self.fleet.surge_elsewhere(rate, which, time);
        let Some(spike) = rate::find_spike(rate, surge, self.thresholds.rate) else {
            return false;
        };
        if self.is_news(DetectorId::RateSpike, spike.p_value) {
            signals.push(spike.into_signal(rate));
        }
        true
    }

    fn inspect_ramp(&self, signals: &mut Vec<Signal>) -> bool {
        let rate = &self.profile.rate;
        let Some(p_value) =
            rate::find_ramp(rate, self.fleet.rise_elsewhere(rate), self.thresholds.rate)
        else {
            return false;
        };
        if self.is_news(DetectorId::RateSpike, p_value) {
            signals.push(rate::ramp_signal(rate, p_value));
        }
        true
    }

    fn inspect_outcomes(&self, signals: &mut Vec<Signal>) -> bool {
        let event = &self.enriched.event;
        let Some(failure) = Failure::of_status(event.status) else { return false };
        let outcomes = &self.profile.outcomes;
        let elsewhere = self.fleet.failing_share_elsewhere(outcomes, failure);
        let Some(burst) = outcome::find_burst(outcomes, failure, elsewhere) else { return false };
        // A ban or a revoked permission refuses everything that the key's own fleet sends.
        // That is an answer, not a sign.
        let own = self.profile.places.is_established(event.client_ip, &self.enriched.origin);
        if burst.is_total_refusal() && own || burst.p_value >= self.thresholds.rate {
            return false;
        }
        if self.is_news(burst.detector(), burst.p_value) {
            signals.push(burst.into_signal(outcomes));
        }
        true
    }

    fn inspect_place(&self, signals: &mut Vec<Signal>) -> bool {
        let places = &self.profile.places;
        let finding = geo::find_place(places, self.population, self.enriched);
        let threshold = self.thresholds.place;
        let new_location = finding.new_location < threshold * ALONE;
        if new_location && self.is_news(DetectorId::NewLocation, finding.new_location) {
            signals.push(finding.location_signal(places));
        }
        if finding.new_asn < threshold && self.is_news(DetectorId::NewAsn, finding.new_asn) {
            signals.push(finding.asn_signal(places));
        }
        let travel = finding.travel.filter(|travel| travel.p_value < threshold);
        if let Some(travel) = travel
            && self.is_news(DetectorId::ImpossibleTravel, travel.p_value)
        {
            signals.push(travel.into_signal(self.enriched));
        }
        finding.is_told || new_location || finding.new_asn < threshold || travel.is_some()
    }

    fn inspect_replay(&self, repetition: Option<&Repetition>, signals: &mut Vec<Signal>) -> bool {
        let (profile, event) = (self.profile, &self.enriched.event);
        let duplicate = repetition.map(|repetition| {
            let (detector, usual) = match event.nonce {
                Some(_) => (DetectorId::DuplicateNonce, profile.nonces.repetitions()),
                None => (DetectorId::DuplicateSignature, profile.signatures),
            };
            replay::duplicate(detector, usual, self.enriched, repetition)
        });
        let nonce = event.nonce.as_ref();
        let backwards = nonce.and_then(|nonce| replay::out_of_order_nonce(profile, event, nonce));
        let weak = nonce.and_then(|nonce| replay::weak_nonce(&profile.nonces, event, nonce));
        let found = [duplicate, backwards, weak].map(|signal| self.push_replay(signal, signals));
        found.contains(&true)
    }

    fn inspect_clock(&self, signals: &mut Vec<Signal>) -> bool {
        let event = &self.enriched.event;
        let Some(client_time) = event.client_time else { return false };
        let window = self.validity_window_seconds;
        let stale = replay::stale_timestamp(&self.profile.clock, event, client_time, window);
        self.push_replay(stale, signals)
    }

    /// Keeps a replay signal that is below the threshold and news; says whether it is below.
    fn push_replay(&self, signal: Option<Signal>, signals: &mut Vec<Signal>) -> bool {
        let Some(signal) = signal.filter(|s| s.p_value < self.thresholds.replay) else {
            return false;
        };
        if self.is_news(signal.detector, signal.p_value) {
            signals.push(signal);
        }
        true
    }

    pub(super) fn is_news(&self, detector: DetectorId, p_value: f64) -> bool {
        let subject = Subject::Key(self.enriched.event.key_id.clone());
        p_value <= self.decider.news_below(&subject, detector)
    }
}
