//! Schedules the requests of a key: bursts that start at random with the seasons, or by the clock.
//! A burst of one is a plain request.

use rand::RngExt;

use super::calendar::Calendar;
use super::random::{Random, exponential, log_normal, normal};
use super::season::Season;
use super::weather::Weather;
use crate::event::EventTime;

/// Rates are bounded over this much time at once. It may not exceed the hour that `Season::bound`
/// covers.
const HORIZON_SECONDS: f64 = 300.0;
const WEEK_SECONDS: f64 = 7.0 * 86_400.0;

#[derive(Clone, Debug)]
pub(super) enum Starts {
    /// An inhomogeneous Poisson process; `per_second` is its mean over a week.
    Seasonal { per_second: f64, season: Season },
    /// A fixed interval in seconds, a little late each time (cron).
    Periodic { every: f64, phase: f64, lateness: f64 },
    /// A time of day on some days.
    Calendar(Calendar),
}

/// Log-normal number of requests, log-normal gaps between them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burst {
    pub median_size: f64,
    pub sigma: f64,
    pub median_gap_seconds: f64,
}

impl Burst {
    pub const ONE: Self = Self { median_size: 1.0, sigma: 0.0, median_gap_seconds: 0.0 };

    const fn is_one(&self) -> bool {
        self.sigma == 0.0 && self.median_size <= 1.0
    }

    fn mean_size(&self) -> f64 {
        self.median_size * (self.sigma * self.sigma / 2.0).exp()
    }

    fn size(&self, factor: f64, random: &mut Random) -> u32 {
        if self.is_one() {
            return 1;
        }
        (log_normal(random, self.median_size, self.sigma) * factor).round().clamp(1.0, 1e5) as u32
    }
}

#[derive(Clone, Debug)]
pub(super) struct Rhythm {
    starts: Starts,
    burst: Burst,
    next_start: EventTime,
    left_in_burst: u32,
}

impl Rhythm {
    pub fn new(starts: Starts, burst: Burst) -> Self {
        Self { starts, burst, next_start: EventTime::default(), left_in_burst: 0 }
    }

    /// Mean number of requests a second over a week.
    pub fn mean_per_second(&self) -> f64 {
        let starts = match &self.starts {
            Starts::Seasonal { per_second, .. } => *per_second,
            Starts::Periodic { every, .. } => 1.0 / every,
            Starts::Calendar(calendar) => calendar.per_week() / WEEK_SECONDS,
        };
        starts * self.burst.mean_size()
    }

    /// Shifts the local clock, as a change of daylight saving time does.
    pub fn shift_hour(&mut self, at: EventTime, seconds: f64) {
        if let Starts::Seasonal { season, .. } = &mut self.starts {
            season.shift(at, seconds);
        }
    }

    /// Changes how often bursts start. For a clock, it changes how large they are.
    pub fn scale(&mut self, factor: f64) {
        match &mut self.starts {
            Starts::Seasonal { per_second, .. } => *per_second *= factor,
            Starts::Periodic { .. } | Starts::Calendar(_) => {
                self.burst.median_size = (self.burst.median_size * factor).max(1.0);
            }
        }
    }

    /// Scales so that the mean rate lies between `low` and `high` requests a second.
    pub fn clamp(&mut self, low: f64, high: f64) {
        let mean = self.mean_per_second();
        self.scale(mean.clamp(low, high) / mean);
    }

    /// The first request at or after `from`; `None` if there is none before `until`.
    pub fn first(
        &mut self,
        from: EventTime,
        until: EventTime,
        weather: &Weather,
        random: &mut Random,
    ) -> Option<EventTime> {
        self.next_start = self.start_after(from, until, weather, random)?;
        self.start_burst(from, until, weather, random)
    }

    /// The request after the one at `last`; `None` if there is none before `until`.
    pub fn next(
        &mut self,
        last: EventTime,
        until: EventTime,
        weather: &Weather,
        random: &mut Random,
    ) -> Option<EventTime> {
        if self.left_in_burst == 0 {
            return self.start_burst(last, until, weather, random);
        }
        self.left_in_burst -= 1;
        let gap = log_normal(random, self.burst.median_gap_seconds, 0.8).max(1e-5);
        Some(last.plus_seconds(gap)).filter(|time| *time < until)
    }

    /// Enters the burst at `next_start`, or at once if the previous burst outlasted that time.
    /// Bursts that would have started meanwhile are dropped, since a busy client does not catch up
    /// at night.
    fn start_burst(
        &mut self,
        last: EventTime,
        until: EventTime,
        weather: &Weather,
        random: &mut Random,
    ) -> Option<EventTime> {
        let start = self.next_start.max(last.plus_seconds(1e-5));
        if start >= until {
            return None;
        }
        let factor = match self.starts {
            Starts::Seasonal { .. } => 1.0,
            Starts::Periodic { .. } | Starts::Calendar(_) => weather.factor(start),
        };
        self.left_in_burst = self.burst.size(factor, random) - 1;
        self.next_start = self.start_after(start, until, weather, random).unwrap_or(until);
        Some(start)
    }

    fn start_after(
        &self,
        time: EventTime,
        until: EventTime,
        weather: &Weather,
        random: &mut Random,
    ) -> Option<EventTime> {
        match &self.starts {
            Starts::Seasonal { per_second, season } => {
                seasonal_start(*per_second, season, weather, time, until, random)
            }
            Starts::Calendar(calendar) => {
                let due = calendar.next(time)?;
                Some(due.plus_seconds(late(calendar.lateness, random)))
            }
            Starts::Periodic { every, phase, lateness } => {
                // Without the lateness a rounded-down time could find its own tick again.
                let tick = ((time.as_seconds() - phase + lateness) / every).floor() + 1.0;
                let micros = (tick * every + phase + late(*lateness, random)) * 1e6;
                Some(EventTime::from_micros(micros as i64))
            }
        }
    }
}

/// A random delay in seconds, at most `lateness`.
fn late(lateness: f64, random: &mut Random) -> f64 {
    normal(random, lateness / 3.0).abs().min(lateness * 0.99)
}

/// The next point of an inhomogeneous Poisson process, by thinning (Lewis and Shedler, 1979) under
/// a bound that is renewed after every horizon.
fn seasonal_start(
    per_second: f64,
    season: &Season,
    weather: &Weather,
    after: EventTime,
    until: EventTime,
    random: &mut Random,
) -> Option<EventTime> {
    let mut time = after;
    while time < until {
        let bound = per_second * season.bound(time) * weather.bound(time, HORIZON_SECONDS);
        let gap = exponential(random, 1.0 / bound);
        if gap > HORIZON_SECONDS {
            time = time.plus_seconds(HORIZON_SECONDS);
            continue;
        }
        time = time.plus_seconds(gap);
        let rate = per_second * season.factor(time) * weather.factor(time);
        if random.random::<f64>() * bound < rate {
            return Some(time).filter(|time| *time < until);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::random::stream;
    use super::super::season::Curve;
    use super::*;

    const WEEK: f64 = 7.0 * 86_400.0;

    fn times(mut rhythm: Rhythm, seconds: f64) -> Vec<EventTime> {
        let (start, weather, mut random) =
            (EventTime::from_seconds(1_767_571_200), Weather::default(), stream(3, 0));
        let until = start.plus_seconds(seconds);
        let mut times: Vec<_> =
            rhythm.first(start, until, &weather, &mut random).into_iter().collect();
        while let Some(next) =
            times.last().and_then(|last| rhythm.next(*last, until, &weather, &mut random))
        {
            times.push(next);
        }
        times
    }

    #[test]
    fn the_mean_rate_over_a_week_is_as_promised() {
        let season = Season::new(Curve::Daytime, 60);
        let steady =
            Rhythm::new(Starts::Seasonal { per_second: 0.05, season: season.clone() }, Burst::ONE);
        let bursts = Burst { median_size: 6.0, sigma: 0.8, median_gap_seconds: 0.2 };
        let trader = Rhythm::new(Starts::Seasonal { per_second: 0.01, season }, bursts);
        for (rhythm, tolerance) in [(steady, 0.03), (trader, 0.08)] {
            let expected = rhythm.mean_per_second() * WEEK;
            let count = times(rhythm, WEEK).len() as f64;
            assert!((count / expected - 1.0).abs() < tolerance, "{count} of {expected}");
        }
    }

    #[test]
    fn requests_strictly_follow_one_another() {
        let bursts = Burst { median_size: 20.0, sigma: 1.2, median_gap_seconds: 3.0 };
        let season = Season::new(Curve::Flat, 0);
        let rhythm = Rhythm::new(Starts::Seasonal { per_second: 0.02, season }, bursts);
        let times = times(rhythm, 86_400.0);
        assert!(times.len() > 1_000);
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn cron_bursts_once_a_period() {
        let burst = Burst { median_size: 1.0, sigma: 0.0, median_gap_seconds: 0.0 };
        let starts = Starts::Periodic { every: 300.0, phase: 17.0, lateness: 2.0 };
        let times = times(Rhythm::new(starts, burst), 86_400.0);
        assert_eq!(times.len(), 288);
        for time in times {
            let offset = (time.as_seconds() - 17.0).rem_euclid(300.0);
            assert!(offset < 2.0, "{offset}");
        }
    }
}
