//! Weighs the weak signs of a session together.

use std::hash::BuildHasher;

use super::{Findings, Inspection};
use crate::alert::{Action, Restraint};
use crate::detect::client::find_new_client;
use crate::detect::dormancy::DormantUse;
use crate::detect::joint::{Joint, find_joint, note_tail};
use crate::detect::outcome::find_burst;
use crate::detect::{Family, Signal, Thresholds, geo, rate};
use crate::event::DAY_SECONDS;
use crate::profile::client::Trait;
use crate::profile::outcome::Failure;
use crate::profile::place::Site;
use crate::profile::signs::{Session, Sign, Signs};
use crate::profile::{Dependence, Profile};
use crate::rate::find_spike;

/// A key that was used for less than a day, its longest silence apart, has shown too little of
/// itself.
const MIN_KNOWN_SECONDS: f64 = DAY_SECONDS;
/// Below this part of its mean hour, the key is hardly used.
const OFF_HOURS: f64 = 0.2;

impl Inspection<'_> {
    /// Adds the request's signs to the key's session and weighs that. Costs nothing unless
    /// something is new.
    pub(super) fn inspect_joint(&self, findings: &mut Findings) {
        if findings.signs.is_empty() {
            return;
        }
        self.note_hours(findings);
        let event = &self.enriched.event;
        let earlier = self.profile.session.as_deref();
        let (signs, waking) = (&findings.signs, findings.waking);
        let (mut session, is_stranger) =
            Session::with(earlier, event.time, event.client_ip, signs, waking);
        if is_stranger && self.is_known_well(&session) {
            session.is_suspected |= self.weigh(&session, findings);
        }
        findings.session = Some(session);
    }

    /// Hours are no sign alone: most keys have some, every day.
    fn note_hours(&self, findings: &mut Findings) {
        let level = self.profile.rate.hour_level();
        if level < OFF_HOURS {
            findings.signs.note(Sign::Hours, OFF_HOURS, level);
        }
    }

    /// Whether the key woke up in this session, after a silence longer than any before and a
    /// journey.
    pub(super) fn woke_up(&self, findings: &Findings) -> bool {
        let open = self.profile.session.as_deref();
        let open = open.filter(|session| !session.is_over(self.enriched.event.time));
        findings.waking.is_some() || open.is_some_and(|session| session.waking.is_some())
    }

    /// Whether enough is known of the key to weigh its session. For one that slept for days and then
    /// is somebody else's somewhere else, a single use is enough.
    fn is_known_well(&self, session: &Session) -> bool {
        let known = match session.waking {
            Some(waking) => f64::from(waking.known_seconds),
            None => {
                let silence = &self.profile.silence;
                silence.known_seconds() - silence.longest_seconds()
            }
        };
        known >= MIN_KNOWN_SECONDS || (session.waking.is_some() && is_somebody_else(&session.signs))
    }

    /// Whether the session is below the threshold.
    fn weigh(&self, session: &Session, findings: &mut Findings) -> bool {
        let found = find_joint(&session.signs, self.dependence);
        let Some(mut joint) = found else { return false };
        joint.p_value = self.calibrate(Family::Joint, joint.p_value, findings);
        if joint.p_value >= self.thresholds.joint {
            return false;
        }
        let is_told_alone = |signal: &Signal, findings: &Findings| {
            findings.signals.iter().any(|told| told.detector == signal.detector)
        };
        let is_young = geo::is_young(&self.profile.places);
        for signal in self.evidence(&joint, session) {
            let signal = joint.tell(if is_young { of_young_key(signal) } else { signal });
            if !is_told_alone(&signal, findings)
                && self.is_news(signal.detector, signal.p_value, signal.ceiling)
            {
                findings.signals.push(signal);
            }
        }
        let has = |sign: Sign| joint.signs.contains(&sign);
        findings.suspicion.place |= has(Sign::Place) || has(Sign::Network) || has(Sign::Kind);
        findings.suspicion.route |= has(Sign::Route);
        true
    }

    /// What each of the signs says alone, as far as it is seen in this request.
    fn evidence(&self, joint: &Joint, session: &Session) -> Vec<Signal> {
        let has = |sign: Sign| joint.signs.contains(&sign);
        let mut signals =
            self.evidence_of_place(has(Sign::Place), has(Sign::Network) || has(Sign::Kind));
        let clients = [(Sign::Agent, Trait::Agent), (Sign::Fingerprint, Trait::Fingerprint)];
        for (_, which) in clients.into_iter().filter(|(sign, _)| has(*sign)) {
            signals.extend(self.evidence_of_client(which));
        }
        if has(Sign::Route) {
            signals.extend(self.evidence_of_route());
        }
        if has(Sign::Errors) {
            signals.extend(self.evidence_of_errors());
        }
        if has(Sign::Rate) {
            signals.extend(self.evidence_of_rate());
        }
        if let Some(waking) = session.waking.filter(|_| has(Sign::Silence)) {
            let p_value = session.signs.of(Sign::Silence).p_value();
            let found = DormantUse::of_session(waking, p_value, self.is_at_home());
            signals.push(found.into_signal(&self.enriched.event));
        }
        signals
    }

    fn evidence_of_place(&self, is_new_place: bool, is_new_network: bool) -> Vec<Signal> {
        let (places, enriched) = (&self.profile.places, self.enriched);
        let found = geo::find_place(places, self.population, enriched);
        let location = found
            .location
            .filter(|_| is_new_place)
            .map(|found| Signal { ceiling: found.ceiling, ..found.into_signal(places, enriched) });
        let network = found
            .network
            .filter(|_| is_new_network)
            .map(|found| Signal { ceiling: found.ceiling, ..found.into_signal(places, enriched) });
        location.into_iter().chain(network).collect()
    }

    fn evidence_of_client(&self, which: Trait) -> Option<Signal> {
        let client = self.request.client(which)?;
        let (clients, fleet) = (&self.profile.clients, &self.peers.clients);
        let found = find_new_client(which, &client, clients, self.known_seconds(), fleet)?;
        let signal = found.into_signal(clients, fleet, &self.enriched.event);
        Some(Signal { ceiling: super::super::request::NOVELTY, ..signal })
    }

    fn evidence_of_errors(&self) -> Option<Signal> {
        let failure = Failure::of_status(self.enriched.event.status)?;
        let elsewhere = self.fleet.failing_share_elsewhere(self.profile, failure);
        let outcomes = &self.profile.outcomes;
        Some(find_burst(outcomes, failure, elsewhere)?.into_signal(outcomes))
    }

    fn evidence_of_rate(&self) -> Option<Signal> {
        let (rate, time) = (&self.profile.rate, self.enriched.event.time);
        let spike = find_spike(rate, |which| self.fleet.surge_elsewhere(rate, which, time))?;
        Some(rate::spike_signal(spike, rate))
    }
}

/// Whether somebody else uses the key somewhere else.
fn is_somebody_else(signs: &Signs) -> bool {
    let has = |any: &[Sign]| any.iter().any(|sign| signs.has(*sign));
    has(&[Sign::Place, Sign::Network]) && has(&[Sign::Agent, Sign::Fingerprint])
}

fn of_young_key(signal: Signal) -> Signal {
    signal.at_most(Action::Notify, Restraint::YoungKey)
}

/// Takes note of a sign of a family that is tested all the time, as the hour's.
pub(super) fn note_of_hour(findings: &mut Findings, sign: Sign, family: Family, p_value: f64) {
    note_tail(&mut findings.signs, sign, p_value * Thresholds::tests_an_hour(family));
}

/// Teaches the fleet a session that is over. Keys of one tenant are one group, and where the log
/// names none those of one home network: whoever has many keys must not be many.
pub(in crate::engine) fn teach(
    dependence: &mut Dependence,
    session: &Session,
    profile: &Profile,
    tenant: Option<&str>,
) {
    let hasher = foldhash::quality::FixedState::default();
    let group = match tenant {
        Some(tenant) => hasher.hash_one(("tenant", tenant)),
        None => hasher.hash_one(("network", home_network(profile))),
    };
    dependence.learn(&session.signs, group, session.is_suspected, profile.last_seen);
}

/// The organisation behind the network that the key is used from most.
fn home_network(profile: &Profile) -> u32 {
    let sites = profile.places.sites().iter();
    let home = sites.max_by(|a, b| a.weight.total_cmp(&b.weight));
    home.map_or(0, |site: &Site| site.organisation)
}
