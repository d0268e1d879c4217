//! The synchronous fold over a log: `(state, events) -> (state, alerts)`.
//!
//! No clock, no I/O: the same events give the same alerts however they are cut into
//! batches, live, in a backtest and in tests.

mod fleet;
mod inspection;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use crate::alert::Alert;
use crate::config::{DetectConfig, PolicyConfig};
use crate::decide::{Decider, Moment};
use crate::detect::Thresholds;
use crate::detect::replay::{self, FirstUse, Repetition};
use crate::event::{EnrichedEvent, EventTime, KeyId, PartitionId, RecordPosition};
use crate::profile::{Population, Profile, Recent, Suspicion};
use crate::registry::Registry;

use self::fleet::Fleet;
use self::inspection::Inspection;

/// How long requests and nonces are remembered exactly, in seconds of event time.
const MEMORY_SECONDS: f64 = 3_600.0;
/// ... and at most this many of each.
const MEMORY_ENTRIES: usize = 2_000_000;

/// One event moves the watermark by at most this much, so that a single wrong clock
/// cannot push it away.
const WATERMARK_STEP_SECONDS: f64 = 3_600.0;
/// An event further than this from the watermark is an outlier ...
const OUTLIER_SECONDS: f64 = 7.0 * 86_400.0;
/// ... until so many in a row agree that the log has a gap.
const AGREEING_OUTLIERS: u32 = 3;

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

/// Where a partition's log has come to.
#[derive(Clone, Copy, Debug)]
struct Progress {
    position: RecordPosition,
    time: EventTime,
}

/// All state between events.
pub struct Engine {
    config: DetectConfig,
    profiles: HashMap<KeyId, Profile, foldhash::fast::RandomState>,
    registry: Registry,
    population: Population,
    fleet: Fleet,
    requests: Recent<()>,
    /// First uses of nonces and signatures.
    used_once: Recent<FirstUse>,
    hasher: foldhash::quality::FixedState,
    progress: HashMap<PartitionId, Progress>,
    watermark: Option<EventTime>,
    outliers_in_a_row: u32,
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
            fleet: Fleet::default(),
            requests: Recent::new(MEMORY_SECONDS, MEMORY_ENTRIES),
            used_once: Recent::new(MEMORY_SECONDS, MEMORY_ENTRIES),
            hasher: foldhash::quality::FixedState::default(),
            progress: HashMap::new(),
            watermark: None,
            outliers_in_a_row: 0,
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
        for enriched in events {
            self.step(enriched, moment, &mut alerts);
        }
        alerts
    }

    fn step(&mut self, enriched: &EnrichedEvent, moment: Moment<'_>, alerts: &mut Vec<Alert>) {
        self.counters.events += 1;
        if self.is_redelivery(enriched, moment.partition) {
            self.counters.redelivered += 1;
            return;
        }
        let Some(watermark) = self.advance_watermark(enriched.event.time) else {
            self.counters.set_aside += 1;
            return;
        };
        alerts.extend(self.decider.close_quiet(watermark, moment));
        if self.is_repeated_request(enriched, watermark) {
            self.counters.redelivered += 1;
            return;
        }
        if !self.admit(enriched) {
            self.counters.unprofiled += 1;
            return;
        }
        let repetition = self.repetition(enriched, watermark);
        let thresholds = Thresholds::new(&self.config, self.profiles.len());
        let Some(profile) = self.profiles.get_mut(&enriched.event.key_id) else { return };
        profile.count(&enriched.event);
        self.fleet.count(profile, &enriched.event);
        let inspection = Inspection {
            profile,
            registered: self.registry.get(&enriched.event.key_id),
            population: &self.population,
            fleet: &self.fleet,
            decider: &self.decider,
            thresholds,
            validity_window_seconds: self.config.validity_window_seconds,
            enriched,
        };
        let (signals, suspicion) = inspection.run(repetition.as_ref());
        if suspicion != Suspicion::default() {
            self.decider.keep_open(&enriched.event.key_id, enriched);
        }
        profile.learn(enriched, repetition.is_some(), suspicion);
        alerts.extend(self.decider.consider(enriched, signals, moment));
    }

    /// A record that was handled before: at or before the last position of its partition,
    /// and no newer. (Offsets that begin again come with newer times.)
    fn is_redelivery(&mut self, enriched: &EnrichedEvent, partition: &PartitionId) -> bool {
        let (time, position) = (enriched.event.time, enriched.position);
        let Some(last) = self.progress.get_mut(partition) else {
            self.progress.insert(partition.clone(), Progress { position, time });
            return false;
        };
        if position <= last.position && time <= last.time {
            return true;
        }
        last.position = position;
        last.time = last.time.max(time);
        false
    }

    /// The same request in another record: same id, same time. A replayed request has an
    /// id and a time of its own.
    fn is_repeated_request(&mut self, enriched: &EnrichedEvent, watermark: EventTime) -> bool {
        let event = &enriched.event;
        let Some(request_id) = &event.request_id else { return false };
        let identity = self.hash((&event.key_id, request_id, event.time));
        self.requests.first_or_insert(identity, (), watermark).is_some()
    }

    /// The earlier request with this event's nonce, or without one its signature, if there was
    /// one and this is no retry of it.
    fn repetition(&mut self, enriched: &EnrichedEvent, watermark: EventTime) -> Option<Repetition> {
        let event = &enriched.event;
        let fingerprint = event.nonce.map(|nonce| nonce.fingerprint).or(event.signature)?;
        let identity = self.hash((&event.key_id, fingerprint));
        let this = FirstUse {
            time: event.time,
            ip: event.client_ip,
            status: event.status,
            position: enriched.position,
        };
        let first = self.used_once.first_or_insert(identity, this, watermark)?;
        (!replay::is_retry(event, &first)).then_some(Repetition { first, fingerprint })
    }

    fn hash(&self, value: impl Hash) -> u64 {
        self.hasher.hash_one(value)
    }

    /// Moves the watermark towards `time` and returns it; `None` for an event that stands
    /// alone in the future and must not be learned.
    fn advance_watermark(&mut self, time: EventTime) -> Option<EventTime> {
        let watermark = *self.watermark.get_or_insert(time);
        let ahead = time.seconds_since(watermark);
        if ahead.abs() > OUTLIER_SECONDS {
            self.outliers_in_a_row += 1;
            if self.outliers_in_a_row >= AGREEING_OUTLIERS {
                self.outliers_in_a_row = 0;
                self.watermark = Some(time);
                return self.watermark;
            }
            return (ahead < 0.0).then_some(watermark);
        }
        self.outliers_in_a_row = 0;
        if ahead > 0.0 {
            self.watermark = Some(watermark.plus_seconds(ahead.min(WATERMARK_STEP_SECONDS)));
        }
        self.watermark
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
