//! What all keys do together, so that an outage and the rush after it, or a holiday, is
//! the fleet's and not four hundred stolen keys'.

use serde::{Deserialize, Serialize};

use super::failures::Failures;
use crate::event::{AccessEvent, EventTime};
use crate::profile::Profile;
use crate::profile::behaviour::{FleetWindow, is_disturbed, window_of};
use crate::profile::outcome::{Failure, OutcomeProfile};
use crate::profile::rate::season::Shape;
use crate::profile::rate::{RateProfile, WINDOW_SECONDS};

/// A key that is new rises from nothing; that is no surge.
const MIN_HISTORY_HOURS: f64 = 0.5;
/// A key surges when its minute holds this many times what is expected ...
const SURGE_RATIO: f64 = 3.0;
/// ... and at least this many requests.
const SURGE_REQUESTS: f64 = 8.0;
/// A surge is the fleet's when it has this share of the keys that are active ...
const WIDESPREAD_SHARE: f64 = 0.1;
/// ... and at least this many: one key, or a thief's three, are not everybody.
const WIDESPREAD_KEYS: u32 = 5;
/// A key adds at most this many failures a minute.
const MAX_FAILURES: u32 = 50;
/// Pseudo-requests: a handful of other requests says nothing about the fleet.
const PRIOR_REQUESTS: f64 = 25.0;

/// The window in which surging keys are counted.
const MINUTE: usize = 2;

/// All keys as one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Fleet {
    rate: Option<RateProfile>,
    failures: Failures,
    minute: i64,
    current: Census,
    previous: Census,
    /// The last windows of behaviour, the latest first.
    windows: [FleetWindow; 4],
}

/// Keys seen in one minute.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Census {
    active: u32,
    surging: u32,
    /// Refused (401, 403) where they are used from anyhow.
    refused_at_home: u32,
}

impl Census {
    fn is_widespread_surge(self) -> bool {
        self.surging >= WIDESPREAD_KEYS
            && f64::from(self.surging) >= WIDESPREAD_SHARE * f64::from(self.active)
    }

    fn is_refused_mostly(self) -> bool {
        self.refused_at_home >= WIDESPREAD_KEYS && 2 * self.refused_at_home >= self.active
    }
}

impl Fleet {
    /// Counts an event that was just counted in its key's `profile`.
    pub fn count(&mut self, profile: &Profile, event: &AccessEvent) {
        self.rate
            .get_or_insert_with(|| RateProfile::new(event.time))
            .count(event.time, &Shape::FLAT);
        self.take_census(&profile.rate);
        self.count_window(event);
        let failed = Failure::of_status(event.status)
            .map_or(0, |failure| profile.outcomes.current(failure).1);
        if failed <= MAX_FAILURES {
            self.failures.count(event.time, event.status);
        }
    }

    fn count_window(&mut self, event: &AccessEvent) {
        let index = window_of(event.time);
        if index > self.windows[0].index {
            self.windows.rotate_right(1);
            self.windows[0] = FleetWindow { index, ..FleetWindow::default() };
        }
        if let Some(window) = self.windows.iter_mut().find(|window| window.index == index) {
            window.requests += 1;
            window.unavailable += u32::from(event.status >= 500);
        }
    }

    /// Whether the API itself failed in that window of behaviour, or shortly before.
    pub fn was_disturbed(&self, index: i32) -> bool {
        is_disturbed(&self.windows, index)
    }

    fn take_census(&mut self, own: &RateProfile) {
        let minute = own.window_start(MINUTE);
        if minute > self.minute {
            self.previous = self.current;
            self.current = Census::default();
            self.minute = minute;
        }
        let count = own.current_count(MINUTE);
        // A key is counted once, by the request with which it becomes active or surges.
        self.current.active += u32::from(count == 1);
        if own.history_hours() < MIN_HISTORY_HOURS {
            return;
        }
        let surge = (SURGE_RATIO * own.forecast(MINUTE).mean).max(SURGE_REQUESTS).ceil();
        self.current.surging += u32::from(count == surge as u64);
    }

    /// Counts a request that was just counted in its key's `profile` and was refused where the
    /// key is at home.
    pub fn count_refused_at_home(&mut self, profile: &Profile) {
        let (_, refused) = profile.outcomes.current(Failure::Refused);
        self.current.refused_at_home += u32::from(refused == 1);
    }

    /// Whether the API refuses most keys where they are at home: an outage of its own, in
    /// which a refusal says nothing of who asks.
    pub fn is_refusing_most(&self) -> bool {
        self.current.is_refused_mostly() || self.previous.is_refused_mostly()
    }

    /// How many times their expectation the other keys are at in the current window: 1
    /// unless many of them surge.
    pub fn surge_elsewhere(&self, own: &RateProfile, which: usize, time: EventTime) -> f64 {
        let widespread = self.current.is_widespread_surge() || self.previous.is_widespread_surge();
        let Some(fleet) = self.rate.as_ref().filter(|_| widespread) else { return 1.0 };
        let length = WINDOW_SECONDS[which] as f64;
        let start = EventTime::from_seconds(fleet.window_start(which));
        let elapsed = (time.seconds_since(start) / length).clamp(0.0, 1.0);
        let observed = fleet.current_count(which).saturating_sub(own.current_count(which)) as f64;
        let mean = fleet.forecast(which).mean - own.forecast(which).mean;
        let expected = mean.max(0.0) * elapsed;
        ((observed + PRIOR_REQUESTS) / (expected + PRIOR_REQUESTS)).max(1.0)
    }

    /// How many times their expectation the other keys have been at for hours, at least 1.
    pub fn rise_elsewhere(&self, own: &RateProfile) -> f64 {
        let Some(fleet) = self.rate.as_ref().map(RateProfile::ramp) else { return 1.0 };
        let without_own = |all: f32, own: f32| f64::from((all - own).max(0.0)) + PRIOR_REQUESTS;
        let observed = without_own(fleet.observed, own.ramp().observed);
        let expected = without_own(fleet.expected, own.ramp().expected);
        (observed / expected).max(1.0)
    }

    /// The share of the other keys' requests that fail in this way right now.
    pub fn failing_share_elsewhere(&self, own: &OutcomeProfile, failure: Failure) -> f64 {
        self.failures.share_elsewhere(own, failure)
    }
}
