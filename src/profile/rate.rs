//! How much a key is used: seasonal Gamma-Poisson counts at several window lengths.
//!
//! The expected rate is a Gamma posterior for each hour of the day, on weekdays and
//! weekends apart, shrunk towards the key's overall rate while young, times a level
//! that follows the last hour. Counts in windows vary more than Poisson; each window
//! length learns its own index of dispersion (variance over mean), so a cron job's
//! bursts are ordinary for the key that has them. The predictive of a window's count
//! is then negative binomial (Gelman et al., Bayesian Data Analysis, 3rd ed., 2.6).

use serde::{Deserialize, Serialize};

use crate::event::EventTime;

/// Window lengths in seconds, shortest first.
pub const WINDOW_SECONDS: [i64; 4] = [10, 60, 600, 3_600];

/// The window whose close teaches the seasons.
const SEASON_WINDOW: usize = 1;
/// The window whose close feeds the cumulative sum.
const RAMP_WINDOW: usize = 3;

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
const SEASONS: usize = 48;

/// What a season learned halves in this time.
const SEASON_HALF_LIFE_HOURS: f32 = 14.0 * 24.0;
/// Before this much history expectations follow what comes.
const YOUNG_HOURS: f32 = 1.0;
/// What is borrowed weighs as much as this many hours of a season's own history.
const SHRINKAGE_HOURS: f32 = 1.0;
/// The level follows the last hour or so.
const LEVEL_HALF_LIFE_SECONDS: f32 = 3_600.0;
/// Pseudo-count that keeps the level near 1 for rare keys.
const LEVEL_PRIOR_EVENTS: f32 = 20.0;
/// How bursty a key is, is remembered with this half-life.
const DISPERSION_HALF_LIFE_SECONDS: f32 = 3.0 * DAY as f32;
/// Index of dispersion of a key of which nothing is known: people and jobs come in bursts.
const PRIOR_DISPERSION: f32 = 20.0;
/// The prior weighs as much as this many events.
const PRIOR_EVENTS: f32 = 50.0;
/// A key silent for longer than this is not charged with empty windows beyond it.
const MAX_SILENCE: i64 = 14 * DAY;

/// Decayed counts and the hours in which they were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Gamma {
    events: f32,
    hours: f32,
}

impl Gamma {
    /// Events an hour; `prior` counts like [`SHRINKAGE_HOURS`] of own history.
    fn shrunk_to(self, prior: f32) -> f32 {
        (self.events + SHRINKAGE_HOURS * prior) / (self.hours + SHRINKAGE_HOURS)
    }

    fn add(&mut self, events: f32, hours: f32) {
        let decay = (-hours / SEASON_HALF_LIFE_HOURS).exp2();
        self.events = self.events * decay + events;
        self.hours = self.hours * decay + hours;
    }
}

/// One tumbling window and how its counts vary.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Window {
    index: i64,
    count: u32,
    excluded: bool,
    /// Decayed sums over closed windows of the squared error and of the mean: their ratio is
    /// the index of dispersion, variance over mean.
    squared_error: f32,
    mean: f32,
    /// Highest count of a closed window, decayed.
    peak: f32,
    /// Expected events a second in this season, and how the hour before compared with its
    /// own. Taken when the window opens: what happens in it must not raise what is expected.
    seasonal_rate: f32,
    level: f32,
}

impl Window {
    fn dispersion(&self) -> f64 {
        let prior = PRIOR_DISPERSION * PRIOR_EVENTS;
        f64::from((self.squared_error + prior) / (self.mean + PRIOR_EVENTS)).max(1.1)
    }
}

/// Evidence that the rate has shifted for good: a cumulative sum (Page 1954) of the
/// log-likelihood ratio of twice the seasonal rate against the seasonal rate.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Ramp {
    /// Natural logarithm of the likelihood ratio since `since`; zero when nothing shifts.
    pub evidence: f32,
    /// Requests since then, and those that the season expects.
    pub observed: f32,
    pub expected: f32,
    /// Start of the first hour that counts, in seconds since the epoch.
    pub since: i64,
    /// Whether this rise was told already.
    pub is_told: bool,
    /// Index of dispersion of whole hours around their season.
    dispersion: f32,
    /// Hours and events that were known of the present season when it began.
    known: Gamma,
}

/// Weight of one hour in the dispersion of hours.
const RAMP_DISPERSION_WEIGHT: f32 = 0.02;
/// An hour of the day that was not seen on several days cannot say that a rate has shifted.
const MIN_KNOWN_HOURS: f32 = 2.5;
/// Shift that the cumulative sum is built to find.
const RAMP_RATIO: f32 = 2.0;

impl Ramp {
    /// Takes one hour; `mean` is its season's expectation.
    fn add(&mut self, start: i64, count: f32, mean: f32) {
        if self.known.hours < MIN_KNOWN_HOURS {
            return;
        }
        let noise = self.dispersion.max(1.0);
        let uncertainty = season_uncertainty(self.known.hours) + noise / (self.known.events + 1.0);
        let dispersion = noise + mean * uncertainty;
        let gain = (count * RAMP_RATIO.ln() - mean * (RAMP_RATIO - 1.0)) / dispersion;
        if self.evidence + gain <= 0.0 {
            let ratio = (count - mean).powi(2) / mean.max(0.5);
            let dispersion = self.dispersion + RAMP_DISPERSION_WEIGHT * (ratio - self.dispersion);
            *self = Self { dispersion, known: self.known, ..Self::default() };
            return;
        }
        if self.evidence == 0.0 {
            self.since = start;
        }
        self.evidence += gain;
        self.observed += count;
        self.expected += mean;
    }
}

/// What a window's count is expected to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Events in the whole window.
    pub mean: f64,
    /// Size parameter of the negative binomial; variance = mean + mean^2 / size.
    pub size: f64,
}

/// The rate of one key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RateProfile {
    windows: [Window; WINDOW_SECONDS.len()],
    #[serde(with = "super::sparse")]
    seasons: [Gamma; SEASONS],
    overall: Gamma,
    level_observed: f32,
    level_expected: f32,
    ramp: Ramp,
}

impl RateProfile {
    pub fn new(time: EventTime) -> Self {
        let window = |length: i64| Window {
            index: seconds(time).div_euclid(length),
            count: 0,
            excluded: false,
            squared_error: 0.0,
            mean: 0.0,
            peak: 0.0,
            seasonal_rate: 0.0,
            level: 1.0,
        };
        Self {
            windows: WINDOW_SECONDS.map(window),
            seasons: [Gamma::default(); SEASONS],
            overall: Gamma::default(),
            level_observed: 0.0,
            level_expected: 0.0,
            ramp: Ramp { dispersion: 4.0, ..Ramp::default() },
        }
    }

    /// Counts one event, closing the windows that ended before it. An event that comes
    /// too late for a window is left out of it: a backlog is not a spike.
    pub fn count(&mut self, time: EventTime) {
        let now = seconds(time);
        for (which, length) in WINDOW_SECONDS.into_iter().enumerate() {
            let index = now.div_euclid(length);
            if index > self.windows[which].index {
                self.close(which, index);
            }
            let window = &mut self.windows[which];
            if index == window.index {
                window.count = window.count.saturating_add(1);
            }
        }
    }

    /// Keeps the current windows out of what is learned.
    pub fn exclude_current(&mut self) {
        for window in &mut self.windows {
            window.excluded = true;
        }
    }

    /// Hours of history.
    pub fn history_hours(&self) -> f64 {
        f64::from(self.overall.hours)
    }

    /// Events in the current window of this length.
    pub fn current_count(&self, which: usize) -> u64 {
        u64::from(self.windows[which].count)
    }

    /// The highest count of such a window so far, decayed: what this key has been seen to do.
    pub fn peak(&self, which: usize) -> f64 {
        f64::from(self.windows[which].peak)
    }

    /// Start of the current window, in seconds since the epoch.
    pub fn window_start(&self, which: usize) -> i64 {
        self.windows[which].index * WINDOW_SECONDS[which]
    }

    /// Predictive distribution of the count in the current window of this length.
    pub fn forecast(&self, which: usize) -> Forecast {
        let length = WINDOW_SECONDS[which];
        let season = season_of(self.window_start(which));
        let window = &self.windows[which];
        let mean = (f64::from(window.seasonal_rate * window.level) * length as f64).max(1e-3);
        let dispersion = window.dispersion();
        // Three sources of variance beyond Poisson: dispersion within the season, the
        // uncertainty of the rate itself, and a season of which little was seen so far.
        let rate_uncertainty = dispersion / f64::from(self.overall.events).max(0.5);
        let inverse_size = (dispersion - 1.0) / mean
            + rate_uncertainty
            + f64::from(season_uncertainty(self.known(season).hours));
        Forecast { mean, size: 1.0 / inverse_size }
    }

    /// Events a second in this season, before the level: the season's own rate, shrunk to
    /// that of the same hour on the other kind of day, shrunk to the overall rate.
    fn seasonal_rate(&self, season: usize) -> f64 {
        let overall = (self.overall.events + 0.1) / (self.overall.hours + 0.1);
        let same_hour = self.seasons[other_day(season)].shrunk_to(overall);
        f64::from(self.seasons[season].shrunk_to(same_hour)) / HOUR as f64
    }

    /// History that tells about a season. The same hour on the other kind of day tells half
    /// as much.
    fn known(&self, season: usize) -> Gamma {
        let (own, other) = (self.seasons[season], self.seasons[other_day(season)]);
        Gamma { events: own.events + 0.5 * other.events, hours: own.hours + 0.5 * other.hours }
    }

    /// How the last hour compares with its season.
    fn level(&self) -> f32 {
        (self.level_observed + LEVEL_PRIOR_EVENTS) / (self.level_expected + LEVEL_PRIOR_EVENTS)
    }

    fn close(&mut self, which: usize, next_index: i64) {
        let window = self.windows[which];
        let length = WINDOW_SECONDS[which];
        let silence = (MAX_SILENCE / length).min(next_index - window.index - 1);
        if !window.excluded {
            self.learn_dispersion(which, silence);
            if which == RAMP_WINDOW {
                self.add_to_ramp(window.index * length, window.count, silence);
            }
            if which == SEASON_WINDOW {
                self.learn_seasons(window.index * length, window.count, silence);
            }
        }
        self.expect(which, next_index);
        let window = &mut self.windows[which];
        window.index = next_index;
        window.count = 0;
        window.excluded = false;
    }

    fn add_to_ramp(&mut self, start: i64, count: u32, silence: i64) {
        let mean = self.windows[RAMP_WINDOW].seasonal_rate * HOUR as f32;
        self.ramp.add(start, count as f32, mean);
        if silence > 0 {
            self.ramp.add(start + HOUR, 0.0, mean * silence as f32);
        }
    }

    /// Notes that the present rise was told.
    pub fn tell_ramp(&mut self) {
        self.ramp.is_told = true;
    }

    /// Evidence of a slow, lasting rise.
    pub fn ramp(&self) -> &Ramp {
        &self.ramp
    }

    /// Sets what is expected of the window `index`, from what is known before it.
    fn expect(&mut self, which: usize, index: i64) {
        let season = season_of(index * WINDOW_SECONDS[which]);
        let (seasonal_rate, level) = (self.seasonal_rate(season) as f32, self.level());
        if which == RAMP_WINDOW {
            self.ramp.known = self.known(season);
        }
        let window = &mut self.windows[which];
        window.seasonal_rate = seasonal_rate;
        window.level = level;
    }

    fn learn_dispersion(&mut self, which: usize, silence: i64) {
        let mean = self.forecast(which).mean as f32;
        let elapsed = ((silence + 1) * WINDOW_SECONDS[which]) as f32;
        let decay = (-elapsed / DISPERSION_HALF_LIFE_SECONDS).exp2();
        let window = &mut self.windows[which];
        let count = window.count as f32;
        // An empty window errs by its mean.
        let silent_error = silence as f32 * mean * mean;
        window.squared_error = window.squared_error * decay + (count - mean).powi(2) + silent_error;
        window.mean = window.mean * decay + mean * (silence + 1) as f32;
        window.peak = (window.peak * decay).max(count);
    }

    /// Teaches the window that began at `start` and the `silence` empty ones after it.
    fn learn_seasons(&mut self, start: i64, count: u32, silence: i64) {
        let length = WINDOW_SECONDS[SEASON_WINDOW];
        let is_first = self.overall.hours < YOUNG_HOURS;
        self.learn_interval(start, length, count as f32);
        if is_first {
            // The windows that are open began when nothing was known.
            for which in 0..WINDOW_SECONDS.len() {
                self.expect(which, self.windows[which].index);
            }
        }
        let end = start + length * (silence + 1);
        let mut from = start + length;
        while from < end {
            let to = end.min((from.div_euclid(HOUR) + 1) * HOUR);
            self.learn_interval(from, to - from, 0.0);
            from = to;
        }
    }

    /// Teaches `events` in an interval that lies within one hour.
    fn learn_interval(&mut self, start: i64, length: i64, events: f32) {
        let season = season_of(start);
        let hours = length as f32 / HOUR as f32;
        let expected = self.seasonal_rate(season) as f32 * length as f32;
        let decay = (-(length as f32) / LEVEL_HALF_LIFE_SECONDS).exp2();
        self.level_observed = self.level_observed * decay + events;
        self.level_expected = self.level_expected * decay + expected;
        self.seasons[season].add(events, hours);
        self.overall.add(events, hours);
    }
}

/// Squared relative error of a season's mean: never quite sure, and unsure while the season
/// is new.
fn season_uncertainty(known_hours: f32) -> f32 {
    0.04 + 0.7 / (1.0 + known_hours)
}

/// The same hour on a weekend for a weekday, and the reverse.
const fn other_day(season: usize) -> usize {
    (season + 24) % SEASONS
}

fn seconds(time: EventTime) -> i64 {
    time.as_micros().div_euclid(1_000_000)
}

/// Hour of the day, UTC; weekends apart. 1970-01-01 was a Thursday.
fn season_of(second: i64) -> usize {
    let hour = second.rem_euclid(DAY) / HOUR;
    let weekday = (second.div_euclid(DAY) + 3).rem_euclid(7);
    let weekend = usize::from(weekday >= 5);
    weekend * 24 + hour as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY: i64 = 1_767_571_200;

    fn steady(events_per_minute: i64, minutes: i64) -> RateProfile {
        let mut rate = RateProfile::new(EventTime::from_seconds(MONDAY));
        for minute in 0..minutes {
            for event in 0..events_per_minute {
                rate.count(EventTime::from_seconds(
                    MONDAY + minute * 60 + event * 60 / events_per_minute,
                ));
            }
        }
        rate
    }

    #[test]
    fn a_steady_key_is_expected_to_stay_steady() {
        let rate = steady(30, 600);
        for (which, length) in WINDOW_SECONDS.iter().enumerate() {
            let expected = 0.5 * *length as f64;
            let mean = rate.forecast(which).mean;
            assert!((mean / expected - 1.0).abs() < 0.15, "{length} s: {mean} for {expected}");
        }
    }

    #[test]
    fn silence_lowers_the_expectation() {
        let mut rate = steady(30, 600);
        let before = rate.forecast(3).mean;
        rate.count(EventTime::from_seconds(MONDAY + 600 * 60 + 4 * DAY));
        assert!(rate.forecast(3).mean < before / 2.0);
    }

    #[test]
    fn excluded_windows_teach_nothing() {
        let mut rate = steady(30, 600);
        let before = rate.forecast(1).mean;
        for event in 0..6_000 {
            rate.count(EventTime::from_seconds(MONDAY + 600 * 60 + event / 100));
            rate.exclude_current();
        }
        rate.count(EventTime::from_seconds(MONDAY + 601 * 60));
        assert!((rate.forecast(1).mean / before - 1.0).abs() < 0.05);
    }

    #[test]
    fn bursts_that_recur_widen_the_forecast() {
        let mut rate = RateProfile::new(EventTime::from_seconds(MONDAY));
        for burst in 0..500 {
            for event in 0..100 {
                rate.count(EventTime::from_seconds(MONDAY + burst * 600 + event / 50));
            }
        }
        let forecast = rate.forecast(0);
        let deviation = (forecast.mean + forecast.mean.powi(2) / forecast.size).sqrt();
        assert!(deviation > 5.0 * forecast.mean, "{forecast:?}");
    }

    #[test]
    fn weekends_are_a_season_of_their_own() {
        assert_eq!(season_of(MONDAY), 0);
        assert_eq!(season_of(MONDAY + 5 * DAY + 3 * HOUR), 27);
        assert_eq!(season_of(MONDAY - 1), 24 + 23);
    }
}
