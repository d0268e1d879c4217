//! The synchronous fold over a log: `(state, events) -> (state, alerts)`.
//!
//! No clock, no I/O: the same events give the same alerts however they are cut into
//! batches, live, in a backtest and in tests.

mod fleet;
mod inspection;
mod log;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use crate::alert::Alert;
use crate::config::{DetectConfig, PolicyConfig};
use crate::decide::{Decider, Moment};
use crate::detect::Thresholds;
use crate::detect::replay::{self, FirstUse, Repetition};
use crate::event::{EnrichedEvent, EventTime, KeyId, PartitionId};
use crate::profile::{Population, Profile, Recent, Suspicion};
use crate::registry::Registry;

use self::inspection::Inspection;
use self::log::Log;

/// Requests, and nonces and signatures, that are remembered exactly: at least the last so many.
const MEMORY_ENTRIES: usize = 2_000_000;

/// What happened to the events so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub events: u64,
    /// Came a second time by Kafka's at-least-once delivery; counted nowhere else.
    pub redelivered: u64,
    /// Further ahead of the log than a week, one at a time: a wrong clock. Not learned.
    pub set_aside: u64,
    /// Of keys that are not admitted: unknown and never answered, or beyond `max_keys`.
    pub unprofiled: u64,
}

/// All state between events.
pub struct Engine {
    config: DetectConfig,
    profiles: HashMap<KeyId, Profile, foldhash::fast::RandomState>,
    registry: Registry,
    population: Population,
    requests: Recent<()>,
    /// First uses of nonces and signatures.
    used_once: Recent<FirstUse>,
    hasher: foldhash::quality::FixedState,
    logs: HashMap<PartitionId, Log>,
    decider: Decider,
    counters: Counters,
}

impl Engine {
    pub fn new(detect: &DetectConfig, policy: &PolicyConfig, registry: Registry) -> Self {
        Self {
            config: detect.clone(),
            profiles: HashMap::default(),
            registry,
            population: Population::default(),
            requests: Recent::new(MEMORY_ENTRIES),
            used_once: Recent::new(MEMORY_ENTRIES),
            hasher: foldhash::quality::FixedState::default(),
            logs: HashMap::new(),
            decider: Decider::new(policy),
            counters: Counters::default(),
        }
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    pub fn keys(&self) -> usize {
        self.profiles.len()
    }

    /// Folds one partition's next events. `now` is the wall clock, for `detected_at` only;
    /// without it (in a backtest) alerts are detected at their event's time.
    pub fn process(
        &mut self,
        partition: &PartitionId,
        events: &[EnrichedEvent],
        now: Option<EventTime>,
    ) -> Vec<Alert> {
        let moment = Moment { partition, now };
        let mut alerts = Vec::new();
        let mut log = self.logs.remove(partition).unwrap_or_default();
        for enriched in events {
            self.step(&mut log, enriched, moment, &mut alerts);
        }
        self.logs.insert(partition.clone(), log);
        alerts
    }

    fn step(
        &mut self,
        log: &mut Log,
        enriched: &EnrichedEvent,
        moment: Moment<'_>,
        alerts: &mut Vec<Alert>,
    ) {
        self.counters.events += 1;
        if log.is_redelivery(enriched) {
            self.counters.redelivered += 1;
            return;
        }
        let Some(watermark) = log.advance(enriched.event.time) else {
            self.counters.set_aside += 1;
            return;
        };
        alerts.extend(self.decider.close_quiet(watermark, moment));
        if self.is_repeated_request(enriched) {
            self.counters.redelivered += 1;
            return;
        }
        if !self.admit(enriched) {
            self.counters.unprofiled += 1;
            return;
        }
        let event = &enriched.event;
        alerts.extend(self.decider.close_stale(&event.key_id, event.time, moment));
        let repetition = self.repetition(enriched);
        let thresholds = Thresholds::new(&self.config, self.profiles.len());
        let Some(profile) = self.profiles.get_mut(&enriched.event.key_id) else { return };
        profile.count(&enriched.event);
        log.fleet.count(profile, &enriched.event);
        let inspection = Inspection {
            profile,
            registered: self.registry.get(&enriched.event.key_id),
            population: &self.population,
            fleet: &log.fleet,
            decider: &self.decider,
            thresholds,
            validity_window_seconds: self.config.validity_window_seconds,
            enriched,
        };
        let (signals, suspicion) = inspection.run(repetition.as_ref());
        if suspicion != Suspicion::default() {
            self.decider.keep_open(enriched, moment.partition);
        }
        profile.learn(enriched, repetition.is_some(), suspicion);
        alerts.extend(self.decider.consider(enriched, signals, moment));
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
    fn admit(&mut self, enriched: &EnrichedEvent) -> bool {
        let event = &enriched.event;
        if self.profiles.contains_key(&event.key_id) {
            return true;
        }
        if matches!(event.status, 401 | 403) || self.profiles.len() >= self.config.max_keys {
            return false;
        }
        self.profiles.insert(event.key_id.clone(), Profile::new(event.time));
        self.population.countries.add(&enriched.origin.country);
        self.population.networks.add(&enriched.origin.asn);
        true
    }
}
