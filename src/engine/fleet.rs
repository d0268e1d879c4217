//! Counts what all keys of a partition do together.
//!
//! Detectors discount what happens to most keys at once. Otherwise an outage, the rush after it, or
//! a holiday would look like hundreds of stolen keys.

use serde::{Deserialize, Serialize};

use super::failures::Failures;
use crate::answer::Answer;
use crate::event::{AccessEvent, DAY_SECONDS, EventTime};
use crate::profile::Profile;
use crate::profile::behaviour::{FleetWindow, is_disturbed, window_of};
use crate::profile::outcome::{Failure, OutcomeProfile};
use crate::profile::stuffing::SourceAttempt;
use crate::rate::season::Shape;
use crate::rate::{MINUTE_WINDOW, RateProfile, WINDOW_SECONDS};

/// A younger key has no usual rate yet, so that it cannot surge.
const MIN_HISTORY_HOURS: f64 = 0.5;
/// A key surges when its minute holds this many times the expected requests ...
const SURGE_RATIO: f64 = 3.0;
/// ... and at least this many requests.
const SURGE_REQUESTS: f64 = 8.0;
/// A surge is widespread when this share of the active keys surges ...
const WIDESPREAD_SHARE: f64 = 0.1;
/// ... and at least this many of them: one key, or three stolen ones, are not the fleet.
const WIDESPREAD_KEYS: u32 = 5;
/// A key adds at most this many failures a minute.
const MAX_FAILURES: u32 = 50;
/// Pseudo-requests that are added to both sides of a ratio: a few requests of other keys do not
/// show the state of the fleet.
const PRIOR_REQUESTS: f64 = 25.0;

/// After a surge, one key may have this many times the fleet's ratio: keys do not share a surge
/// evenly.
const UNEVEN: f64 = 3.0;

/// The keys of one partition, counted together.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Fleet {
    rate: Option<RateProfile>,
    /// Failures of proven uses.
    failures: Failures,
    /// Failures of all requests that name a known key.
    named_failures: Failures,
    minute: i64,
    current: Census,
    previous: Census,
    /// End of the last minute in which many keys surged, in seconds since the epoch.
    surged_until: i64,
    /// The last windows of behaviour, the latest first.
    windows: [FleetWindow; 4],
}

/// Keys seen in one minute.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Census {
    active: u32,
    surging: u32,
    /// Keys that were refused (401, 403) at a site where they are established.
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
    /// Counts an event that its key's `profile` has just counted.
    pub fn count(&mut self, profile: &Profile, event: &AccessEvent) {
        self.rate
            .get_or_insert_with(|| RateProfile::new(event.time))
            .count(event.time, &Shape::FLAT);
        self.take_census(&profile.rate);
        self.count_window(event);
        count_failure(&mut self.failures, &profile.outcomes, event);
        count_failure(&mut self.named_failures, &profile.named, event);
    }

    /// Counts a request that only names a key, and that the key's `profile` has just counted.
    pub fn count_attempt(&mut self, profile: &Profile, event: &AccessEvent) {
        self.count_window(event);
        count_failure(&mut self.named_failures, &profile.named, event);
    }

    fn count_window(&mut self, event: &AccessEvent) {
        let index = window_of(event.time);
        if index > self.windows[0].index {
            self.windows.rotate_right(1);
            self.windows[0] = FleetWindow { index, ..FleetWindow::default() };
        }
        if let Some(window) = self.windows.iter_mut().find(|window| window.index == index) {
            window.requests += 1;
            window.unavailable += u32::from(event.answer() == Answer::ServerError);
        }
    }

    /// Whether the API itself failed in that window of behaviour, or shortly before.
    pub fn was_disturbed(&self, index: i32) -> bool {
        is_disturbed(&self.windows, index)
    }

    fn take_census(&mut self, own: &RateProfile) {
        let minute = own.window_start(MINUTE_WINDOW);
        self.turn_to(minute);
        let count = own.current_count(MINUTE_WINDOW);
        // Each key counts once: with its first request of the minute, and with the request that
        // makes it surge.
        self.current.active += u32::from(count == 1);
        if own.history_hours() < MIN_HISTORY_HOURS {
            return;
        }
        let surge = (SURGE_RATIO * own.forecast(MINUTE_WINDOW).mean).max(SURGE_REQUESTS).ceil();
        self.current.surging += u32::from(count == surge as u64);
        if self.current.is_widespread_surge() {
            self.surged_until = minute + WINDOW_SECONDS[MINUTE_WINDOW];
        }
    }

    /// Begins a new census if `time` lies in a later minute. Refused requests must call this too:
    /// while the API refuses everybody, there are no proven uses that would begin one.
    pub fn turn_to_minute_of(&mut self, time: EventTime) {
        let length = WINDOW_SECONDS[MINUTE_WINDOW];
        self.turn_to(time.as_micros().div_euclid(1_000_000 * length) * length);
    }

    /// `minute` is the second since the epoch at which the minute begins.
    fn turn_to(&mut self, minute: i64) {
        if minute <= self.minute {
            return;
        }
        let follows = minute == self.minute + WINDOW_SECONDS[MINUTE_WINDOW];
        self.previous = if follows { self.current } else { Census::default() };
        self.current = Census::default();
        self.minute = minute;
    }

    /// Counts a refused request from a site where its key is established. The key's `profile` has
    /// just counted it. Somebody else may name a customer's key within the same carrier and region,
    /// so that only the site's own prefix counts, of a key that was in use within a day.
    pub fn count_refused_at_home(&mut self, profile: &Profile, attempt: &SourceAttempt) {
        let is_in_use = attempt.time.seconds_since(profile.last_seen) < DAY_SECONDS;
        if !is_in_use || !profile.places.is_established_prefix(attempt.client_ip) {
            return;
        }
        let (_, refused) = profile.named.current(Failure::Refused);
        self.current.refused_at_home += u32::from(refused == 1);
    }

    /// Whether the API refuses most keys at sites where they are established. This is an outage of
    /// the API, and a refusal is then not evidence about its sender.
    pub fn is_refusing_most(&self) -> bool {
        self.current.is_refused_mostly() || self.previous.is_refused_mostly()
    }

    /// The other keys' requests in the current window, divided by the expected number. At least 1,
    /// and 1 unless many keys surge, or surged since the window began.
    ///
    /// A long window still contains a surge that is over. Keys do not share a surge evenly, so that
    /// the ratio is then multiplied by `UNEVEN`.
    pub fn surge_elsewhere(&self, own: &RateProfile, which: usize, time: EventTime) -> f64 {
        let widespread = self.current.is_widespread_surge() || self.previous.is_widespread_surge();
        let held = self.surged_until > own.window_start(which) && which > MINUTE_WINDOW;
        let Some(fleet) = self.rate.as_ref().filter(|_| widespread || held) else { return 1.0 };
        let length = WINDOW_SECONDS[which] as f64;
        let start = EventTime::from_seconds(fleet.window_start(which));
        let elapsed = (time.seconds_since(start) / length).clamp(0.0, 1.0);
        let observed = fleet.current_count(which).saturating_sub(own.current_count(which)) as f64;
        let mean = fleet.forecast(which).mean - own.forecast(which).mean;
        let expected = mean.max(0.0) * elapsed;
        let surge = (observed + PRIOR_REQUESTS) / (expected + PRIOR_REQUESTS);
        if held { UNEVEN * surge.max(1.0) } else { surge.max(1.0) }
    }

    /// The other keys' requests over the last hours, divided by the expected number. At least 1.
    pub fn rise_elsewhere(&self, own: &RateProfile) -> f64 {
        let Some(fleet) = self.rate.as_ref().map(RateProfile::ramp) else { return 1.0 };
        let without_own = |all: f32, own: f32| f64::from((all - own).max(0.0)) + PRIOR_REQUESTS;
        let observed = without_own(fleet.observed, own.ramp().observed);
        let expected = without_own(fleet.expected, own.ramp().expected);
        (observed / expected).max(1.0)
    }

    /// The share of the other keys' proven uses that fail in this way now.
    pub fn failing_share_elsewhere(&self, own: &Profile, failure: Failure) -> f64 {
        self.failures.share_elsewhere(&own.outcomes, failure)
    }

    /// The share of all requests that name other keys and fail in this way now.
    pub fn named_failing_share_elsewhere(&self, own: &Profile, failure: Failure) -> f64 {
        self.named_failures.share_elsewhere(&own.named, failure)
    }
}

/// One key must not look like an outage, so that it adds at most `MAX_FAILURES` a minute.
fn count_failure(failures: &mut Failures, own: &OutcomeProfile, event: &AccessEvent) {
    let failed = Failure::of_status(event.status).map_or(0, |failure| own.current(failure).1);
    if failed <= MAX_FAILURES {
        failures.count(event.time, event.status);
    }
}
