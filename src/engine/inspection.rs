//! One look at one event by all detectors.

use crate::alert::DetectorId;
use crate::decide::{Decider, Subject};
use crate::detect::calibration::{self, Calibration};
use crate::detect::replay::Repetition;
use crate::detect::{Family, Signal, Thresholds, geo, outcome, rate, replay, rules};
use crate::event::EnrichedEvent;
use crate::profile::outcome::Failure;
use crate::profile::scores::WorstScores;
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
    pub calibration: &'a Calibration,
    pub validity_window_seconds: f64,
    pub enriched: &'a EnrichedEvent,
}

/// What a look at one event found.
#[derive(Default)]
pub struct Findings {
    /// Those that tell something new, most surprising first.
    pub signals: Vec<Signal>,
    /// What must not be learned.
    pub suspicion: Suspicion,
    /// What the models said, found or not.
    pub scores: WorstScores,
}

impl Inspection<'_> {
    pub fn run(&self, repetition: Option<&Repetition>) -> Findings {
        let mut findings = Findings::default();
        findings.suspicion = Suspicion {
            rule: self.inspect_rules(&mut findings),
            rate: self.inspect_rate(&mut findings),
            ramp: self.inspect_ramp(&mut findings),
            outcomes: self.inspect_outcomes(&mut findings),
            place: self.inspect_place(&mut findings),
            replay: self.inspect_replay(repetition, &mut findings),
            clock: self.inspect_clock(&mut findings),
            route: self.inspect_route(&mut findings.signals),
            key_management: self.inspect_key_management(&mut findings.signals),
        };
        self.inspect_silence(&mut findings.signals);
        findings.signals.sort_by(|a, b| a.p_value.total_cmp(&b.p_value));
        findings
    }

    /// Notes a model's p-value, and holds it against what this fleet does.
    fn calibrate(&self, family: Family, p_value: f64, findings: &mut Findings) -> f64 {
        calibration::note(&mut findings.scores, family, p_value);
        self.calibration.p_value(family, p_value)
    }

    fn inspect_rules(&self, findings: &mut Findings) -> bool {
        let Some(key) = self.registered else { return false };
        let mut broken = rules::broken_rules(key, &self.enriched.event);
        broken.retain(|signal| signal.p_value < self.thresholds.replay);
        let is_broken = !broken.is_empty();
        broken.retain(|signal| self.is_news(signal.detector, signal.p_value));
        findings.signals.extend(broken);
        is_broken
    }

    fn inspect_rate(&self, findings: &mut Findings) -> bool {
        let (rate, time) = (&self.profile.rate, self.enriched.event.time);
        let surge = |which| self.fleet.surge_elsewhere(rate, which, time);
        let Some(mut spike) = rate::find_spike(rate, surge) else { return false };
        spike.p_value = self.calibrate(Family::Rate, spike.p_value, findings);
        if spike.p_value >= self.thresholds.rate {
            return false;
        }
        if self.is_news(DetectorId::RateSpike, spike.p_value) {
            findings.signals.push(spike.into_signal(rate));
        }
        true
    }

    fn inspect_ramp(&self, findings: &mut Findings) -> bool {
        let rate = &self.profile.rate;
        let Some(p_value) =
            rate::find_ramp(rate, self.fleet.rise_elsewhere(rate), self.thresholds.rate)
        else {
            return false;
        };
        if self.is_news(DetectorId::RateSpike, p_value) {
            findings.signals.push(rate::ramp_signal(rate, p_value));
        }
        true
    }

    fn inspect_outcomes(&self, findings: &mut Findings) -> bool {
        let event = &self.enriched.event;
        let Some(failure) = Failure::of_status(event.status) else { return false };
        let outcomes = &self.profile.outcomes;
        let elsewhere = self.fleet.failing_share_elsewhere(outcomes, failure);
        let burst = outcome::find_burst(outcomes, failure, elsewhere);
        let Some(mut burst) = burst else { return false };
        // A ban or a revoked permission refuses everything that the key's own fleet sends.
        // That is an answer, not a sign.
        let own = self.profile.places.is_established(event.client_ip, &self.enriched.origin);
        if burst.is_of_refusals() && outcomes.is_refused_throughout() && own {
            return false;
        }
        burst.p_value = self.calibrate(Family::Outcome, burst.p_value, findings);
        if burst.p_value >= self.thresholds.rate {
            return false;
        }
        if self.is_news(burst.detector(), burst.p_value) {
            findings.signals.push(burst.into_signal(outcomes));
        }
        true
    }

    fn inspect_place(&self, findings: &mut Findings) -> bool {
        let places = &self.profile.places;
        let mut finding = geo::find_place(places, self.population, self.enriched);
        for p_value in finding.p_values() {
            *p_value = self.calibrate(Family::Place, *p_value, findings);
        }
        let threshold = self.thresholds.place;
        let new_location = finding.new_location < threshold * ALONE;
        if new_location && self.is_news(DetectorId::NewLocation, finding.new_location) {
            findings.signals.push(finding.location_signal(places));
        }
        if finding.new_asn < threshold && self.is_news(DetectorId::NewAsn, finding.new_asn) {
            findings.signals.push(finding.asn_signal(places));
        }
        let travel = finding.travel.filter(|travel| travel.p_value < threshold);
        if let Some(travel) = travel
            && self.is_news(DetectorId::ImpossibleTravel, travel.p_value)
        {
            findings.signals.push(travel.into_signal(self.enriched));
        }
        finding.is_told || new_location || finding.new_asn < threshold || travel.is_some()
    }

    fn inspect_replay(&self, repetition: Option<&Repetition>, findings: &mut Findings) -> bool {
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
        let found = [duplicate, backwards, weak].map(|signal| self.push_replay(signal, findings));
        found.contains(&true)
    }

    fn inspect_clock(&self, findings: &mut Findings) -> bool {
        let event = &self.enriched.event;
        let Some(client_time) = event.client_time else { return false };
        let window = self.validity_window_seconds;
        let stale = replay::stale_timestamp(&self.profile.clock, event, client_time, window);
        self.push_replay(stale, findings)
    }

    /// Keeps a replay signal that is below the threshold and news; says whether it is below.
    fn push_replay(&self, signal: Option<Signal>, findings: &mut Findings) -> bool {
        let Some(mut signal) = signal else { return false };
        signal.p_value = self.calibrate(Family::Replay, signal.p_value, findings);
        if signal.p_value >= self.thresholds.replay {
            return false;
        }
        if self.is_news(signal.detector, signal.p_value) {
            findings.signals.push(signal);
        }
        true
    }

    pub(super) fn is_news(&self, detector: DetectorId, p_value: f64) -> bool {
        let subject = Subject::Key(self.enriched.event.key_id.clone());
        p_value <= self.decider.news_below(&subject, detector)
    }
}
