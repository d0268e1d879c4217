//! Runs the replay detectors on one event.

use crate::alert::{Action, Ceiling, DetectorId, Restraint};
use crate::detect::Family;
use crate::detect::replay::duplicate::find_duplicate;
use crate::detect::replay::order::find_out_of_order;
use crate::detect::replay::stale::{StaleTimestamp, find_stale_timestamp};
use crate::detect::replay::twice::find_accepted_twice;
use crate::detect::replay::weak::{find_collisions, find_weak_nonces};
use crate::detect::replay::{MILD, Repetition};
use crate::profile::nonce::ToldHabits;

use super::{Findings, Inspection};

/// Threshold of findings that are reported once, with low confidence, whatever their p-value.
const ALWAYS: f64 = 1.0;

impl Inspection<'_> {
    /// Whether the profile must not learn the request. It learns the habits of the key's own
    /// machines.
    pub(super) fn inspect_replay(
        &self,
        repetition: Option<&Repetition>,
        findings: &mut Findings,
    ) -> bool {
        self.inspect_collisions(repetition, findings);
        self.inspect_accepted_twice(repetition, findings);
        // All three run: together they make the evidence.
        let is_duplicate = self.inspect_duplicate(repetition, findings);
        let is_out_of_order = self.inspect_order(repetition, findings);
        let is_weak = self.inspect_weakness(findings);
        is_duplicate || is_out_of_order || is_weak
    }

    fn inspect_duplicate(&self, repetition: Option<&Repetition>, findings: &mut Findings) -> bool {
        let found = find_duplicate(self.profile, self.enriched, repetition);
        let Some(mut found) = found else { return false };
        found.p_value = self.calibrate(Family::Replay, found.p_value, findings);
        findings.is_at_once = found.is_of_pool_at_once;
        // The API's check is worth one notice, whether a client or a pool shows what it lets pass.
        if found.is_of_pool_at_once && self.profile.nonces.told.accepted_twice {
            return false;
        }
        let (threshold, signals) = (self.thresholds.replay, &mut findings.signals);
        let (ceiling, signal) = (found.ceiling, || found.into_signal(self.enriched));
        let is_kept =
            self.keep_under(ceiling, found.detector, found.p_value, threshold, signals, signal);
        findings.told_habits.accepted_twice |= is_kept && found.is_of_pool_at_once;
        is_kept && !found.is_own_habit
    }

    fn inspect_accepted_twice(&self, repetition: Option<&Repetition>, findings: &mut Findings) {
        let event = &self.enriched.event;
        let Some(mut found) = find_accepted_twice(self.profile, event, repetition) else { return };
        // The API's check is worth one notice: the key's owner cannot mend it.
        if self.profile.nonces.told.accepted_twice {
            found.p_value = found.p_value.max(MILD);
        }
        let ceiling = at_most_notify(Restraint::KnownAddress);
        let (threshold, signals) = (self.thresholds.replay, &mut findings.signals);
        let (detector, p_value) = (found.detector, found.p_value);
        let signal = || found.into_signal(event);
        findings.told_habits.accepted_twice |=
            self.keep_under(ceiling, detector, p_value, threshold, signals, signal);
    }

    fn inspect_collisions(&self, repetition: Option<&Repetition>, findings: &mut Findings) {
        let Some(found) = find_collisions(&self.profile.nonces, repetition) else { return };
        let signals = &mut findings.signals;
        let signal = || found.into_signal(&self.enriched.event);
        let ceiling = at_most_notify(Restraint::OrdinaryCause);
        self.keep_under(ceiling, DetectorId::WeakNonce, MILD, ALWAYS, signals, signal);
        findings.told_habits.collisions = true;
    }

    fn inspect_order(&self, repetition: Option<&Repetition>, findings: &mut Findings) -> bool {
        let (event, is_at_home) = (&self.enriched.event, self.is_at_home());
        let Some(mut found) = find_out_of_order(self.profile, event, is_at_home) else {
            return false;
        };
        found.p_value = self.calibrate(Family::Replay, found.p_value, findings);
        let (threshold, signals) = (self.thresholds.replay, &mut findings.signals);
        let is_rare = found.p_value < threshold;
        // The key's own machine sends late what it could not deliver.
        let is_late = repetition.is_none() && self.is_own_machine();
        found.p_value = found.p_value.max(if is_late { MILD } else { 0.0 });
        let signal = || found.into_signal(&self.profile.nonces, event);
        let ceiling = is_at_home.then_some(KNOWN_ADDRESS);
        let detector = DetectorId::OutOfOrderNonce;
        let is_kept =
            is_rare && self.keep_under(ceiling, detector, found.p_value, ALWAYS, signals, signal);
        findings.told_habits.steps_back |= is_kept && is_at_home;
        is_kept && !is_at_home
    }

    fn inspect_weakness(&self, findings: &mut Findings) -> bool {
        let (nonces, event) = (&self.profile.nonces, &self.enriched.event);
        let is_at_home = self.is_at_home();
        if is_at_home && nonces.told.small_steps {
            return false;
        }
        let Some(mut found) = find_weak_nonces(nonces, event) else { return false };
        found.p_value = self.calibrate(Family::Replay, found.p_value, findings);
        let (threshold, signals) = (self.thresholds.replay, &mut findings.signals);
        let signal = || found.into_signal(nonces, event);
        let ceiling = is_at_home.then_some(KNOWN_ADDRESS);
        let detector = DetectorId::WeakNonce;
        let is_kept = self.keep_under(ceiling, detector, found.p_value, threshold, signals, signal);
        findings.told_habits.small_steps |= is_kept && is_at_home;
        is_kept && !is_at_home
    }

    /// Whether the profile must not learn the signed time.
    pub(super) fn inspect_clock(
        &self,
        repetition: Option<&Repetition>,
        findings: &mut Findings,
    ) -> bool {
        let (clock, event) = (&self.profile.clock, &self.enriched.event);
        // A client that retries sends the time that it signed first.
        if repetition.is_some_and(|repetition| repetition.again.is_retry()) {
            return false;
        }
        let window = self.validity_window_seconds;
        let found = find_stale_timestamp(clock, event, window, self.is_at_home());
        let Some(mut found) = found else { return false };
        if found.is_zone && !found.is_settled {
            self.report_zone(found, findings);
            return false;
        }
        found.p_value = self.calibrate(Family::Replay, found.p_value, findings);
        if found.p_value >= self.thresholds.replay {
            return false;
        }
        if self.is_at_home() && repetition.is_none() {
            found.p_value = found.p_value.max(MILD);
        }
        let ceiling = self.ceiling_of_clock(&found, repetition);
        let (detector, signals) = (DetectorId::StaleTimestamp, &mut findings.signals);
        let signal = || found.into_signal(event);
        self.keep_under(ceiling, detector, found.p_value, ALWAYS, signals, signal);
        ceiling.is_none()
    }

    /// A captured request that is sent again bears a nonce or a signature that came before. Where
    /// one does not, and on the key's own machine, a clock or a queue of its owner is more likely.
    fn ceiling_of_clock(
        &self,
        found: &StaleTimestamp,
        repetition: Option<&Repetition>,
    ) -> Option<Ceiling> {
        let event = &self.enriched.event;
        if !found.is_settled {
            at_most_notify(Restraint::YoungKey)
        } else if self.is_at_home() {
            at_most_notify(Restraint::KnownAddress)
        } else if repetition.is_none() && (event.nonce.is_some() || event.signature.is_some()) {
            at_most_notify(Restraint::OrdinaryCause)
        } else {
            None
        }
    }

    /// Reports a clock of another time zone that the key had from its first request, once.
    fn report_zone(&self, mut found: StaleTimestamp, findings: &mut Findings) {
        if self.profile.nonces.told.time_zone {
            return;
        }
        found.p_value = MILD;
        let (detector, ceiling) =
            (DetectorId::StaleTimestamp, at_most_notify(Restraint::OrdinaryCause));
        let signal = || found.into_signal(&self.enriched.event);
        self.keep_under(ceiling, detector, MILD, ALWAYS, &mut findings.signals, signal);
        findings.told_habits = ToldHabits { time_zone: true, ..findings.told_habits };
    }

    fn is_own_machine(&self) -> bool {
        self.profile.places.is_established_prefix(self.enriched.event.client_ip)
    }

    pub(super) fn is_at_home(&self) -> bool {
        let (ip, origin) = (self.enriched.event.client_ip, &self.enriched.origin);
        self.profile.places.is_established(ip, origin)
    }
}

const KNOWN_ADDRESS: Ceiling = Ceiling { most: Action::Notify, reason: Restraint::KnownAddress };

const fn at_most_notify(reason: Restraint) -> Option<Ceiling> {
    Some(Ceiling { most: Action::Notify, reason })
}
