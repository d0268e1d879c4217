//! How much a key is used: seasonal Gamma-Poisson counts at several window lengths.
//!
//! The expected rate is a Gamma posterior for each hour of the week ([`season`]), times a
//! level that follows the last hour. Counts in windows vary more than Poisson; each window
//! length learns its own index of dispersion (variance over mean), so a cron job's bursts are
//! ordinary for the key that has them. The predictive of a window's count is then negative
//! binomial (Gelman et al., Bayesian Data Analysis, 3rd ed., 2.6).

mod burst;
mod ramp;
pub mod season;

use serde::{Deserialize, Serialize};

use crate::event::EventTime;

pub use self::burst::BurstForecast;
use self::burst::Bursts;
pub use self::ramp::Ramp;
use self::season::{Seasons, Shape, season_of};

/// Window lengths in seconds, shortest first.
pub const WINDOW_SECONDS: [i64; 5] = [1, 10, 60, 600, 3_600];
pub const WINDOWS: usize = WINDOW_SECONDS.len();

/// The window whose close teaches the seasons.
const SEASON_WINDOW: usize = 2;
/// The window whose close feeds the cumulative sum. Its expectation is the season's alone: a
/// level that follows the last hour would follow a slow ramp too.
pub const HOUR_WINDOW: usize = 4;

/// The minute first, since the others' expectations are made of what it teaches.
const CLOSING_ORDER: [usize; WINDOWS] = [SEASON_WINDOW, HOUR_WINDOW, 3, 1, 0];

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// Before this much history expectations follow what comes.
const YOUNG_HOURS: f32 = 1.0;
/// Others borrow the hours of a key that has this much history.
const TELLING_HOURS: f32 = 24.0;
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

/// An hour teaches at most this many standard deviations above its mean: whoever raises a rate
/// step by step must not teach the profile that steps are ordinary. Shorter windows are not
/// cut: bursts are what they are to learn.
const WINSORIZED_AT: f64 = 3.0;

/// One tumbling window and how its counts vary.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Window {
    index: i64,
    count: u32,
    excluded: bool,
    /// Decayed sums over closed windows of the squared error and of the mean: their ratio is
    /// the index of dispersion, variance over mean.
    squared_error: f32,
    mean: f32,
    bursts: Bursts,
    /// Highest count of a closed window, decayed.
    peak: f32,
    /// Expected events a second. Taken when the window opens: what happens in it must not
    /// raise what is expected.
    rate: f32,
}

impl Window {
    fn dispersion(&self) -> f64 {
        let prior = PRIOR_DISPERSION * PRIOR_EVENTS;
        f64::from((self.squared_error + prior) / (self.mean + PRIOR_EVENTS)).max(1.1)
    }
}

/// An hour that a key has behind it, in its own measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HourShare {
    pub season: usize,
    /// Its events, as a multiple of the key's mean.
    pub share: f32,
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
    windows: [Window; WINDOWS],
    seasons: Seasons,
    level_observed: f32,
    level_expected: f32,
    ramp: Ramp,
}

impl RateProfile {
    pub fn new(time: EventTime) -> Self {
        let window =
            |length| Window { index: seconds(time).div_euclid(length), ..Window::default() };
        Self {
            windows: WINDOW_SECONDS.map(window),
            seasons: Seasons::default(),
            level_observed: 0.0,
            level_expected: 0.0,
            ramp: Ramp::default(),
        }
    }

    /// Counts one event, closing the windows that ended before it. An event that comes
    /// too late for a window is left out of it: a backlog is not a spike.
    ///
    /// `shape` is what others do at each hour. The hour that ended, if one did and it tells
    /// something about the hours of the week, is returned.
    pub fn count(&mut self, time: EventTime, shape: &Shape) -> Option<HourShare> {
        let now = seconds(time);
        let mut share = None;
        for which in CLOSING_ORDER {
            let index = now.div_euclid(WINDOW_SECONDS[which]);
            if index > self.windows[which].index {
                if which == HOUR_WINDOW {
                    share = self.hour_share();
                }
                self.close(which, index, shape);
            }
            let window = &mut self.windows[which];
            if index == window.index {
                window.count = window.count.saturating_add(1);
            }
        }
        share
    }

    fn hour_share(&self) -> Option<HourShare> {
        let window = self.windows[HOUR_WINDOW];
        let overall = self.seasons.overall;
        let is_telling = overall.hours >= TELLING_HOURS && !window.excluded;
        is_telling.then(|| HourShare {
            season: season_of(window.index * HOUR),
            share: window.count as f32 * overall.hours / overall.events.max(1.0),
        })
    }

    /// Keeps the current windows out of what is learned.
    pub fn exclude_current(&mut self) {
        for window in &mut self.windows {
            window.excluded = true;
        }
    }

    /// Hours of history.
    pub fn history_hours(&self) -> f64 {
        f64::from(self.seasons.overall.hours)
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
        let window = &self.windows[which];
        let mean = (f64::from(window.rate) * WINDOW_SECONDS[which] as f64).max(1e-3);
        let dispersion = window.dispersion();
        // Three sources of variance beyond Poisson: dispersion within the season, the
        // uncertainty of the rate itself, and a season of which little was seen so far.
        let rate_uncertainty = dispersion / f64::from(self.seasons.overall.events).max(0.5);
        let known = self.seasons.known(self.window_start(which));
        let inverse_size = (dispersion - 1.0) / mean
            + rate_uncertainty
            + f64::from(self.seasons.uncertainty(known.hours));
        Forecast { mean, size: 1.0 / inverse_size }
    }

    /// Sizes of bursts in the current window of this length, when `surge` times as much as usual
    /// is expected. Nothing for the hour, which is judged as a whole.
    pub fn burst_forecast(&self, which: usize, surge: f64) -> Option<BurstForecast> {
        let window = &self.windows[which];
        let expected = f64::from(window.rate) * WINDOW_SECONDS[which] as f64 * surge;
        window.bursts.forecast(expected).filter(|_| which != HOUR_WINDOW)
    }

    /// How the last hour compares with its season.
    fn level(&self) -> f32 {
        (self.level_observed + LEVEL_PRIOR_EVENTS) / (self.level_expected + LEVEL_PRIOR_EVENTS)
    }

    fn close(&mut self, which: usize, next_index: i64, shape: &Shape) {
        let window = self.windows[which];
        let length = WINDOW_SECONDS[which];
        let silence = (MAX_SILENCE / length).min(next_index - window.index - 1);
        if !window.excluded {
            let count = window.count as f32;
            if which == HOUR_WINDOW {
                let credible = self.credible_hour();
                self.seasons.unlearn(window.index * length, count - credible);
                self.learn_dispersion(which, credible, silence);
                self.add_to_ramp(window.index * length, count, silence);
            } else {
                self.learn_dispersion(which, count, silence);
            }
            if which == SEASON_WINDOW {
                self.learn_seasons(window.index * length, count, silence, shape);
            }
        }
        if which == HOUR_WINDOW {
            self.seasons.measure_spread();
        }
        self.expect(which, next_index, shape);
        let window = &mut self.windows[which];
        window.index = next_index;
        window.count = 0;
        window.excluded = false;
    }

    /// The count of the hour that closes, winsorized.
    fn credible_hour(&self) -> f32 {
        let count = self.windows[HOUR_WINDOW].count as f32;
        if self.seasons.overall.hours < YOUNG_HOURS {
            return count;
        }
        let Forecast { mean, size } = self.forecast(HOUR_WINDOW);
        let deviation = (mean + mean * mean / size).sqrt();
        count.min((mean + WINSORIZED_AT * deviation) as f32)
    }

    fn add_to_ramp(&mut self, start: i64, count: f32, silence: i64) {
        let mean = self.windows[HOUR_WINDOW].rate * HOUR as f32;
        let uncertainty = self.seasons.uncertainty(self.ramp.known.hours);
        self.ramp.add(start, count, mean, uncertainty);
        if silence > 0 {
            self.ramp.add(start + HOUR, 0.0, mean * silence as f32, uncertainty);
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
    fn expect(&mut self, which: usize, index: i64, shape: &Shape) {
        let start = index * WINDOW_SECONDS[which];
        let rate = match which {
            HOUR_WINDOW => self.seasons.rate(start, shape) as f32,
            SEASON_WINDOW.. => self.seasons.rate(start, shape) as f32 * self.level(),
            _ => self.windows[SEASON_WINDOW].rate,
        };
        self.windows[which].rate = rate;
        if which == HOUR_WINDOW {
            self.ramp.known = self.seasons.known(start);
        }
    }

    fn learn_dispersion(&mut self, which: usize, count: f32, silence: i64) {
        let mean = (self.windows[which].rate * WINDOW_SECONDS[which] as f32).max(1e-3);
        let elapsed = ((silence + 1) * WINDOW_SECONDS[which]) as f32;
        let decay = (-elapsed / DISPERSION_HALF_LIFE_SECONDS).exp2();
        let window = &mut self.windows[which];
        // An empty window errs by its mean.
        let silent_error = silence as f32 * mean * mean;
        window.squared_error = window.squared_error * decay + (count - mean).powi(2) + silent_error;
        window.mean = window.mean * decay + mean * (silence + 1) as f32;
        window.peak = (window.peak * decay).max(count);
        if count > 0.0 {
            window.bursts.learn(count, mean, decay);
        }
    }

    /// Teaches the window that began at `start` and the `silence` empty ones after it.
    fn learn_seasons(&mut self, start: i64, count: f32, silence: i64, shape: &Shape) {
        let length = WINDOW_SECONDS[SEASON_WINDOW];
        let is_first = self.seasons.overall.hours < YOUNG_HOURS;
        self.learn_interval(start, length, count, shape);
        if is_first {
            // The windows that are open began when nothing was known.
            for which in CLOSING_ORDER {
                self.expect(which, self.windows[which].index, shape);
            }
        }
        let end = start + length * (silence + 1);
        let mut from = start + length;
        while from < end {
            let to = end.min((from.div_euclid(HOUR) + 1) * HOUR);
            self.learn_interval(from, to - from, 0.0, shape);
            from = to;
        }
    }

    /// Teaches `events` in an interval that lies within one hour.
    fn learn_interval(&mut self, start: i64, length: i64, events: f32, shape: &Shape) {
        let expected = self.seasons.rate(start, shape) as f32 * length as f32;
        let decay = (-(length as f32) / LEVEL_HALF_LIFE_SECONDS).exp2();
        self.level_observed = self.level_observed * decay + events;
        self.level_expected = self.level_expected * decay + expected;
        self.seasons.learn(start, length, events, shape);
    }
}

fn seconds(time: EventTime) -> i64 {
    time.as_micros().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY: i64 = 1_767_571_200;

    fn steady(events_per_minute: i64, minutes: i64) -> RateProfile {
        let mut rate = RateProfile::new(EventTime::from_seconds(MONDAY));
        for minute in 0..minutes {
            for event in 0..events_per_minute {
                rate.count(
                    EventTime::from_seconds(MONDAY + minute * 60 + event * 60 / events_per_minute),
                    &Shape::FLAT,
                );
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
        let before = rate.forecast(4).mean;
        rate.count(EventTime::from_seconds(MONDAY + 600 * 60 + 4 * DAY), &Shape::FLAT);
        assert!(rate.forecast(4).mean < before / 2.0);
    }

    #[test]
    fn excluded_windows_teach_nothing() {
        let mut rate = steady(30, 600);
        let before = rate.forecast(2).mean;
        for event in 0..6_000 {
            rate.count(EventTime::from_seconds(MONDAY + 600 * 60 + event / 100), &Shape::FLAT);
            rate.exclude_current();
        }
        rate.count(EventTime::from_seconds(MONDAY + 601 * 60), &Shape::FLAT);
        assert!((rate.forecast(2).mean / before - 1.0).abs() < 0.05);
    }

    #[test]
    fn bursts_that_recur_widen_the_forecast() {
        let mut rate = RateProfile::new(EventTime::from_seconds(MONDAY));
        for burst in 0..500 {
            for event in 0..100 {
                rate.count(
                    EventTime::from_seconds(MONDAY + burst * 600 + event / 50),
                    &Shape::FLAT,
                );
            }
        }
        let forecast = rate.forecast(1);
        let deviation = (forecast.mean + forecast.mean.powi(2) / forecast.size).sqrt();
        assert!(deviation > 5.0 * forecast.mean, "{forecast:?}");
    }

    #[test]
    fn a_slow_ramp_does_not_teach_the_hours_that_it_is_ordinary() {
        let hours = [
            65, 50, 52, 59, 73, 59, 133, 171, 171, 196, 235, 242, 238, 211, 244, 217, 218, 209,
            198, 174, 188, 135, 105, 72,
        ];
        let ramp = [246, 711, 1_190, 1_730, 2_223, 2_689];
        let mut rate = RateProfile::new(EventTime::from_seconds(MONDAY));
        let counts = hours.iter().chain(&hours).chain(&hours[..2]).chain(&ramp);
        let mut expected_at_start = 0.0;
        for (hour, count) in counts.enumerate() {
            for event in 0..*count {
                let second = MONDAY + hour as i64 * HOUR + event * HOUR / count;
                rate.count(EventTime::from_seconds(second), &Shape::FLAT);
            }
            let forecast = rate.forecast(HOUR_WINDOW);
            if hour == 50 {
                expected_at_start = forecast.mean;
            }
        }
        assert!(rate.forecast(HOUR_WINDOW).mean < 3.0 * expected_at_start);
    }
}
