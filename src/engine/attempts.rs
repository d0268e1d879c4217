//! Judges requests that only name their key. They teach nothing about what its holder does, and
//! their evidence asks for no more than a notice.

use std::slice;

use crate::alert::{Action, Restraint};
use crate::decide::{Decider, KnownKey, Moment, Occurrence, Subject};
use crate::detect::outcome::find_burst;
use crate::detect::replay::duplicate::refused_replay;
use crate::detect::stranger::find_stranger;
use crate::detect::unconfirmed::Kind;
use crate::detect::{Signal, Thresholds};
use crate::event::EnrichedEvent;
use crate::profile::outcome::Failure;
use crate::proof::Attempt;

use super::inspection::{CROWD, at_home, note_reports};
use super::partition_clock::PartitionClock;
use super::shard::{Shard, Shared};
use super::stuffing::{is_refused, is_settled};

impl Shard {
    /// Judges an attempt against all requests that name its key. The profile of the key's holder
    /// does not learn it. False for a key without a profile.
    pub(super) fn judge_attempt(
        &mut self,
        clock: &mut PartitionClock,
        attempt: Attempt<'_>,
        moment: Moment<'_>,
        thresholds: Thresholds,
        shared: &mut Shared<'_>,
    ) -> bool {
        let event = attempt.event();
        let Some(kept) = self.profiles.get_mut(&event.key_id) else { return false };
        self.changes.note(&event.key_id, kept);
        let profile = &mut *kept.profile;
        profile.count_attempt(attempt);
        clock.fleet.count_attempt(profile, event);
        self.report_refused_replay(attempt, moment, shared);
        self.report_stranger(clock, attempt, moment, shared);
        let Some(kept) = self.profiles.get_mut(&event.key_id) else { return false };
        let profile = &mut *kept.profile;
        let Some(failure) = Failure::of_status(event.status) else { return true };
        let elsewhere = clock.fleet.named_failing_share_elsewhere(profile, failure);
        let Some(burst) = find_burst(&profile.named, failure, elsewhere) else { return true };
        let enriched = attempt.enriched();
        let is_at_home = profile.places.is_established(event.client_ip, &enriched.origin);
        // If everything from the key's own machines is refused, the key is banned. The refusals are
        // then an answer of the API and not a sign of an attack.
        if burst.is_of_refusals() && is_at_home && profile.named.is_refused_throughout() {
            return true;
        }
        // Refusals that follow from a suspension, a revocation or a rotation are no evidence either.
        let deeds = shared.registry.deeds();
        if burst.is_of_refusals() && deeds.explain_refusal(&event.key_id, event.time) {
            return true;
        }
        profile.named.exclude_current();
        if burst.p_value >= thresholds.rate {
            return true;
        }
        let mut signal =
            burst.into_signal(&profile.named).at_most(Action::Notify, Restraint::AttemptsOnly);
        // Most failures from the key's own machine are its owner's loop.
        let kind = Kind::of(signal.detector);
        let most = thresholds.ordinary;
        let ordinary =
            kind.and_then(|kind| at_home(&self.unconfirmed, profile, enriched, kind, most));
        signal.p_value = signal.p_value.max(ordinary.unwrap_or(0.0));
        if ordinary.is_some() && is_news(&self.decider, enriched, &signal) {
            note_reports(&mut self.unconfirmed, slice::from_ref(&signal), profile, enriched);
        }
        self.consider_attempt(attempt, signal, moment, shared);
        true
    }

    /// Raises an alert when a network that the key was never used from tries it again and again. A
    /// source that tries many keys has an incident of its own, and a crowd is strange everywhere.
    fn report_stranger(
        &mut self,
        clock: &PartitionClock,
        attempt: Attempt<'_>,
        moment: Moment<'_>,
        shared: &mut Shared<'_>,
    ) {
        let (enriched, event) = (attempt.enriched(), attempt.event());
        // No key has a place at an address of which nothing is known, an internal one for example.
        let is_placed = enriched.origin.is_known();
        if !is_placed || !is_refused(event) || clock.fleet.is_refusing_most() {
            return;
        }
        let is_of_list = self.stuffing.is_told(event.client_ip);
        let Some(kept) = self.profiles.get_mut(&event.key_id) else { return };
        let profile = &mut *kept.profile;
        let places = &profile.places;
        let is_known = places.site_of(event.client_ip, &enriched.origin).is_some();
        if is_known || places.variety() > CROWD || !is_settled(profile, event.time) {
            return;
        }
        let refusals = profile.strangers.count(event.client_ip, event.time);
        if is_of_list || shared.registry.deeds().explain_refusal(&event.key_id, event.time) {
            return;
        }
        if let Some(signal) = find_stranger(refusals, event) {
            profile.strangers.tell(event.client_ip);
            self.consider_attempt(attempt, signal, moment, shared);
        }
    }

    /// Adds evidence about an attempt to the incident of its key, if it is news.
    fn consider_attempt(
        &mut self,
        attempt: Attempt<'_>,
        signal: Signal,
        moment: Moment<'_>,
        shared: &mut Shared<'_>,
    ) {
        let enriched = attempt.enriched();
        if !is_news(&self.decider, enriched, &signal) {
            return;
        }
        let key_id = &enriched.event.key_id;
        let profile = self.profiles.get(key_id).map(|kept| &*kept.profile);
        let known = KnownKey::new(shared.registry.get(key_id), profile);
        let occurrence = Occurrence::of_key(enriched, known);
        let subject = Subject::Key(key_id.clone());
        let alert =
            self.decider.consider(&subject, occurrence, vec![signal], moment, shared.policy);
        shared.outcome.alerts.extend(alert);
    }

    /// Raises an alert when somebody replays a signed request of this key and the API refuses it.
    fn report_refused_replay(
        &mut self,
        attempt: Attempt<'_>,
        moment: Moment<'_>,
        shared: &mut Shared<'_>,
    ) {
        let (enriched, event) = (attempt.enriched(), attempt.event());
        let repetition = self.history.repetition_of_attempt(event);
        let (Some(repetition), Some(kept)) = (repetition, self.profiles.get(&event.key_id)) else {
            return;
        };
        if let Some(signal) = refused_replay(&kept.profile, enriched, repetition) {
            self.consider_attempt(attempt, signal, moment, shared);
        }
    }
}

fn is_news(decider: &Decider, enriched: &EnrichedEvent, signal: &Signal) -> bool {
    let subject = Subject::Key(enriched.event.key_id.clone());
    signal.p_value <= decider.news_below(&subject, signal.detector, signal.ceiling)
}
