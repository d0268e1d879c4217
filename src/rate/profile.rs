//! Models the request rate of a key by seasonal Gamma-Poisson counts at several window lengths.
//!
//! The expected rate is a Gamma posterior for each hour of the week ([`super::season`]), times a
//! level that follows the last hour. Counts vary more than a Poisson distribution. Each window
//! length therefore learns its own index of dispersion (variance over mean), so the bursts of a
//! cron job are ordinary for its key. The predictive distribution of a window's count is negative
//! binomial (Gelman et al., Bayesian Data Analysis, 3rd ed., 2.6).

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::event::EventTime;

use super::burst::{BurstForecast, Bursts};
use super::habit::{Habits, height_of};
use super::ramp::Ramp;
use super::season::{Seasons, Shape, season_of};
use super::sliding::{Moments, Sliding};
use super::{DAY, HOUR};

/// Window lengths in seconds, shortest first.
pub const WINDOW_SECONDS: [i64; 5] = [1, 10, 60, 600, 3_600];
pub const WINDOWS: usize = WINDOW_SECONDS.len();

/// The window from which the seasons learn when it closes.
const SEASON_WINDOW: usize = 2;
/// The window that is added to the cumulative sum when it closes.
const SUM_WINDOW: usize = 3;
/// The window of an hour. Its expectation is that of the season without the level, because the
/// level would follow a slow ramp.
pub const HOUR_WINDOW: usize = 4;
/// Index of the window of a minute.
pub const MINUTE_WINDOW: usize = 2;

/// Order in which windows close. The minute is first, because the expectations of the others depend
/// on the seasons and the level, which learn from it.
const CLOSING_ORDER: [usize; WINDOWS] = [SEASON_WINDOW, SUM_WINDOW, HOUR_WINDOW, 1, 0];

/// With less history than this, hours are not winsorized, and open windows adopt new expectations.
const YOUNG_HOURS: f32 = 1.0;
/// History of a key before the population learns from its hours.
const SETTLED_HOURS: f32 = 24.0;
/// Half-life of the level.
const LEVEL_HALF_LIFE_SECONDS: f32 = 3_600.0;
/// Pseudo-count that keeps the level of rarely used keys near 1.
const LEVEL_PRIOR_EVENTS: f32 = 20.0;
/// Half-life of the index of dispersion.
const DISPERSION_HALF_LIFE_SECONDS: f32 = 3.0 * DAY as f32;
/// Prior index of dispersion. It is large, because people and jobs send requests in bursts.
const PRIOR_DISPERSION: f32 = 20.0;
/// Weight of [`PRIOR_DISPERSION`], in events.
const PRIOR_EVENTS: f32 = 50.0;
/// Prior index of dispersion of whole hours.
const PRIOR_NOISE: f32 = 4.0;
/// Weight of [`PRIOR_NOISE`], in hours.
const PRIOR_NOISE_HOURS: f32 = 12.0;
const HOURS_A_WEEK: f64 = 168.0;
/// A silence of fewer minutes leaves no backlog.
const BACKLOG_MINUTES: i64 = 10;
/// Half-life of a backlog, in minutes.
const BACKLOG_HALF_LIFE: f32 = 10.0;
/// Longest silence whose empty windows are learned.
const MAX_SILENCE: i64 = 14 * DAY;

/// Hours are winsorized at this many standard deviations above their mean, so that somebody who
/// raises a rate in steps cannot teach the profile that such steps are ordinary. Shorter windows
/// are not winsorized, because they must learn the size of bursts.
const WINSORIZED_AT: f64 = 3.0;

/// The current tumbling window of one length, and the distribution of earlier counts.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Window {
    index: i64,
    count: u32,
    /// The height at which an alert last reported the window, or 0. A reported window is not
    /// learned.
    told: u8,
    /// Decayed sum of squared errors over closed windows. Divided by `mean`, it is the index of
    /// dispersion.
    squared_error: f32,
    /// Decayed sum of means over closed windows.
    mean: f32,
    bursts: Bursts,
    /// Highest count of a closed window, decayed.
    peak: f32,
    /// Expected events per second, as of the opening of the window: events in the window must not
    /// raise its own expectation.
    rate: f32,
}

impl Window {
    fn dispersion(&self) -> f64 {
        let prior = PRIOR_DISPERSION * PRIOR_EVENTS;
        f64::from((self.squared_error + prior) / (self.mean + PRIOR_EVENTS)).max(1.1)
    }
}

/// The events of an hour that has ended, relative to the key's mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HourShare {
    /// Season of the hour: see [`super::season::season_of`].
    pub season: usize,
    /// Events of the hour, as a multiple of the key's mean hour.
    pub share: f32,
}

/// Predictive distribution of a window's count: negative binomial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Events in the whole window.
    pub mean: f64,
    /// Size parameter of the negative binomial: variance = mean + mean^2 / size.
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
    /// Deviations of hours from their season, in standard deviations of a Poisson count.
    hours: Sliding,
    /// Index of dispersion of whole hours around their season, over the last week.
    noise: f32,
    habits: Habits,
    /// Requests that were expected in the last silence, decayed since.
    owed: f32,
}

/// Minutes since the epoch.
fn minute_of(time: EventTime) -> i32 {
    i32::try_from(seconds(time).div_euclid(60)).unwrap_or(i32::MAX)
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
            hours: Sliding::default(),
            noise: PRIOR_NOISE,
            habits: Habits::default(),
            owed: 0.0,
        }
    }

    /// Counts one event and closes the windows that ended before it. Windows ignore events that are
    /// too late for them, because a backlog is not a spike.
    ///
    /// `shape` is the population's relative rate at each hour. Returns the hour that ended, if one
    /// did and the population should learn from it.
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
        let is_ordinary = overall.hours >= SETTLED_HOURS && window.told == 0;
        is_ordinary.then(|| HourShare {
            season: season_of(window.index * HOUR),
            share: window.count as f32 * overall.hours / overall.events.max(1.0),
        })
    }

    /// Excludes the current windows from learning, because an alert reports them. `is_tainted` says
    /// that there is other evidence of theft. Then such a burst never becomes ordinary.
    pub fn exclude_current(&mut self, is_tainted: bool) {
        for window in &mut self.windows {
            window.told = height_of(window.count.max(1));
        }
        let counts = self.windows.map(|window| window.count);
        self.habits.tell(self.minute(), counts, is_tainted);
    }

    fn minute(&self) -> i32 {
        i32::try_from(self.windows[SEASON_WINDOW].index).unwrap_or(i32::MAX)
    }

    /// Whether the current window has more events than when an alert last reported it. Without this
    /// condition, a long window would be reported long after its burst has ended.
    pub fn is_news(&self, which: usize) -> bool {
        let Window { told, count, .. } = self.windows[which];
        told == 0 || height_of(count) > told
    }

    /// Number of times that a burst like that of the current window was reported.
    pub fn familiarity(&self, which: usize) -> u8 {
        self.habits.familiarity(which, self.windows[which].count)
    }

    /// Usual rate of the busier of the two adjacent hours, as a multiple of the current hour's. It
    /// is at least 1.
    pub fn nearby_factor(&self, which: usize) -> f64 {
        f64::from(self.seasons.nearby_factor(self.window_start(which), &Shape::FLAT))
    }

    /// Hours of history of the season of the current window.
    pub fn known_hours(&self, which: usize) -> f64 {
        f64::from(self.seasons.known(self.window_start(which)).hours)
    }

    /// Hours of history, decayed.
    pub fn history_hours(&self) -> f64 {
        f64::from(self.seasons.overall.hours)
    }

    /// Forgets the bursts that were reported since `since`: they were a thief's.
    pub fn forget_habits_since(&mut self, since: EventTime) {
        self.habits.forget_since(minute_of(since));
    }

    /// Makes the bursts ordinary that were reported in `span`.
    pub fn take_up_habits(&mut self, span: &RangeInclusive<EventTime>) {
        self.habits.take_up(&(minute_of(*span.start())..=minute_of(*span.end())), self.minute());
    }

    /// Events of a usual day; 0 while no hour is known.
    pub fn per_day(&self) -> f64 {
        let overall = self.seasons.overall;
        if overall.hours > 0.0 { 24.0 * f64::from(overall.events / overall.hours) } else { 0.0 }
    }

    /// How busy the current hour of the week is, as a multiple of the key's mean hour. Near 1
    /// as long as little is known of it.
    pub fn hour_level(&self) -> f64 {
        let overall = self.seasons.overall;
        let mean = f64::from(overall.events / overall.hours.max(f32::MIN_POSITIVE));
        f64::from(self.windows[HOUR_WINDOW].rate) * HOUR as f64 / mean.max(1e-9)
    }

    /// Events in the current window of this length.
    pub fn current_count(&self, which: usize) -> u64 {
        u64::from(self.windows[which].count)
    }

    /// The highest count of a closed window of this length, decayed.
    pub fn peak(&self, which: usize) -> f64 {
        f64::from(self.windows[which].peak)
    }

    /// The count in the current window of this length, as a multiple of the highest of a closed one
    /// or of what is expected, whichever is more.
    pub fn height(&self, which: usize) -> f64 {
        let usual = self.peak(which).max(self.forecast(which).mean).max(1.0);
        self.current_count(which) as f64 / usual
    }

    /// Requests that the key could not send while it was cut off: at most what was expected in its
    /// last silence.
    pub fn owed(&self) -> f64 {
        f64::from(self.owed)
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
        // Three sources of variance beyond Poisson: dispersion within the season, uncertainty of
        // the overall rate, and uncertainty of a season with little history.
        let rate_uncertainty = dispersion / f64::from(self.seasons.overall.events).max(0.5);
        let known = self.seasons.known(self.window_start(which));
        let inverse_size = (dispersion - 1.0) / mean
            + rate_uncertainty
            + f64::from(self.uncertainty(known.hours, window.rate));
        Forecast { mean, size: 1.0 / inverse_size }
    }

    /// Squared relative error of a season's mean. `rate` is in events per second.
    fn uncertainty(&self, known_hours: f32, rate: f32) -> f32 {
        let within = self.noise / (rate * HOUR as f32).max(0.5);
        self.seasons.uncertainty(known_hours, within)
    }

    /// Distribution of burst sizes in the current window of this length, if the expected rate is
    /// `surge` times the usual. `None` for the hour, which is too long for single bursts.
    pub fn burst_forecast(&self, which: usize, surge: f64) -> Option<BurstForecast> {
        let window = &self.windows[which];
        let expected = f64::from(window.rate) * WINDOW_SECONDS[which] as f64 * surge;
        window.bursts.forecast(expected).filter(|_| which != HOUR_WINDOW)
    }

    /// Rate of the last hour, as a multiple of the seasonal rate.
    fn level(&self) -> f32 {
        (self.level_observed + LEVEL_PRIOR_EVENTS) / (self.level_expected + LEVEL_PRIOR_EVENTS)
    }

    fn close(&mut self, which: usize, next_index: i64, shape: &Shape) {
        let window = self.windows[which];
        let length = WINDOW_SECONDS[which];
        let silence = (MAX_SILENCE / length).min(next_index - window.index - 1);
        if window.told == 0 {
            let count = window.count as f32;
            if which == HOUR_WINDOW {
                let credible = self.credible_hour();
                self.seasons.unlearn(window.index * length, count - credible);
                self.learn_dispersion(which, credible, silence);
                self.learn_noise(credible);
            } else {
                self.learn_dispersion(which, count, silence);
            }
            if which == SUM_WINDOW {
                self.add_to_ramp(window.index * length, count, silence);
            }
            if which == SEASON_WINDOW {
                self.learn_seasons(window.index * length, count, silence, shape);
            }
        }
        if which == HOUR_WINDOW {
            self.seasons.measure_spread();
        }
        if which == SEASON_WINDOW {
            let minute = self.minute();
            self.habits.see(which, window.count, minute);
            self.habits.close_before(i32::try_from(next_index).unwrap_or(i32::MAX));
        }
        self.expect(which, next_index, shape);
        let window = &mut self.windows[which];
        window.index = next_index;
        window.count = 0;
        window.told = 0;
    }

    /// The count of the closing hour, winsorized.
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
        let rate = self.windows[HOUR_WINDOW].rate;
        let mean = rate * WINDOW_SECONDS[SUM_WINDOW] as f32;
        let known = self.ramp.known;
        let noise = self.noise;
        let uncertainty = self.uncertainty(known.hours, rate) + noise / (known.events + 1.0);
        let variance = noise + rate * HOUR as f32 * uncertainty;
        self.ramp.add(start, count, mean, variance);
        if silence > 0 {
            self.ramp.add(start + WINDOW_SECONDS[SUM_WINDOW], 0.0, mean * silence as f32, variance);
        }
    }

    /// Learns the dispersion of hours around their season, from an hour with `count` events.
    fn learn_noise(&mut self, count: f32) {
        let window = self.windows[HOUR_WINDOW];
        let mean = window.rate * HOUR as f32;
        if self.ramp.known.hours >= 1.0 {
            let position = window.index as f64 / HOURS_A_WEEK;
            self.hours.add(position, (count - mean) / mean.max(0.5).sqrt(), 1.0);
            self.noise = shrunk_noise(self.hours.at(position));
        }
    }

    /// Records that an alert reported the current rise.
    pub fn tell_ramp(&mut self, is_steep: bool) {
        self.ramp.is_told = true;
        self.ramp.is_steep_told |= is_steep;
    }

    /// Evidence of a lasting rise.
    pub fn ramp(&self) -> &Ramp {
        &self.ramp
    }

    /// Sets the expectation of window `index` from the history before it.
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
        // The error of an empty window is its mean.
        let silent_error = silence as f32 * mean * mean;
        window.squared_error = window.squared_error * decay + (count - mean).powi(2) + silent_error;
        window.mean = window.mean * decay + mean * (silence + 1) as f32;
        window.peak = (window.peak * decay).max(count);
        if count > 0.0 {
            window.bursts.learn(count, mean, decay);
        }
    }

    /// Learns the window that began at `start`, and the `silence` empty windows after it.
    fn learn_seasons(&mut self, start: i64, count: f32, silence: i64, shape: &Shape) {
        let length = WINDOW_SECONDS[SEASON_WINDOW];
        let is_first = self.seasons.overall.hours < YOUNG_HOURS;
        self.learn_interval(start, length, count, shape);
        if is_first {
            // The open windows have expectations from before there was any history.
            for which in CLOSING_ORDER {
                self.expect(which, self.windows[which].index, shape);
            }
        }
        let end = start + length * (silence + 1);
        let mut from = start + length;
        let mut missed = 0.0;
        while from < end {
            let to = end.min((from.div_euclid(HOUR) + 1) * HOUR);
            missed += self.learn_interval(from, to - from, 0.0, shape);
            from = to;
        }
        self.owe(missed, silence);
    }

    /// Notes that `missed` requests were expected in the `minutes` of silence that end now.
    fn owe(&mut self, missed: f32, minutes: i64) {
        let kept = self.owed * (-((minutes + 1) as f32) / BACKLOG_HALF_LIFE).exp2();
        let a_day = (self.per_day() as f32).max(0.0);
        let owed = if minutes < BACKLOG_MINUTES { 0.0 } else { missed.min(a_day) };
        self.owed = kept.max(owed);
    }

    /// Learns `events` in an interval, which must lie within one hour. Returns how many were
    /// expected.
    fn learn_interval(&mut self, start: i64, length: i64, events: f32, shape: &Shape) -> f32 {
        let expected = self.seasons.rate(start, shape) as f32 * length as f32;
        let decay = (-(length as f32) / LEVEL_HALF_LIFE_SECONDS).exp2();
        self.level_observed = self.level_observed * decay + events;
        self.level_expected = self.level_expected * decay + expected;
        self.seasons.learn(start, length, events, shape);
        expected
    }
}

/// Index of dispersion of hours with these deviations, shrunk towards [`PRIOR_NOISE`].
fn shrunk_noise(errors: Moments) -> f32 {
    let squares = errors.size().powi(2) * errors.count + PRIOR_NOISE * PRIOR_NOISE_HOURS;
    (squares / (errors.count + PRIOR_NOISE_HOURS)).max(1.0)
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
    fn the_forecast_of_a_steady_key_is_its_rate() {
        let rate = steady(30, 600);
        for (which, length) in WINDOW_SECONDS.iter().enumerate() {
            let expected = 0.5 * *length as f64;
            let mean = rate.forecast(which).mean;
            assert!((mean / expected - 1.0).abs() < 0.15, "{length} s: {mean} for {expected}");
        }
    }

    #[test]
    fn silence_lowers_the_forecast() {
        let mut rate = steady(30, 600);
        let before = rate.forecast(4).mean;
        rate.count(EventTime::from_seconds(MONDAY + 600 * 60 + 4 * DAY), &Shape::FLAT);
        assert!(rate.forecast(4).mean < before / 2.0);
    }

    #[test]
    fn a_silence_leaves_what_was_expected_in_it_for_a_while() {
        let mut rate = steady(30, 600);
        assert_eq!(rate.owed(), 0.0);
        let after = MONDAY + 600 * 60 + 2 * HOUR;
        rate.count(EventTime::from_seconds(after), &Shape::FLAT);
        let owed = rate.owed();
        assert!((2_000.0..4_000.0).contains(&owed), "{owed}");
        for minute in 1..=60 {
            rate.count(EventTime::from_seconds(after + minute * 60), &Shape::FLAT);
        }
        assert!(rate.owed() < owed / 50.0, "{}", rate.owed());
    }

    #[test]
    fn excluded_windows_teach_nothing() {
        let mut rate = steady(30, 600);
        let before = rate.forecast(2).mean;
        for event in 0..6_000 {
            rate.count(EventTime::from_seconds(MONDAY + 600 * 60 + event / 100), &Shape::FLAT);
            rate.exclude_current(false);
        }
        rate.count(EventTime::from_seconds(MONDAY + 601 * 60), &Shape::FLAT);
        assert!((rate.forecast(2).mean / before - 1.0).abs() < 0.05);
    }

    #[test]
    fn recurring_bursts_widen_the_forecast() {
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
    fn a_slow_ramp_hardly_raises_the_forecast_of_the_hour() {
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
