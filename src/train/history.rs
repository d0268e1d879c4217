//! Turns the events of all keys into windows.

use std::collections::{BTreeMap, HashMap};

use crate::answer::Answer;
use crate::event::{AccessEvent, EnrichedEvent, EventTime, KeyId};
use crate::profile::Sightings;
use crate::profile::behaviour::{FleetWindow, Observation, window_of};
use crate::profile::recent::request_identity;
use crate::profile::route::route_id;
use crate::proof::Standing;

use super::TrainError;
use super::source::Source;
use super::windows::{KeyWindow, Requests};

/// The largest number of requests in memory; they are summed up into windows beyond it.
const MAX_REQUESTS: usize = 3_000_000;
/// The number of requests remembered to detect redelivered ones.
const REMEMBERED: usize = 3_000_000;
/// The number of windows that stay open, because records may arrive a little late.
const OPEN_WINDOWS: i32 = 2;

/// All windows of a log.
#[derive(Debug, Default)]
pub struct History {
    pub keys: Vec<KeyId>,
    /// Sorted by key and window.
    pub windows: Vec<KeyWindow>,
    /// All keys as one, by the index of the window.
    pub fleet: BTreeMap<i32, FleetWindow>,
    /// Proven uses.
    pub requests: u64,
    /// Requests that name a key and prove nothing.
    pub attempts: u64,
    pub rejections: u64,
    pub first: Option<EventTime>,
    pub last: Option<EventTime>,
}

impl History {
    fn count_in_fleet(&mut self, event: &AccessEvent) {
        let index = window_of(event.time);
        let new = FleetWindow { index, ..FleetWindow::default() };
        let window = self.fleet.entry(index).or_insert(new);
        window.requests += 1;
        window.unavailable += u32::from(event.answer() == Answer::ServerError);
    }

    fn note(&mut self, time: EventTime) {
        self.requests += 1;
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
    }
}

/// Takes requests in the order they came; then gives their windows.
pub struct Collector {
    ids: HashMap<KeyId, (u32, i32)>,
    requests: Requests,
    seen: Sightings,
    hasher: foldhash::quality::FixedState,
    /// Windows before this one are summed up already.
    summarized: i32,
    newest: i32,
    history: History,
}

impl Default for Collector {
    fn default() -> Self {
        Self {
            ids: HashMap::new(),
            requests: Requests::default(),
            seen: Sightings::of_the_last(REMEMBERED),
            hasher: foldhash::quality::FixedState::default(),
            summarized: i32::MIN,
            newest: i32::MIN,
            history: History::default(),
        }
    }
}

impl Collector {
    /// Takes an enriched event as the service would: not twice, and as behaviour only where it
    /// proves use of its key.
    ///
    /// # Errors
    /// Returns an error of polars: out of memory.
    pub fn add(&mut self, enriched: &EnrichedEvent) -> Result<(), TrainError> {
        let event = &enriched.event;
        let identity = request_identity(event, &self.hasher);
        if identity.is_some_and(|identity| self.seen.insert_next(identity)) {
            return Ok(());
        }
        let is_known = self.ids.contains_key(&event.key_id);
        let standing = Standing::of(enriched, || is_known);
        if is_known || standing.is_accepted() {
            self.history.count_in_fleet(event);
        }
        if !standing.is_accepted() {
            self.history.attempts += 1;
            return Ok(());
        }
        let route = route_id(&event.method, &event.path);
        self.observe(&event.key_id, &Observation::of(event, &enriched.origin, route))
    }

    fn observe(&mut self, key_id: &KeyId, observation: &Observation) -> Result<(), TrainError> {
        let window = window_of(observation.time);
        let key = match self.ids.get_mut(key_id) {
            // Like the service, this leaves out a request that arrives after its window has closed.
            Some((_, latest)) if window < *latest => return Ok(()),
            Some((key, latest)) => {
                *latest = window;
                *key
            }
            None => {
                let key = self.history.keys.len() as u32;
                self.ids.insert(key_id.clone(), (key, window));
                self.history.keys.push(key_id.clone());
                key
            }
        };
        if window < self.summarized {
            return Ok(());
        }
        self.history.note(observation.time);
        self.newest = self.newest.max(window);
        self.requests.push(key, observation);
        if self.requests.len() >= MAX_REQUESTS {
            self.summarize(self.newest - OPEN_WINDOWS)?;
        }
        Ok(())
    }

    fn summarize(&mut self, before: i32) -> Result<(), TrainError> {
        if before <= self.summarized {
            // A single window exceeds the intended memory, so the memory grows.
            return Ok(());
        }
        let (windows, rest) = std::mem::take(&mut self.requests).summarize(before)?;
        self.history.windows.extend(windows);
        self.requests = rest;
        self.summarized = before;
        Ok(())
    }

    /// # Errors
    /// The errors of [`Self::add`].
    pub fn finish(mut self) -> Result<History, TrainError> {
        self.summarize(i32::MAX)?;
        self.history.windows.sort_by_key(|window| (window.key, window.statistics.index));
        Ok(self.history)
    }
}

/// Reads a whole history. `on_progress` as in [`Source::read`].
///
/// # Errors
/// The errors of [`Source::read`].
pub fn read(
    source: &Source<'_>,
    mut on_progress: impl FnMut(u64, u64),
) -> Result<History, TrainError> {
    let mut collector = Collector::default();
    let rejections = source.read(&mut on_progress, &mut |events| {
        events.iter().try_for_each(|enriched| collector.add(enriched))
    })?;
    Ok(History { rejections, ..collector.finish()? })
}
