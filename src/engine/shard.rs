//! The state of all keys that share a partition, and the fold over their events.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};

use serde::Serialize;

use crate::alert::{Alert, AlertType};
use crate::config::DetectConfig;
use crate::decide::{Decider, Moment, Policy};
use crate::detect::Thresholds;
use crate::detect::replay::{self, FirstUse, Repetition};
use crate::event::{EnrichedEvent, EventTime, PartitionId};
use crate::profile::{Population, Profile, Recent, Suspicion};
use crate::registry::Registry;

use super::Counters;
use super::inspection::Inspection;
use super::log::Log;
use super::snapshot::{
    Changes, Chunk, ChunkKind, Cut, Entries, Extent, Kept, Profiles, SnapshotError,
};

/// Requests, and nonces and signatures, that are remembered exactly: at least the last so many.
pub(super) const MEMORY_ENTRIES: usize = 2_000_000;

/// Revocations count in the budget for this long.
const HOUR_SECONDS: f64 = 3_600.0;

/// What all shards of a process share.
pub struct Shared<'a> {
    pub config: &'a DetectConfig,
    pub registry: &'a Registry,
    pub policy: &'a mut Policy,
    pub counters: &'a mut Counters,
    /// Keys that have a profile, over all shards.
    pub keys: usize,
    /// Shards like this one that the whole fleet has, over all processes.
    pub shards_of_fleet: usize,
}

impl Shared<'_> {
    fn has_room(&self) -> bool {
        self.keys < self.config.max_keys
    }
}

/// Everything remembered of the keys of one shard. Nothing in it depends on other shards, so
/// that it can move to another process with its partition.
pub struct Shard {
    pub(super) profiles: Profiles,
    pub(super) population: Population,
    pub(super) requests: Recent<()>,
    /// First uses of nonces and signatures.
    pub(super) used_once: Recent<FirstUse>,
    pub(super) hasher: foldhash::quality::FixedState,
    pub(super) logs: HashMap<PartitionId, Log>,
    pub(super) decider: Decider,
    /// Event times of the revocations requested for these keys in the last hour.
    pub(super) revocations: VecDeque<EventTime>,
    pub(super) changes: Changes,
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
            revocations: VecDeque::new(),
            changes: Changes::default(),
        }
    }
}

impl Shard {
    pub fn keys(&self) -> usize {
        self.profiles.len()
    }

    /// Events since the last cut.
    pub fn unsaved_events(&self) -> u64 {
        self.changes.events
    }

    /// The last offset of `partition` that this state includes.
    pub fn position(&self, partition: &PartitionId) -> Option<i64> {
        self.logs.get(partition)?.position()
    }

    /// Begins a round, and gives up one that is in progress: the state as it is now, with the
    /// profiles to follow by [`Self::take_slice`].
    pub fn cut(&mut self, extent: Extent) -> Result<Cut, SnapshotError> {
        if extent == Extent::All {
            self.requests.save_all_again();
            self.used_once.save_all_again();
        }
        let mut chunks = vec![self.rest()?];
        chunks.extend(unsaved(&mut self.requests, ChunkKind::Requests)?);
        chunks.extend(unsaved(&mut self.used_once, ChunkKind::UsedOnce)?);
        let mut positions: Vec<_> = self
            .logs
            .iter()
            .filter_map(|(partition, log)| Some((partition.clone(), log.position()?)))
            .collect();
        positions.sort_unstable();
        Ok(Cut { positions, profiles: self.changes.cut(&mut self.profiles, extent), chunks })
    }

    fn rest(&mut self) -> Result<Chunk, SnapshotError> {
        let newest = self.revocations.iter().max().copied();
        self.revocations
            .retain(|time| newest.is_some_and(|newest| newest.seconds_since(*time) < HOUR_SECONDS));
        let mut rest = Entries::default();
        rest.push(&(
            &self.logs,
            &self.population,
            &self.decider,
            &self.revocations,
            self.requests.lengths(),
            self.used_once.lengths(),
        ))?;
        Ok(rest.into_chunk(ChunkKind::Rest))
    }

    /// About `count` more profiles of the round in progress; `None` when it has all.
    pub fn take_slice(&mut self, count: usize) -> Result<Option<Chunk>, SnapshotError> {
        self.changes.take_slice(&mut self.profiles, count)
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
        self.changes.events += events.len() as u64;
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
        let Some(watermark) = log.advance(enriched.event.time) else {
            shared.counters.set_aside += 1;
            return;
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
        let thresholds =
            Thresholds::new(shared.config, self.profiles.len() * shared.shards_of_fleet);
        let Some(kept) = self.profiles.get_mut(&enriched.event.key_id) else { return };
        self.changes.note(&enriched.event.key_id, kept);
        let profile = &mut *kept.profile;
        let tenant = event.tenant.as_deref();
        if let Some(hour) = profile.count(event, self.population.shape(tenant)) {
            self.population.learn_hour(tenant, hour);
        }
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
        let news = self.decider.consider(enriched, signals, moment, shared.policy);
        if news.iter().any(|alert| alert.alert_type == AlertType::RevocationRequested) {
            self.revocations.push_back(event.time);
        }
        alerts.extend(news);
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
        self.profiles.insert(event.key_id.clone(), Kept::new(Profile::new(event.time)));
        self.population.admit(event.tenant.as_deref(), &enriched.origin);
        shared.keys += 1;
        true
    }
}

/// What was remembered since the last cut.
fn unsaved<V: Copy + Serialize>(
    memory: &mut Recent<V>,
    kind: ChunkKind,
) -> Result<Option<Chunk>, SnapshotError> {
    let mut entries = Entries::default();
    memory.take_unsaved().try_for_each(|entry| entries.push(&entry))?;
    Ok((!entries.is_empty()).then(|| entries.into_chunk(kind)))
}
