//! The state of all keys that share a partition, and the fold over their events.

use std::collections::{HashMap, VecDeque};

use crate::alert::{Alert, AlertType};
use crate::config::DetectConfig;
use crate::decide::{Decider, Moment, Occurrence, Policy, Subject};
use crate::detect::Thresholds;
use crate::detect::calibration::Calibration;
use crate::detect::outlier::Model;
use crate::detect::outlier::drift::Drift;
use crate::detect::priors::Priors;
use crate::event::{EnrichedEvent, EventTime, PartitionId, RecordPosition};
use crate::profile::source::Attempt;
use crate::profile::{PeerRoutes, Population, Profile, Suspicion};
use crate::registry::Registry;

use super::Counters;
use super::attempt::Caller;
use super::behaviour::{Bench, Verdict};
use super::conduct::Conduct;
use super::inspection::{Findings, Inspection};
use super::log::{Log, Quarantined};
use super::memory::{Doubt, EarlierUses, Memory};
use super::snapshot::{Changes, Kept, Profiles};
use super::sources::{Judge, Sources, Told};

/// What all shards of a process share.
pub struct Shared<'a> {
    pub config: &'a DetectConfig,
    /// Without one, behaviour is neither counted nor judged.
    pub model: Option<&'a Model>,
    pub model_version: &'a str,
    pub drift: &'a mut Drift,
    pub registry: &'a Registry,
    pub policy: &'a mut Policy,
    pub counters: &'a mut Counters,
    /// Records of this batch that had come before.
    pub redelivered: &'a mut Vec<RecordPosition>,
    pub quarantined: &'a mut Vec<Quarantined>,
    /// What other partitions should know of this batch.
    pub attempts: &'a mut Vec<Attempt>,
    /// As the store has them, where there is one.
    pub earlier_uses: Option<&'a EarlierUses>,
    /// Keys that have a profile, over all shards.
    pub keys: usize,
    /// Shards like this one that the whole fleet has, over all processes.
    pub shards_of_fleet: usize,
}

impl Shared<'_> {
    fn count_redelivery(&mut self, enriched: &EnrichedEvent) {
        self.counters.redelivered += 1;
        self.redelivered.push(enriched.position);
    }

    fn has_room(&self) -> bool {
        self.keys < self.config.max_keys
    }
}

/// Everything remembered of the keys of one shard. Nothing in it depends on other shards, so
/// that it can move to another process with its partition.
pub struct Shard {
    pub(super) profiles: Profiles,
    pub(super) population: Population,
    pub(super) peers: PeerRoutes,
    pub(super) memory: Memory,
    pub(super) logs: HashMap<PartitionId, Log>,
    pub(super) decider: Decider,
    pub(super) calibration: Calibration,
    pub(super) sources: Sources,
    /// Event times of the revocations requested for these keys in the last hour.
    pub(super) revocations: VecDeque<EventTime>,
    pub(super) changes: Changes,
}

impl Shard {
    pub fn new(config: &DetectConfig) -> Self {
        Self {
            profiles: HashMap::default(),
            population: Population::default(),
            peers: PeerRoutes::default(),
            memory: Memory::new(config),
            logs: HashMap::new(),
            decider: Decider::default(),
            calibration: Calibration::default(),
            sources: Sources::default(),
            revocations: VecDeque::new(),
            changes: Changes::default(),
        }
    }

    /// A shard without a past: it begins with what `model` knows of its fleet. Another fleet's
    /// habits, which are those of the model that the program carries, are none to begin with.
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

    /// What all keys share, for a shard that is to begin with it.
    pub fn priors(&self) -> Priors {
        Priors::of(&self.population, &self.calibration)
    }

    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// See [`Memory::doubts`].
    pub fn doubts(&self, events: &[EnrichedEvent]) -> Vec<Doubt> {
        self.memory.doubts(events)
    }

    /// Folds one partition's next events.
    pub fn process(
        &mut self,
        partition: &PartitionId,
        events: &[EnrichedEvent],
        now: Option<EventTime>,
        shared: &mut Shared<'_>,
    ) -> Vec<Alert> {
        let mut alerts = Vec::new();
        let mut log = self.logs.remove(partition).unwrap_or_default();
        for enriched in events {
            self.step(&mut log, partition, enriched, now, shared, &mut alerts);
        }
        self.logs.insert(partition.clone(), log);
        self.changes.events += events.len() as u64;
        shared.counters.forgotten += self.memory.take_forgotten();
        self.note_revocations(&alerts);
        alerts
    }

    fn step(
        &mut self,
        log: &mut Log,
        partition: &PartitionId,
        enriched: &EnrichedEvent,
        now: Option<EventTime>,
        shared: &mut Shared<'_>,
        alerts: &mut Vec<Alert>,
    ) {
        shared.counters.events += 1;
        if log.is_redelivery(enriched) {
            shared.count_redelivery(enriched);
            return;
        }
        let watermark = match log.advance(enriched.event.time, now) {
            Ok(watermark) => watermark,
            Err(reason) => {
                shared.counters.set_aside += 1;
                shared.quarantined.push(Quarantined { position: enriched.position, reason });
                return;
            }
        };
        let moment = Moment { partition, watermark, now, model_version: shared.model_version };
        log.blackouts.note(enriched.event.time);
        alerts.extend(self.decider.close_quiet(moment, shared.policy));
        if self.memory.is_repeated_request(&enriched.event) {
            shared.count_redelivery(enriched);
            return;
        }
        let thresholds =
            Thresholds::new(shared.config, self.profiles.len() * shared.shards_of_fleet);
        if self.admit(enriched, shared) {
            self.judge_key(log, enriched, moment, thresholds, shared, alerts);
        } else {
            shared.counters.unprofiled += 1;
        }
        alerts.extend(self.observe_source(log, enriched, moment, thresholds, shared));
    }

    /// Counts, inspects and learns an event of a key that has a profile.
    fn judge_key(
        &mut self,
        log: &mut Log,
        enriched: &EnrichedEvent,
        moment: Moment<'_>,
        thresholds: Thresholds,
        shared: &mut Shared<'_>,
        alerts: &mut Vec<Alert>,
    ) {
        let event = &enriched.event;
        let stale = self.decider.close_stale_key(&event.key_id, event.time, moment, shared.policy);
        alerts.extend(stale);
        let repetition = self.memory.repetition(enriched, shared.earlier_uses);
        let Some(kept) = self.profiles.get_mut(&event.key_id) else { return };
        self.changes.note(&event.key_id, kept);
        let profile = &mut *kept.profile;
        let conduct = Conduct::of(event, profile, &log.blackouts);
        let tenant = event.tenant.as_deref();
        if let Some(hour) = profile.count(event, self.population.shape(tenant)) {
            self.population.learn_hour(tenant, hour);
        }
        let verdict = shared.model.map(|model| {
            let (calibration, decider, fleet) = (&self.calibration, &self.decider, &log.fleet);
            let drift = &mut *shared.drift;
            Bench { model, calibration, thresholds: &thresholds, decider, fleet, drift }
                .end_window(event, profile)
        });
        let Verdict { is_unusual, signal: outlier } = verdict.unwrap_or_default();
        if let Some(scores) = profile.scores.end_before(event.time) {
            self.calibration.record(scores, &thresholds);
        }
        conduct.count(event, profile);
        if shared.model.is_some() {
            profile.behaviour.count(&conduct.observe(enriched));
        }
        log.fleet.count(profile, event);
        let registered = shared.registry.get(&event.key_id);
        let inspection = Inspection {
            profile,
            registered,
            population: &self.population,
            fleet: &log.fleet,
            peers: &self.peers,
            conduct: &conduct,
            decider: &self.decider,
            thresholds,
            calibration: &self.calibration,
            validity_window_seconds: shared.config.validity_window_seconds,
            enriched,
        };
        let Findings { mut signals, suspicion, scores } = inspection.run(repetition.as_ref());
        if let Some(outlier) = outlier {
            let place = signals.partition_point(|signal| signal.p_value <= outlier.p_value);
            signals.insert(place, outlier);
        }
        profile.scores.add(scores);
        if suspicion != Suspicion::default() {
            profile.scores.exclude_current();
            profile.behaviour.suspect_current();
        }
        if is_unusual || suspicion != Suspicion::default() {
            let subject = Subject::Key(event.key_id.clone());
            let occurrence = Occurrence::of_key(enriched);
            self.decider.keep_open(&subject, occurrence, moment, shared.policy);
        }
        profile.learn(enriched, repetition.is_some(), suspicion);
        conduct.learn(event, registered, suspicion, profile, &mut self.peers);
        if !signals.is_empty() {
            let subject = Subject::Key(event.key_id.clone());
            let occurrence = Occurrence::of_key(enriched);
            let told = self.decider.consider(&subject, occurrence, signals, moment, shared.policy);
            alerts.extend(told);
        }
    }

    /// Judges the event's source, or leaves that to whoever knows what other partitions saw.
    fn observe_source(
        &mut self,
        log: &mut Log,
        enriched: &EnrichedEvent,
        moment: Moment<'_>,
        thresholds: Thresholds,
        shared: &mut Shared<'_>,
    ) -> Vec<Alert> {
        let key_id = &enriched.event.key_id;
        let is_merged = shared.shards_of_fleet > 1;
        if !is_merged && !self.sources.concern(&enriched.event) {
            return Vec::new();
        }
        let caller = Caller {
            partition: moment.partition,
            enriched,
            key_hash: self.memory.hash(key_id),
            profile: self.profiles.get(key_id).map(|kept| &*kept.profile),
            registry: shared.registry,
        };
        let Some(attempt) = caller.attempt() else { return Vec::new() };
        if let Some(profile) = caller.profile.filter(|_| attempt.is_refused_at_home()) {
            log.fleet.count_refused_at_home(profile);
        }
        let is_excused = log.fleet.is_refusing_most();
        if is_merged {
            self.hand_out(attempt, is_excused, shared);
            return Vec::new();
        }
        let mut judge = Judge {
            decider: &mut self.decider,
            policy: shared.policy,
            moment,
            threshold: thresholds.source,
            is_merged: false,
        };
        let Told { mut alerts, leaks } = self.sources.observe(&attempt, is_excused, &mut judge);
        for leak in leaks {
            alerts.extend(judge.leaked_key(leak, &attempt));
        }
        alerts
    }

    /// Other partitions need to know what happens away from home, and of networks that are
    /// refused also what they are granted: a list has few keys that fit.
    fn hand_out(&mut self, attempt: Attempt, is_excused: bool, shared: &mut Shared<'_>) {
        if is_excused && attempt.is_refused {
            return;
        }
        let is_watched = self.sources.watch(&attempt);
        if (attempt.is_away_from_home() || is_watched) && !self.memory.was_handed_out(&attempt) {
            shared.attempts.push(attempt);
        }
    }

    /// Revocations that were asked for count in the budget wherever the shard goes.
    pub(super) fn note_revocations(&mut self, alerts: &[Alert]) {
        let requested = |alert: &&Alert| alert.alert_type == AlertType::RevocationRequested;
        let requested = alerts.iter().filter(requested);
        self.revocations.extend(requested.map(|alert| alert.detected_event_time));
    }

    /// Whether the event's key has, or now gets, a profile. Keys that the API itself
    /// refuses get none: inventing key ids must not cost memory.
    fn admit(&mut self, enriched: &EnrichedEvent, shared: &mut Shared<'_>) -> bool {
        let event = &enriched.event;
        if self.profiles.contains_key(&event.key_id) {
            return true;
        }
        if matches!(event.status, 401 | 403) || !shared.has_room() {
            return false;
        }
        self.profiles.insert(event.key_id.clone(), Kept::new(Profile::new(event.time)));
        self.population.admit(event.tenant.as_deref(), &enriched.origin);
        shared.keys += 1;
        true
    }
}
