//! The state of all keys that share a partition, and the fold over their events.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use crate::alert::Alert;
use crate::config::DetectConfig;
use crate::decide::{Decider, Moment, Policy};
use crate::detect::Thresholds;
use crate::detect::replay::{self, FirstUse, Repetition};
use crate::event::{EnrichedEvent, EventTime, KeyId, PartitionId};
use crate::profile::{Population, Profile, Recent, Suspicion};
use crate::registry::Registry;

use super::Counters;
use super::inspection::Inspection;
use super::log::{Log, Quarantined};

/// Requests, and nonces and signatures, that are remembered exactly: at least the last so many.
const MEMORY_ENTRIES: usize = 2_000_000;

/// What all shards of a process share.
pub struct Shared<'a> {
    pub config: &'a DetectConfig,
    pub registry: &'a Registry,
    pub policy: &'a mut Policy,
    pub counters: &'a mut Counters,
    pub quarantined: &'a mut Vec<Quarantined>,
    /// Keys that have a profile, over all shards.
    pub keys: usize,
}

impl Shared<'_> {
    fn has_room(&self) -> bool {
        self.keys < self.config.max_keys
    }
}

/// Everything remembered of the keys of one shard. Nothing in it depends on other shards, so
/// that it can move to another process with its partition.
pub struct Shard {
    profiles: HashMap<KeyId, Profile, foldhash::fast::RandomState>,
    population: Population,
    requests: Recent<()>,
    /// First uses of nonces and signatures.
    used_once: Recent<FirstUse>,
    hasher: foldhash::quality::FixedState,
    logs: HashMap<PartitionId, Log>,
    decider: Decider,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            profiles: HashMap::default(),
            population: Population::default(),
            requests: Recent::new(MEMORY_ENTRIES),
            used_once: Recent::new(MEMORY_ENTRIES),
            hasher: foldhash::quality::FixedState::default(),
            logs: HashMap::new(),
            decider: Decider::default(),
        }
    }
}

impl Shard {
    pub fn keys(&self) -> usize {
        self.profiles.len()
    }

    /// Folds one partition's next events.
    pub fn process(
        &mut self,
        partition: &PartitionId,
        events: &[EnrichedEvent],
        now: Option<EventTime>,
        shared: &mut Shared<'_>,
    ) -> Vec<Alert> {
        let moment = Moment { partition, now };
        let mut alerts = Vec::new();
        let mut log = self.logs.remove(partition).unwrap_or_default();
        for enriched in events {
            self.step(&mut log, enriched, moment, shared, &mut alerts);
        }
        self.logs.insert(partition.clone(), log);
        alerts
    }

    fn step(
        &mut self,
        log: &mut Log,
        enriched: &EnrichedEvent,
        moment: Moment<'_>,
        shared: &mut Shared<'_>,
        alerts: &mut Vec<Alert>,
    ) {
        shared.counters.events += 1;
        if log.is_redelivery(enriched) {
            shared.counters.redelivered += 1;
            return;
        }
        let watermark = match log.advance(enriched.event.time, moment.now) {
            Ok(watermark) => watermark,
            Err(reason) => {
                shared.counters.set_aside += 1;
                shared.quarantined.push(Quarantined { position: enriched.position, reason });
                return;
            }
        };
        alerts.extend(self.decider.close_quiet(watermark, moment, shared.policy));
        if self.is_repeated_request(enriched) {
            shared.counters.redelivered += 1;
            return;
        }
        if !self.admit(enriched, shared) {
            shared.counters.unprofiled += 1;
            return;
        }
        let event = &enriched.event;
        alerts.extend(self.decider.close_stale(&event.key_id, event.time, moment, shared.policy));
        let repetition = self.repetition(enriched);
        let thresholds = Thresholds::new(shared.config, self.profiles.len());
        let Some(profile) = self.profiles.get_mut(&enriched.event.key_id) else { return };
        profile.count(&enriched.event);
        log.fleet.count(profile, &enriched.event);
        let inspection = Inspection {
            profile,
            registered: shared.registry.get(&enriched.event.key_id),
            population: &self.population,
            fleet: &log.fleet,
            decider: &self.decider,
            thresholds,
            validity_window_seconds: shared.config.validity_window_seconds,
            enriched,
        };
        let (signals, suspicion) = inspection.run(repetition.as_ref());
        if suspicion != Suspicion::default() {
            self.decider.keep_open(enriched, moment.partition, shared.policy);
        }
        profile.learn(enriched, repetition.is_some(), suspicion);
        alerts.extend(self.decider.consider(enriched, signals, moment, shared.policy));
    }

    /// The same request in another record: same id, same time. A replayed request has an
    /// id and a time of its own.
    fn is_repeated_request(&mut self, enriched: &EnrichedEvent) -> bool {
        let event = &enriched.event;
        let Some(request_id) = &event.request_id else { return false };
        let identity = self.hash((&event.key_id, request_id, event.time));
        self.requests.first_or_insert(identity, ()).is_some()
    }

    /// The earlier request with this event's nonce, or without one its signature, if there was
    /// one and this is no retry of it.
    fn repetition(&mut self, enriched: &EnrichedEvent) -> Option<Repetition> {
        let event = &enriched.event;
        let fingerprint = event.nonce.map(|nonce| nonce.fingerprint).or(event.signature)?;
        let identity = self.hash((&event.key_id, fingerprint));
        let this = FirstUse {
            time: event.time,
            ip: event.client_ip,
            status: event.status,
            position: enriched.position,
        };
        let first = self.used_once.first_or_insert(identity, this)?;
        (!replay::is_retry(event, &first)).then_some(Repetition { first, fingerprint })
    }

    fn hash(&self, value: impl Hash) -> u64 {
        self.hasher.hash_one(value)
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
        self.profiles.insert(event.key_id.clone(), Profile::new(event.time));
        self.population.countries.add(&enriched.origin.country);
        self.population.networks.add(&enriched.origin.asn);
        shared.keys += 1;
        true
    }
}
