//! Folds events into the state of all keys that share a partition.

use std::collections::HashMap;

use crate::alert::Alert;
use crate::config::DetectConfig;
use crate::decide::{Decider, KnownKey, Moment, Occurrence, Policy, Subject};
use crate::decode::Rejection;
use crate::detect::Thresholds;
use crate::detect::calibration::Calibration;
use crate::detect::outlier::Model;
use crate::detect::outlier::drift::Drift;
use crate::detect::priors::Priors;
use crate::detect::unconfirmed::Unconfirmed;
use crate::event::{AccessEvent, EnrichedEvent, EventTime, PartitionId};
use crate::profile::nonce::Again;
use crate::profile::stuffing::SourceAttempt;
use crate::profile::{Dependence, PeerRoutes, Population, Profile, Suspicion};
use crate::proof::{Accepted, Standing};
use crate::registry::{RegisteredKey, Registry};

use super::behaviour::{Bench, WindowJudgement};
use super::checkpoint::{Changes, Kept, Profiles};
use super::inspection::{Findings, Inspection, class_of, note_reports, teach};
use super::lessons::Classroom;
use super::outcome::{BatchOutcome, Disposition};
use super::partition_clock::PartitionClock;
use super::request::RequestView;
use super::request_history::{EarlierUses, ReplayLookup, RequestHistory};
use super::stuffing::{Caller, Judge, StuffingOutcome, StuffingTables};
use super::unread::Unread;

/// The parts that all shards of a process share.
pub struct Shared<'a> {
    pub config: &'a DetectConfig,
    /// Without a model, behaviour is neither counted nor judged.
    pub model: Option<&'a Model>,
    pub model_version: &'a str,
    pub drift: &'a mut Drift,
    pub registry: &'a Registry,
    pub policy: &'a Policy,
    pub outcome: &'a mut BatchOutcome,
    /// First uses as the store has them, where there is a store.
    pub earlier_uses: Option<&'a EarlierUses>,
    /// Number of keys that have a profile, over all shards of this process.
    pub keys: usize,
    /// Number of shards of the whole fleet, over all processes.
    pub shards_of_fleet: usize,
}

impl Shared<'_> {
    fn has_room(&self) -> bool {
        self.keys < self.config.max_keys
    }
}

/// The state of all keys of one shard. It does not depend on other shards, so that it can move to
/// another process with its partition.
pub struct Shard {
    pub(super) profiles: Profiles,
    pub(super) population: Population,
    pub(super) peers: PeerRoutes,
    pub(super) dependence: Dependence,
    pub(super) history: RequestHistory,
    pub(super) clocks: HashMap<PartitionId, PartitionClock>,
    pub(super) decider: Decider,
    pub(super) calibration: Calibration,
    pub(super) unconfirmed: Unconfirmed,
    pub(super) stuffing: StuffingTables,
    pub(super) classroom: Classroom,
    pub(super) unread: Unread,
    pub(super) changes: Changes,
}

impl Shard {
    pub fn new(config: &DetectConfig) -> Self {
        Self {
            profiles: HashMap::default(),
            population: Population::default(),
            peers: PeerRoutes::default(),
            dependence: Dependence::default(),
            history: RequestHistory::new(config),
            clocks: HashMap::new(),
            decider: Decider::default(),
            calibration: Calibration::default(),
            unconfirmed: Unconfirmed::default(),
            stuffing: StuffingTables::default(),
            classroom: Classroom::default(),
            unread: Unread::default(),
            changes: Changes::default(),
        }
    }

    /// A new shard, which begins with the priors of `model`. The shipped model gives none: its
    /// priors are another fleet's habits.
    pub fn starting(config: &DetectConfig, model: Option<&Model>) -> Self {
        let Some(model) = model.filter(|model| !model.is_shipped) else { return Self::new(config) };
        Self {
            population: model.priors.population.restore(),
            calibration: model.priors.calibration.restore(),
            ..Self::new(config)
        }
    }

    pub fn keys(&self) -> usize {
        self.profiles.len()
    }

    /// What this shard has learned from all its keys, as a start for new shards.
    pub fn priors(&self) -> Priors {
        Priors::of(&self.population, &self.calibration)
    }

    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// See [`RequestHistory::replay_lookups`].
    pub fn replay_lookups(&self, events: &[EnrichedEvent]) -> Vec<ReplayLookup> {
        self.history.replay_lookups(events)
    }

    /// Folds one partition's next events, and the records among them that could not be read.
    pub fn process(
        &mut self,
        partition: &PartitionId,
        events: &[EnrichedEvent],
        rejections: &[Rejection],
        now: Option<EventTime>,
        shared: &mut Shared<'_>,
    ) {
        let mut clock = self.clocks.remove(partition).unwrap_or_default();
        let mut unread = rejections.iter().filter(|it| it.key_id.is_some()).peekable();
        for enriched in events {
            while let Some(it) = unread.next_if(|it| it.position < enriched.position) {
                self.judge_unread(&clock, partition, it, now, shared);
            }
            let disposition = self.step(&mut clock, partition, enriched, now, shared);
            shared.outcome.dispositions.push(disposition);
        }
        unread.for_each(|it| self.judge_unread(&clock, partition, it, now, shared));
        self.clocks.insert(partition.clone(), clock);
        self.changes.events += events.len() as u64;
        shared.outcome.forgotten += self.history.take_forgotten();
    }

    fn step(
        &mut self,
        clock: &mut PartitionClock,
        partition: &PartitionId,
        enriched: &EnrichedEvent,
        now: Option<EventTime>,
        shared: &mut Shared<'_>,
    ) -> Disposition {
        if clock.is_redelivery(enriched) {
            return Disposition::Redelivered;
        }
        let watermark = match clock.advance(enriched.event.time, now) {
            Ok(watermark) => watermark,
            Err(reason) => return Disposition::Quarantined(reason),
        };
        let moment = Moment { partition, watermark, now, model_version: shared.model_version };
        let closed = self.decider.close_quiet(moment, shared.policy);
        shared.outcome.alerts.extend(closed);
        if self.history.is_repeated_request(&enriched.event) {
            return Disposition::Redelivered;
        }
        self.unread.count_read(&enriched.event.key_id, watermark);
        let thresholds =
            Thresholds::new(shared.config, self.profiles.len() * shared.shards_of_fleet);
        let standing = Standing::of(enriched, || self.is_known(enriched, shared.registry));
        self.judge_canary(enriched, &standing, moment, shared);
        let is_judged = match standing {
            Standing::Accepted(accepted) => {
                clock.blackouts.note(enriched.event.time);
                let is_admitted = self.admit(accepted, shared);
                if is_admitted {
                    self.judge_use(clock, accepted, moment, thresholds, shared);
                }
                is_admitted
            }
            Standing::Attempt(attempt) => {
                self.judge_attempt(clock, attempt, moment, thresholds, shared)
            }
        };
        let of_source = self.observe_source(clock, enriched, &standing, moment, thresholds, shared);
        shared.outcome.alerts.extend(of_source);
        if is_judged { Disposition::Judged } else { Disposition::Unprofiled }
    }

    /// Whether the key exists: it is registered, or was proven before.
    fn is_known(&self, enriched: &EnrichedEvent, registry: &Registry) -> bool {
        let key_id = &enriched.event.key_id;
        self.profiles.contains_key(key_id) || registry.get(key_id).is_some()
    }

    /// Counts, inspects and learns a proven use of a key that has a profile.
    fn judge_use(
        &mut self,
        clock: &mut PartitionClock,
        accepted: Accepted<'_>,
        moment: Moment<'_>,
        thresholds: Thresholds,
        shared: &mut Shared<'_>,
    ) {
        let (enriched, event) = (accepted.enriched(), accepted.event());
        let stale = self.decider.close_stale_key(&event.key_id, event.time, moment, shared.policy);
        shared.outcome.alerts.extend(stale);
        let Some(kept) = self.profiles.get_mut(&event.key_id) else { return };
        self.changes.note(&event.key_id, kept);
        let profile = &mut *kept.profile;
        let repetition = self.history.repetition(enriched, shared.earlier_uses, &profile.signers);
        let request = RequestView::of(event, profile, &self.peers, &clock.blackouts);
        let tenant = event.tenant.as_deref();
        if let Some(hour) = profile.count(accepted, self.population.shape(tenant)) {
            self.population.learn_hour(tenant, hour);
        }
        let verdict = shared.model.map(|model| {
            let (calibration, decider, fleet) = (&self.calibration, &self.decider, &clock.fleet);
            let (thresholds, drift) = (&thresholds, &mut *shared.drift);
            let unconfirmed = &self.unconfirmed;
            Bench { model, calibration, unconfirmed, thresholds, decider, fleet, drift }
                .end_window(enriched, profile)
        });
        let WindowJudgement { is_unusual, signal: outlier, .. } = verdict.unwrap_or_default();
        let registered = shared.registry.get(&event.key_id);
        let fleet_wide = (&mut self.calibration, &mut self.unconfirmed, &mut self.dependence);
        end_hours(event.time, profile, registered, &thresholds, fleet_wide);
        request.count(event, profile);
        if shared.model.is_some() {
            profile.behaviour.count(&request.observe(enriched));
        }
        clock.fleet.count(profile, event);
        let inspection = Inspection {
            profile,
            registered,
            leak: shared.registry.leak(&event.key_id),
            deeds: shared.registry.deeds(),
            population: &self.population,
            fleet: &clock.fleet,
            peers: &self.peers,
            dependence: &self.dependence,
            request: &request,
            decider: &self.decider,
            thresholds,
            calibration: &self.calibration,
            unconfirmed: &self.unconfirmed,
            validity_window_seconds: shared.config.validity_window_seconds,
            enriched,
        };
        let Findings { mut signals, suspicion, told_habits, scores, session, is_at_once, .. } =
            inspection.run(repetition.as_ref());
        if let Some(outlier) = outlier {
            let place = signals.partition_point(|signal| signal.p_value <= outlier.p_value);
            signals.insert(place, outlier);
        }
        note_reports(&mut self.unconfirmed, &signals, profile, enriched);
        profile.note_judgement(scores, session, suspicion);
        // Decided before the profile learns the request: a request must not say who its key is.
        let subject = || Subject::Key(event.key_id.clone());
        let occurrence = Occurrence::of_key(enriched, KnownKey::new(registered, Some(profile)));
        if is_unusual || suspicion != Suspicion::default() {
            self.decider.keep_open(&subject(), occurrence, moment, shared.policy);
        }
        if !signals.is_empty() {
            let policy = shared.policy;
            let alert = self.decider.consider(&subject(), occurrence, signals, moment, policy);
            // An attempt may have opened the incident: the memories date from the first proof.
            if let Some(alert) = &alert {
                let tenant = alert.tenant.as_deref();
                self.classroom.keep(&alert.id, &event.key_id, tenant, profile);
            }
            shared.outcome.alerts.extend(alert);
        }
        profile.nonces.told.add(told_habits);
        let again = repetition.map(|it| if is_at_once { Again::AtOnce } else { it.again });
        if let Some(arrival) = profile.learn(accepted, again, suspicion) {
            self.population.learn_arrival(arrival);
        }
        request.learn(event, registered, suspicion, profile, &mut self.peers);
    }

    /// Judges the event's source. With several partitions it hands the attempt out instead, because
    /// the judge needs the attempts of all partitions.
    fn observe_source(
        &mut self,
        clock: &mut PartitionClock,
        enriched: &EnrichedEvent,
        standing: &Standing<'_>,
        moment: Moment<'_>,
        thresholds: Thresholds,
        shared: &mut Shared<'_>,
    ) -> Vec<Alert> {
        let key_id = &enriched.event.key_id;
        let is_merged = shared.shards_of_fleet > 1;
        if !is_merged && !self.stuffing.concern(standing, enriched.event.client_ip) {
            return Vec::new();
        }
        let caller = Caller {
            partition: moment.partition,
            enriched,
            standing,
            key_hash: self.history.hash(key_id),
            profile: self.profiles.get(key_id).map(|kept| &*kept.profile),
            registry: shared.registry,
        };
        let Some(attempt) = caller.attempt() else { return Vec::new() };
        let is_settled = caller.is_settled();
        clock.fleet.turn_to_minute_of(attempt.time);
        if let Some(profile) = caller.profile.filter(|_| attempt.is_refused_at_home()) {
            clock.fleet.count_refused_at_home(profile, &attempt);
        }
        let is_excused = clock.fleet.is_refusing_most();
        let mut judge = Judge {
            decider: &mut self.decider,
            policy: shared.policy,
            moment,
            threshold: thresholds.source,
            is_merged,
        };
        let mut outcome = if is_merged {
            StuffingOutcome::default()
        } else {
            self.stuffing.observe(&attempt, is_excused, &mut judge)
        };
        if !is_excused && outcome.is_empty() {
            outcome = self.stuffing.observe_wave(&attempt, is_settled, &mut judge);
        }
        // With several shards, whoever judges the network's attempts of all of them does this.
        if !is_merged && !is_excused && outcome.is_empty() {
            outcome = self.stuffing.observe_slow(&attempt, &mut judge);
        }
        let StuffingOutcome { mut alerts, leaks } = outcome;
        for leak in leaks {
            alerts.extend(judge.leaked_key(leak, &attempt));
        }
        if is_merged {
            self.hand_out(attempt, is_excused, shared);
        }
        alerts
    }

    /// Hands an attempt out to other partitions. They need attempts away from the key's home. For
    /// networks that are refused they also need accepted requests: few keys of a stolen list fit.
    fn hand_out(&mut self, attempt: SourceAttempt, is_excused: bool, shared: &mut Shared<'_>) {
        if is_excused && attempt.is_refused {
            return;
        }
        let is_watched = self.stuffing.watch(&attempt);
        if (attempt.is_away_from_home() || is_watched) && !self.history.was_handed_out(&attempt) {
            shared.outcome.attempts.push(attempt);
        }
    }

    /// The profile that a rotated key passes on. Only the registry says who follows whom, and only a
    /// key in the same partition has its profile here.
    fn inherited(&self, event: &AccessEvent, registry: &Registry) -> Option<Profile> {
        let old = registry.predecessor(&event.key_id)?;
        let kept = self.profiles.get(&old.key_id)?;
        Some(kept.profile.of_successor(event.time))
    }

    /// Whether the key has, or now gets, a profile. Only proven use admits a key: invented key ids
    /// must not cost memory.
    fn admit(&mut self, accepted: Accepted<'_>, shared: &mut Shared<'_>) -> bool {
        let event = accepted.event();
        if self.profiles.contains_key(&event.key_id) {
            return true;
        }
        if !shared.has_room() {
            return false;
        }
        let profile = self.inherited(event, shared.registry);
        let profile = profile.unwrap_or_else(|| Profile::new(event.time));
        self.profiles.insert(event.key_id.clone(), Kept::new(profile));
        self.population.admit(event.tenant.as_deref(), &accepted.enriched().origin);
        shared.keys += 1;
        true
    }
}

/// Teaches the fleet the key's last hour of scores and its last session, if `time` is beyond them.
fn end_hours(
    time: EventTime,
    profile: &mut Profile,
    registered: Option<&RegisteredKey>,
    thresholds: &Thresholds,
    (calibration, unconfirmed, dependence): (&mut Calibration, &mut Unconfirmed, &mut Dependence),
) {
    if let Some(scores) = profile.scores.end_before(time) {
        calibration.record(scores, thresholds);
        unconfirmed.add_hour(class_of(profile), time);
    }
    if let Some(session) = profile.end_session_before(time) {
        teach(dependence, &session, profile, KnownKey::new(registered, Some(profile)).tenant());
    }
}
