//! Events to windows, those of all keys.

use std::collections::HashMap;

use crate::event::{EnrichedEvent, EventTime, KeyId};
use crate::profile::Sightings;
use crate::profile::behaviour::{Observation, window_of};
use crate::profile::recent::request_identity;
use crate::profile::route::route_id;

use super::TrainError;
use super::source::Source;
use super::windows::{KeyWindow, Requests};

/// Requests in memory before they become windows.
const MAX_REQUESTS: usize = 3_000_000;
/// Requests that are remembered to know redelivered ones by.
const REMEMBERED: usize = 3_000_000;
/// Windows that may still grow are kept: records come a little late.
const OPEN_WINDOWS: i32 = 2;

/// All windows of a log.
#[derive(Debug, Default)]
pub struct History {
    pub keys: Vec<KeyId>,
    /// By key and window.
    pub windows: Vec<KeyWindow>,
    pub requests: u64,
    pub rejections: u64,
    pub first: Option<EventTime>,
    pub last: Option<EventTime>,
}

/// Takes requests in the order they came; then gives their windows.
pub struct Collector {
    ids: HashMap<KeyId, (u32, i32)>,
    requests: Requests,
    seen: Sightings,
    hasher: foldhash::quality::FixedState,
    /// Windows before this one are summed up.
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
    /// Takes an enriched event as the service would: not twice, and not of a key that the API
    /// does not know.
    ///
    /// # Errors
    /// Of polars: out of memory.
    pub fn add(&mut self, enriched: &EnrichedEvent) -> Result<(), TrainError> {
        let event = &enriched.event;
        let identity = request_identity(event, &self.hasher);
        if identity.is_some_and(|identity| self.seen.insert_next(identity)) {
            return Ok(());
        }
        let is_refused = matches!(event.status, 401 | 403);
        let route = route_id(&event.method, &event.path);
        let observation = Observation::of(event, &enriched.origin, route);
        self.observe(&event.key_id, &observation, !is_refused)
    }

    /// Takes one request. A key that is not `admitted` must have been before.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn observe(
        &mut self,
        key_id: &KeyId,
        observation: &Observation,
        admitted: bool,
    ) -> Result<(), TrainError> {
        let window = window_of(observation.time);
        let key = match self.ids.get_mut(key_id) {
            // As in the service a request that comes after its window is over is left out.
            Some((_, latest)) if window < *latest => return Ok(()),
            Some((key, latest)) => {
                *latest = window;
                *key
            }
            None if !admitted => return Ok(()),
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
        self.note(observation.time);
        self.newest = self.newest.max(window);
        self.requests.push(key, observation);
        if self.requests.len() >= MAX_REQUESTS {
            self.summarize(self.newest - OPEN_WINDOWS)?;
        }
        Ok(())
    }

    fn note(&mut self, time: EventTime) {
        let history = &mut self.history;
        history.requests += 1;
        history.first = Some(history.first.map_or(time, |first| first.min(time)));
        history.last = Some(history.last.map_or(time, |last| last.max(time)));
    }

    fn summarize(&mut self, before: i32) -> Result<(), TrainError> {
        if before <= self.summarized {
            // One window that is larger than the memory set aside: let it grow.
            return Ok(());
        }
        let (windows, rest) = std::mem::take(&mut self.requests).summarize(before)?;
        self.history.windows.extend(windows);
        self.requests = rest;
        self.summarized = before;
        Ok(())
    }

    /// # Errors
    /// As [`Self::add`].
    pub fn finish(mut self) -> Result<History, TrainError> {
        self.summarize(i32::MAX)?;
        self.history.windows.sort_by_key(|window| (window.key, window.statistics.index));
        Ok(self.history)
    }
}

/// Reads a whole history. `on_progress` as in [`Source::read`].
///
/// # Errors
/// As [`Source::read`].
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
