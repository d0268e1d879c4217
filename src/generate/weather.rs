//! Models events that affect the whole fleet at once: an outage of the API with the surge of
//! returning clients, and a day of higher demand.

use rand::RngExt;

use super::random::Random;
use super::window::Window;
use crate::event::EventTime;

const SURGE_FACTOR: f64 = 4.0;
const SURGE_DECAY_SECONDS: f64 = 60.0;
/// After this long the surge is over, to a tenth of a percent.
const SURGE_SECONDS: f64 = 500.0;
const MARKETING_FACTOR: f64 = 2.2;
const SHARE_FAILING_IN_OUTAGE: f64 = 0.95;

/// Disturbances of the log itself.
#[derive(Clone, Debug, Default)]
pub(super) struct LogWeather {
    /// No record is written in this window.
    pub outage: Option<Window>,
    /// Some nodes deliver the records of this window all at once, at this time.
    pub late_batch: Option<(Window, EventTime)>,
    /// The records of this window are delivered again, from this time on.
    pub repeated_file: Option<(Window, EventTime)>,
}

impl LogWeather {
    pub fn is_lost(&self, time: EventTime) -> bool {
        self.outage.is_some_and(|outage| outage.contains(time))
    }

    /// The arrival time of a late record of `time`.
    pub fn late_arrival(&self, time: EventTime) -> Option<EventTime> {
        self.late_batch.filter(|(window, _)| window.contains(time)).map(|(_, at)| at)
    }

    /// The second arrival time of a record of `time`, at the pace at which the file is read.
    pub fn second_arrival(&self, time: EventTime) -> Option<EventTime> {
        let (window, at) = self.repeated_file.filter(|(window, _)| window.contains(time))?;
        Some(at.plus_seconds(time.seconds_since(window.start) / 20.0))
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Weather {
    pub outage: Option<Window>,
    pub marketing: Option<Window>,
}

impl Weather {
    /// The factor of every key's rate at `time`.
    pub fn factor(&self, time: EventTime) -> f64 {
        self.surge_factor(time) * self.marketing_factor(time)
    }

    /// An upper bound of `factor` within `seconds` after `time`.
    pub fn bound(&self, time: EventTime, seconds: f64) -> f64 {
        let near = |window: &Window, tail: f64| {
            window.start <= time.plus_seconds(seconds) && time < window.end.plus_seconds(tail)
        };
        let surge = self.outage.is_some_and(|outage| near(&outage, SURGE_SECONDS));
        let marketing = self.marketing.is_some_and(|day| near(&day, 0.0));
        (if surge { 1.0 + SURGE_FACTOR } else { 1.0 })
            * (if marketing { MARKETING_FACTOR } else { 1.0 })
    }

    pub fn is_outage(&self, time: EventTime) -> bool {
        self.outage.is_some_and(|outage| outage.contains(time))
    }

    /// 503 or 504 while the API is down.
    pub fn status(&self, time: EventTime, random: &mut Random) -> Option<u16> {
        if !self.is_outage(time) {
            return None;
        }
        let draw = random.random::<f64>();
        (draw < SHARE_FAILING_IN_OUTAGE).then_some(if draw < 0.7 { 503 } else { 504 })
    }

    fn surge_factor(&self, time: EventTime) -> f64 {
        let Some(outage) = self.outage else { return 1.0 };
        let after = time.seconds_since(outage.end);
        if (0.0..SURGE_SECONDS).contains(&after) {
            1.0 + SURGE_FACTOR * (-after / SURGE_DECAY_SECONDS).exp()
        } else {
            1.0
        }
    }

    /// Rises over the first fifth of the window and falls over the last.
    fn marketing_factor(&self, time: EventTime) -> f64 {
        let Some(day) = self.marketing.filter(|day| day.contains(time)) else { return 1.0 };
        let share = day.share(time);
        let height = (share.min(1.0 - share) * 5.0).min(1.0);
        1.0 + (MARKETING_FACTOR - 1.0) * height
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_never_exceeded_and_calm_is_one() {
        let weather = Weather {
            outage: Some(Window::starting(EventTime::from_seconds(1_000), 200.0)),
            marketing: Some(Window::starting(EventTime::from_seconds(3_000), 4_000.0)),
        };
        assert_eq!(weather.factor(EventTime::from_seconds(500)), 1.0);
        assert!(weather.factor(EventTime::from_seconds(1_201)) > 4.0);
        assert!((weather.factor(EventTime::from_seconds(5_000)) - 2.2).abs() < 1e-9);
        for second in 0..8_000 {
            let time = EventTime::from_seconds(second);
            for ahead in [0.0, 150.0, 300.0] {
                let later = time.plus_seconds(ahead);
                assert!(weather.factor(later) <= weather.bound(time, 300.0) + 1e-9, "{second}");
            }
        }
    }
}
