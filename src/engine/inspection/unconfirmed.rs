//! Holds evidence at home against what owners in the fleet do unconfirmed, and teaches that.

use super::super::request::{OWN_MACHINE, hash_of};
use super::Inspection;
use crate::alert::DetectorId;
use crate::detect::Signal;
use crate::detect::rate::is_rise;
use crate::detect::unconfirmed::{Class, Kind, Reported, Unconfirmed};
use crate::event::EnrichedEvent;
use crate::profile::Profile;
use crate::rate::{MILD, MINUTE_WINDOW};

/// A key with more variety than this has a crowd of users: see
/// [`crate::profile::place::PlaceProfile::variety`].
pub(in crate::engine) const CROWD: f64 = 0.5;

impl Inspection<'_> {
    /// The p-value of evidence that its owner's work may explain: on a machine where the key is
    /// established, it is no rarer than owners in the fleet give such evidence.
    pub(super) fn at_home(&self, kind: Option<Kind>, p_value: f64) -> f64 {
        let most = self.thresholds.ordinary;
        let at_home = |kind| at_home(self.unconfirmed, self.profile, self.enriched, kind, most);
        let ordinary = kind.and_then(at_home);
        ordinary.map_or(p_value, |ordinary| ordinary.max(p_value))
    }
}

/// The least p-value of evidence if the event is from a machine where its key is established: how
/// often owners of such keys do this in an hour of use. Work that many holders do, and more often than
/// `most`, is mild, since telling it would break the promise of false alerts.
pub(in crate::engine) fn at_home(
    unconfirmed: &Unconfirmed,
    profile: &Profile,
    enriched: &EnrichedEvent,
    kind: Kind,
    most: f64,
) -> Option<f64> {
    let ordinary = || {
        let who = reported(profile, enriched);
        let p_value = unconfirmed.p_value(kind, class_of(profile), who.key);
        let breaks_promise = kind.is_work() && p_value > most && unconfirmed.is_common(kind, who);
        if breaks_promise { p_value.max(MILD) } else { p_value }
    };
    (is_at_home(profile, enriched) || (kind.is_volume() && is_of_crowd(profile, enriched)))
        .then(ordinary)
}

/// Whether the event is from a machine where its key is established, or from the same network in
/// the same region with a program of the key. A young key without established places is at home
/// where it was used most.
fn is_at_home(profile: &Profile, enriched: &EnrichedEvent) -> bool {
    let (ip, origin, places) = (enriched.event.client_ip, &enriched.origin, &profile.places);
    let is_own = || places.is_established(ip, origin) || places.is_first_home(ip, origin);
    places.is_established_prefix(ip)
        || (profile.clients.knows_program_of(&enriched.event) && is_own())
}

/// Whether the event is of one in a crowd: what its members do together comes from none of them.
fn is_of_crowd(profile: &Profile, enriched: &EnrichedEvent) -> bool {
    let (origin, places) = (&enriched.origin, &profile.places);
    places.variety() > CROWD
        && places.knows_network(origin)
        && places.knows_country(origin)
        && profile.clients.knows_program_of(&enriched.event)
}

fn reported(profile: &Profile, enriched: &EnrichedEvent) -> Reported {
    let tenant = profile.facts.tenant.as_deref().map(hash_of);
    Reported { key: hash_of(&enriched.event.key_id), tenant }
}

/// The class of keys that are used about as much as this one.
pub(in crate::engine) fn class_of(profile: &Profile) -> Class {
    Class::of(profile.rate.per_day() / 24.0)
}

/// Teaches the fleet the reports about a key. Evidence that its owner's work does not explain
/// confirms the earlier ones.
pub(in crate::engine) fn note_reports(
    unconfirmed: &mut Unconfirmed,
    signals: &[Signal],
    profile: &Profile,
    enriched: &EnrichedEvent,
) {
    if signals.is_empty() {
        return;
    }
    let reported = reported(profile, enriched);
    let kind = |signal: &Signal| kind_of(signal, profile);
    let is_owners = |signal: &Signal| signal.ceiling == OWN_MACHINE || kind(signal).is_some();
    let is_crowds = || {
        let is_volume = |signal: &Signal| kind(signal).is_some_and(Kind::is_volume);
        signals.iter().all(is_volume) && is_of_crowd(profile, enriched)
    };
    let is_own = is_at_home(profile, enriched) || is_crowds();
    if !is_own || !signals.iter().all(is_owners) {
        unconfirmed.confirm(reported.key);
        return;
    }
    let signals = signals.iter().filter(|signal| signal.ceiling != OWN_MACHINE);
    for kind in signals.filter_map(kind) {
        unconfirmed.report(reported, kind, class_of(profile), enriched.event.time);
    }
}

fn kind_of(signal: &Signal, profile: &Profile) -> Option<Kind> {
    match signal.detector {
        DetectorId::RateSpike if is_rise(signal) => Some(Kind::RISE),
        DetectorId::RateSpike => Some(Kind::burst(profile.rate.height(MINUTE_WINDOW))),
        detector => Kind::of(detector),
    }
}
