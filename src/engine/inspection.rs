//! One look at one event by all detectors.

use crate::alert::DetectorId;
use crate::decide::Decider;
use crate::detect::replay::FirstUse;
use crate::detect::{Signal, Thresholds, geo, outcome, rate, replay};
use crate::event::EnrichedEvent;
use crate::profile::outcome::Failure;
use crate::profile::{Population, Profile, Suspicion};

use super::fleet::Fleet;

/// Everything a look at one event needs; nothing in it changes.
pub struct Inspection<'a> {
    pub profile: &'a Profile,
    pub population: &'a Population,
    pub fleet: &'a Fleet,
    pub decider: &'a Decider,
    pub thresholds: Thresholds,
    pub validity_window_seconds: f64,
    pub enriched: &'a EnrichedEvent,
}

impl Inspection<'_> {
    /// The signals that tell something new, and what must not be learned.
    pub fn run(&self, first_use: Option<FirstUse>) -> (Vec<Signal>, Suspicion) {
        let mut signals = Vec::new();
        let suspicion = Suspicion {
            rate: self.inspect_rate(&mut signals),
            outcomes: self.inspect_outcomes(&mut signals),
            place: self.inspect_place(&mut signals),
            nonce: self.inspect_nonce(first_use, &mut signals),
            clock: self.inspect_clock(&mut signals),
        };
        signals.sort_by(|a, b| a.p_value.total_cmp(&b.p_value));
        (signals, suspicion)
    }

    fn inspect_rate(&self, signals: &mut Vec<Signal>) -> bool {
        let (rate, time) = (&self.profile.rate, self.enriched.event.time);
        if let Some(p_value) = rate::find_ramp(rate, self.thresholds.rate)
            && self.is_news(DetectorId::RateSpike, p_value)
        {
            signals.push(rate::ramp_signal(rate, p_value));
        }
        let surge = |which| self.fleet.surge_elsewhere(rate, which, time);
        let Some(spike) = rate::find_spike(rate, surge, self.thresholds.rate) else {
            return false;
        };
        if self.is_news(DetectorId::RateSpike, spike.p_value) {
            signals.push(spike.into_signal(rate));
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
        if finding.new_location < threshold
            && self.is_news(DetectorId::NewLocation, finding.new_location)
        {
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
        finding.new_location < threshold || finding.new_asn < threshold || travel.is_some()
    }

    fn inspect_nonce(&self, first_use: Option<FirstUse>, signals: &mut Vec<Signal>) -> bool {
        let Some(nonce) = self.enriched.event.nonce else { return false };
        let duplicate = first_use
            .and_then(|first| replay::duplicate_nonce(self.profile, self.enriched, &nonce, &first));
        let backwards =
            replay::out_of_order_nonce(&self.profile.nonces, &self.enriched.event, &nonce);
        let duplicate = self.push_replay(duplicate, signals);
        let backwards = self.push_replay(backwards, signals);
        duplicate || backwards
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

    fn is_news(&self, detector: DetectorId, p_value: f64) -> bool {
        p_value <= self.decider.news_below(&self.enriched.event.key_id, detector)
    }
}
