//! Runs all detectors on one event.

mod joint;
mod replay;
mod unconfirmed;
mod usage;

use crate::alert::{Action, Ceiling, DetectorId, Restraint};
use crate::decide::{Decider, Subject};
use crate::detect::calibration::{self, Calibration};
use crate::detect::geo::scatter::{Scattered, find_scatter};
use crate::detect::joint::note_tail;
use crate::detect::replay::Repetition;
use crate::detect::unconfirmed::{Kind, Unconfirmed};
use crate::detect::{Family, Signal, Thresholds, geo, leak, outcome, rate, rules};
use crate::event::{DAY_SECONDS, EnrichedEvent};
use crate::profile::client::Trait;
use crate::profile::nonce::ToldHabits;
use crate::profile::outcome::Failure;
use crate::profile::scores::WorstScores;
use crate::profile::signs::{Session, Sign, Signs};
use crate::profile::silence::Waking;
use crate::profile::{Dependence, PeerRoutes, Population, Profile, Suspicion};
use crate::rate::{MILD, MINUTE_WINDOW, Rise, Spike, find_rise, find_spike};
use crate::registry::{Deeds, Leak, RegisteredKey};

use self::joint::note_of_hour;
pub(super) use self::joint::teach;
pub(super) use self::unconfirmed::{CROWD, at_home, class_of, note_reports};
use super::fleet::Fleet;
use super::request::{OWN_MACHINE, RequestView};

/// A new country alone must be less likely by this factor than a new network or an impossible
/// journey, because people travel.
const ALONE: f64 = 0.3;
/// The ceiling for a server that moved: who holds the key has its program and its habits too.
const OWN_MOVE: Option<Ceiling> =
    Some(Ceiling { most: Action::Observe, reason: Restraint::OrdinaryCause });
/// A burst of the same work is mild below this multiple of the key's largest burst of that length
/// in the last days.
const OF_THE_SAME_WORK: f64 = 1.5;
/// As above, in the first day of a new program on the key's own machine.
const OF_A_NEW_JOB: f64 = 30.0;

/// Everything that the inspection of one event reads. It changes none of it.
pub struct Inspection<'a> {
    pub profile: &'a Profile,
    pub registered: Option<&'a RegisteredKey>,
    /// The latest report that the key has leaked.
    pub leak: Option<&'a Leak>,
    /// What was done to keys.
    pub deeds: &'a Deeds,
    pub population: &'a Population,
    pub fleet: &'a Fleet,
    pub peers: &'a PeerRoutes,
    pub dependence: &'a Dependence,
    pub request: &'a RequestView,
    pub decider: &'a Decider,
    pub thresholds: Thresholds,
    pub calibration: &'a Calibration,
    pub unconfirmed: &'a Unconfirmed,
    pub validity_window_seconds: f64,
    pub enriched: &'a EnrichedEvent,
}

/// The result of the inspection of one event.
#[derive(Default)]
pub struct Findings {
    /// Signals that are news, lowest p-value first.
    pub signals: Vec<Signal>,
    /// The parts of the event that profiles must not learn.
    pub suspicion: Suspicion,
    /// Habits that are reported with this event. They count as the key's own from now on.
    pub told_habits: ToldHabits,
    /// Machines of one network of the key asked the same at once: see
    /// [`crate::profile::nonce::Again::AtOnce`].
    pub is_at_once: bool,
    /// All p-values of the models, whether or not they are below a threshold.
    pub scores: WorstScores,
    /// What is new in this request, weak or not.
    pub signs: Signs,
    pub waking: Option<Waking>,
    /// The key's session with this request, if it has something new.
    pub session: Option<Session>,
}

impl Inspection<'_> {
    pub fn run(&self, repetition: Option<&Repetition>) -> Findings {
        let mut findings = Findings::default();
        // First, because signs of a key with little past count only if it woke up.
        self.inspect_silence(&mut findings);
        findings.suspicion = Suspicion {
            rule: self.inspect_rules(&mut findings),
            rate: self.inspect_rate(&mut findings),
            rise: self.inspect_rise(&mut findings),
            outcomes: self.inspect_outcomes(&mut findings),
            place: self.inspect_place(&mut findings),
            replay: self.inspect_replay(repetition, &mut findings),
            clock: self.inspect_clock(repetition, &mut findings),
            route: self.inspect_route(&mut findings),
            key_management: self.inspect_key_management(&mut findings.signals),
            agent: self.inspect_client(Trait::Agent, &mut findings),
            fingerprint: self.inspect_client(Trait::Fingerprint, &mut findings),
            volume: self.inspect_volume(&mut findings.signals),
            walk: self.inspect_walk(&mut findings.signals),
        };
        self.inspect_joint(&mut findings);
        findings.signals.sort_by(|a, b| a.p_value.total_cmp(&b.p_value));
        findings
    }

    /// Notes a model's p-value, and calibrates it with the scores of this fleet.
    fn calibrate(&self, family: Family, p_value: f64, findings: &mut Findings) -> f64 {
        calibration::note(&mut findings.scores, family, p_value);
        self.calibration.p_value(family, p_value)
    }

    fn inspect_rules(&self, findings: &mut Findings) -> bool {
        let mut is_broken = self.inspect_leak(findings) | self.inspect_use_after(findings);
        let Some(key) = self.registered else { return is_broken };
        let event = &self.enriched.event;
        for found in rules::find_broken_rules(key, event) {
            let (detector, p_value) = (found.detector(), found.p_value);
            let signal = || found.into_signal(key, event, &self.profile.silence);
            is_broken |= self.keep(detector, p_value, rules::FACT, &mut findings.signals, signal);
        }
        is_broken
    }

    fn inspect_leak(&self, findings: &mut Findings) -> bool {
        let found = self.leak.and_then(|leak| leak::find_use(leak, &self.enriched.event));
        let Some(found) = found else { return false };
        let (detector, p_value) = (DetectorId::LeakedKey, leak::USED);
        let signal = || found.into_signal(self.enriched);
        self.keep(detector, p_value, rules::FACT, &mut findings.signals, signal)
    }

    fn inspect_use_after(&self, findings: &mut Findings) -> bool {
        let event = &self.enriched.event;
        // A registration that says so is judged by its own rule.
        if self.registered.is_some_and(RegisteredKey::is_revoked) {
            return false;
        }
        let Some(found) = rules::find_use_after(self.deeds, event) else { return false };
        let (detector, p_value) = (DetectorId::RevokedKeyUse, found.p_value);
        let signal = || found.into_signal(event);
        self.keep(detector, p_value, rules::FACT, &mut findings.signals, signal)
    }

    fn inspect_rate(&self, findings: &mut Findings) -> bool {
        let (Profile { rate, places, .. }, time) = (self.profile, self.enriched.event.time);
        let surge = |which| self.fleet.surge_elsewhere(rate, which, time);
        let Some(mut spike) = find_spike(rate, surge) else { return false };
        spike.p_value = self.calibrate(Family::Rate, spike.p_value, findings);
        self.note_rate(&spike, findings);

        if spike.p_value >= self.thresholds.rate {
            return false;
        }
        let speed = Kind::burst(rate.height(MINUTE_WINDOW));
        let is_on_own_machine = places.is_established_prefix(self.enriched.event.client_ip);
        let backlog = if spike.is_backlog && is_on_own_machine { MILD } else { 0.0 };
        spike.p_value = self.at_home(Some(speed), spike.p_value.max(spike.innocence).max(backlog));
        let ceiling = self.own_work(rate.height(spike.which));
        if self.is_news(DetectorId::RateSpike, spike.p_value, ceiling) {
            findings.signals.push(Signal { ceiling, ..rate::spike_signal(spike, rate) });
        }
        true
    }

    /// A session of a key that is seldom used has more requests than usual in any case, unless it
    /// ends the key's longest silence.
    fn note_rate(&self, spike: &Spike, findings: &mut Findings) {
        let in_use = if self.woke_up(findings) { 0.0 } else { spike.p_value_in_use() };
        let tested = Thresholds::tests_an_hour(Family::Rate) * spike.p_value.max(spike.innocence);
        note_tail(&mut findings.signs, Sign::Rate, tested.max(in_use));
    }

    /// The ceiling for more of what the key does anyhow, or of what a new program of its owner
    /// does: the same machines, programs, routes and answers. `height` is that of the burst, as a
    /// multiple of the key's largest. A flood is never the owner's work.
    fn own_work(&self, height: f64) -> Option<Ceiling> {
        let event = &self.enriched.event;
        let is_at_home = self.profile.places.is_established_prefix(event.client_ip);
        let is_new = self.profile.clients.is_deployed(event.time);
        let most = if is_new { OF_A_NEW_JOB } else { OF_THE_SAME_WORK };
        let is_known = is_new || self.request.is_usual();
        (is_at_home && is_known && height < most && self.request.is_answered())
            .then_some(OWN_MACHINE)
            .flatten()
    }

    fn inspect_rise(&self, findings: &mut Findings) -> Option<Rise> {
        let rate = &self.profile.rate;
        let elsewhere = self.fleet.rise_elsewhere(rate);
        let mut rise = find_rise(rate, elsewhere, || self.is_at_home(), self.thresholds.rate)?;
        rise.p_value = self.at_home(Some(Kind::RISE), rise.p_value);
        if self.is_news(DetectorId::RateSpike, rise.p_value, None) {
            findings.signals.push(rate::rise_signal(rate, rise));
        }
        Some(rise)
    }

    fn inspect_outcomes(&self, findings: &mut Findings) -> bool {
        let event = &self.enriched.event;
        let Some(failure) = Failure::of_status(event.status) else { return false };
        let outcomes = &self.profile.outcomes;
        let elsewhere = self.fleet.failing_share_elsewhere(self.profile, failure);
        let burst = outcome::find_burst(outcomes, failure, elsewhere);
        let Some(mut burst) = burst else { return false };
        // A ban or a revoked permission refuses everything that the key's own machines send. That
        // is an answer of the API, not a sign of an attack.
        let own = self.profile.places.is_established(event.client_ip, &self.enriched.origin);
        if burst.is_of_refusals() && outcomes.is_refused_throughout() && own {
            return false;
        }
        // So does a suspension or revocation.
        if burst.is_of_refusals() && self.deeds.explain_refusal(&event.key_id, event.time) {
            return false;
        }
        burst.p_value = self.calibrate(Family::Outcome, burst.p_value, findings);
        note_of_hour(findings, Sign::Errors, Family::Outcome, burst.p_value);
        let (detector, p_value) = (burst.detector(), burst.p_value);
        let signal = || burst.into_signal(outcomes);
        self.keep(detector, p_value, self.thresholds.rate, &mut findings.signals, signal)
    }

    fn inspect_place(&self, findings: &mut Findings) -> bool {
        let (places, enriched) = (&self.profile.places, self.enriched);
        let mut found = geo::find_place(places, self.population, enriched);
        for p_value in found.p_values() {
            *p_value = self.calibrate(Family::Place, *p_value, findings);
        }
        if !found.is_young || self.woke_up(findings) {
            self.note_place(&found, &mut findings.signs);
        }
        if found.is_young {
            (found.location, found.network) = (None, None);
        }
        let (threshold, signals) = (self.thresholds.place, &mut findings.signals);
        let bound = |ceiling| if self.is_own_move() { OWN_MOVE } else { ceiling };
        let is_new_location = found.location.is_some_and(|found| {
            let signal = || found.into_signal(places, enriched);
            let threshold = if found.is_country { threshold * ALONE } else { threshold };
            let (detector, p_value) = (DetectorId::NewLocation, found.p_value);
            self.keep_under(bound(found.ceiling), detector, p_value, threshold, signals, signal)
        });
        let is_new_network = found.network.is_some_and(|found| {
            let signal = || found.into_signal(places, enriched);
            let (detector, p_value) = (DetectorId::NewAsn, found.p_value);
            // This is worth no alert. The place becomes known as slowly as one that is told.
            if p_value < threshold && self.is_other_carrier() {
                return true;
            }
            self.keep_under(bound(found.ceiling), detector, p_value, threshold, signals, signal)
        });
        let is_impossible = found.travel.is_some_and(|found| {
            let signal = || found.into_signal(enriched);
            let (detector, p_value) = (DetectorId::ImpossibleTravel, found.p_value);
            let (most, ceiling) = found.bounds(threshold);
            self.keep_under(bound(ceiling), detector, p_value, most, signals, signal)
                && p_value < threshold
        });
        let is_scattered = self.inspect_scatter(findings);
        found.is_told || is_new_location || is_new_network || is_impossible || is_scattered
    }

    /// A crowd's key shows on its first day how often new places are usual.
    fn inspect_scatter(&self, findings: &mut Findings) -> bool {
        let EnrichedEvent { event, origin, .. } = self.enriched;
        let places = &self.profile.places;
        let Some(mut found) = find_scatter(places, event.time) else { return false };
        let is_young = self.known_seconds() < DAY_SECONDS;
        if is_young || places.is_established(event.client_ip, origin) {
            return false;
        }
        // Places have this test beside that of each place.
        let p_value = self.calibrate(Family::Place, 2.0 * found.p_value, findings);
        found.p_value = p_value;
        let signal = || found.into_signal(event);
        let (detector, threshold) = (DetectorId::NewLocation, self.thresholds.place);
        let signals = &mut findings.signals;
        self.keep_under(Scattered::CEILING, detector, p_value, threshold, signals, signal)
    }

    /// Whether a key of servers appears at another server with its own program, on its own routes,
    /// as it does after a deploy.
    fn is_own_move(&self) -> bool {
        geo::is_among_servers(&self.profile.places, &self.enriched.origin)
            && self.request.client(Trait::Agent).is_some()
            && self.has_known_program()
            && self.request.is_usual()
    }

    pub(super) fn has_known_program(&self) -> bool {
        self.profile.clients.knows_program_of(&self.enriched.event)
    }

    /// Whether only the network is new: the key's own program on its own routes in a region of the
    /// key. People change carriers; thieves rent machines.
    fn is_other_carrier(&self) -> bool {
        let (places, origin) = (&self.profile.places, &self.enriched.origin);
        origin.is_located()
            && places.knows_region(origin)
            && !origin.kind.is_rented()
            && geo::foreign_kind(places, origin).is_none()
            && self.has_known_program()
            && self.request.is_usual()
    }

    /// Of a crowd each member may be new in some way.
    fn note_place(&self, found: &geo::PlaceFindings<'_>, signs: &mut Signs) {
        if found.location.is_none() && found.network.is_none() {
            return;
        }
        let (places, origin) = (&self.profile.places, &self.enriched.origin);
        let variety = places.variety();
        let mut note = |sign, new: f64, p_value: f64| {
            signs.note(sign, new.max(variety), p_value / new * new.max(variety));
        };
        if let Some(location) = found.location {
            note(Sign::Place, location.new, location.p_value);
        }
        if let Some(network) = found.network {
            note(Sign::Network, network.new, network.p_value);
        }
        // How likely a network of a new kind is, is in that of the network.
        if let Some(foreign) =
            geo::foreign_kind(places, origin).filter(|_| found.location.is_some())
        {
            note(Sign::Kind, foreign, foreign);
        }
    }

    /// Keeps a finding that is below its threshold and news; says whether it is below.
    pub(super) fn keep(
        &self,
        detector: DetectorId,
        p_value: f64,
        threshold: f64,
        signals: &mut Vec<Signal>,
        into_signal: impl FnOnce() -> Signal,
    ) -> bool {
        self.keep_under(None, detector, p_value, threshold, signals, into_signal)
    }

    /// As [`Self::keep`], with a bound on the action that may follow.
    pub(super) fn keep_under(
        &self,
        ceiling: Option<Ceiling>,
        detector: DetectorId,
        p_value: f64,
        threshold: f64,
        signals: &mut Vec<Signal>,
        into_signal: impl FnOnce() -> Signal,
    ) -> bool {
        if p_value >= threshold {
            return false;
        }
        // This comes before the words are made, which is the expensive part: most findings are not
        // news.
        let p_value = self.at_home(Kind::of(detector), p_value);
        if self.is_news(detector, p_value, ceiling) {
            signals.push(Signal { ceiling, p_value, ..into_signal() });
        }
        true
    }

    fn is_news(&self, detector: DetectorId, p_value: f64, ceiling: Option<Ceiling>) -> bool {
        let subject = Subject::Key(self.enriched.event.key_id.clone());
        p_value <= self.decider.news_below(&subject, detector, ceiling)
    }
}
