//! Varies a key's rate by the hour of the week.

use crate::event::EventTime;

const HOUR: f64 = 3_600.0;

/// Requests by hour of the local day, in arbitrary units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    /// Machines that serve people everywhere: little change.
    Flat,
    /// A service whose users sleep at night.
    Daytime,
    /// People at work, who are seldom active at weekends.
    Office,
    /// People with a telephone: mornings and evenings, also at weekends.
    Waking,
}

const FLAT: [f64; 24] = [1.0; 24];
const DAYTIME: [f64; 24] = [
    0.45, 0.38, 0.34, 0.33, 0.36, 0.45, 0.60, 0.80, 1.00, 1.20, 1.32, 1.38, 1.36, 1.38, 1.40, 1.38,
    1.32, 1.25, 1.20, 1.15, 1.05, 0.90, 0.72, 0.57,
];
const OFFICE: [f64; 24] = [
    0.01, 0.01, 0.01, 0.01, 0.01, 0.02, 0.08, 0.45, 1.40, 2.30, 2.60, 2.40, 1.70, 2.10, 2.50, 2.40,
    2.10, 1.40, 0.60, 0.25, 0.12, 0.06, 0.03, 0.01,
];
const WAKING: [f64; 24] = [
    0.15, 0.08, 0.05, 0.04, 0.06, 0.20, 0.70, 1.30, 1.40, 1.10, 1.00, 1.05, 1.30, 1.20, 1.05, 1.05,
    1.15, 1.40, 1.60, 1.75, 1.80, 1.60, 1.00, 0.45,
];

impl Curve {
    const fn day(self) -> &'static [f64; 24] {
        match self {
            Self::Flat => &FLAT,
            Self::Daytime => &DAYTIME,
            Self::Office => &OFFICE,
            Self::Waking => &WAKING,
        }
    }

    /// The seven days of the week, Monday first.
    const fn week(self) -> &'static [f64; 7] {
        match self {
            Self::Flat => &[1.0; 7],
            Self::Daytime => &[1.05, 1.08, 1.08, 1.06, 1.03, 0.85, 0.85],
            Self::Office => &[1.0, 1.05, 1.05, 1.0, 0.85, 0.04, 0.03],
            Self::Waking => &[0.95, 0.95, 0.95, 1.0, 1.05, 1.1, 1.0],
        }
    }
}

/// A curve in a time zone, scaled so that its mean over a week is 1.
#[derive(Clone, Debug)]
pub(super) struct Season {
    curve: Curve,
    utc_offset_seconds: f64,
    /// From this time on, the local clock is off by this many seconds more.
    shift: Option<(EventTime, f64)>,
    scale: f64,
}

impl Season {
    pub fn new(curve: Curve, utc_offset_minutes: i32) -> Self {
        let total: f64 = (0..168).map(|hour| hourly(curve, hour)).sum();
        Self {
            curve,
            utc_offset_seconds: f64::from(utc_offset_minutes) * 60.0,
            shift: None,
            scale: 168.0 / total,
        }
    }

    /// Shifts the local clock at `at`. The shift is a whole number of hours, so bounds hold except
    /// in the hour of the change, when offices are closed.
    pub fn shift(&mut self, at: EventTime, seconds: f64) {
        self.shift = Some((at, seconds));
    }

    /// The rate at `time` relative to the week's mean, interpolated between hours.
    pub fn factor(&self, time: EventTime) -> f64 {
        let hours = self.local_hours(time);
        let hour = hours.floor();
        let (now, next) = (self.value(hour as i64), self.value(hour as i64 + 1));
        self.scale * (now + (next - now) * (hours - hour))
    }

    /// An upper bound of `factor` within the hour after `time`.
    pub fn bound(&self, time: EventTime) -> f64 {
        let hour = self.local_hours(time).floor() as i64;
        self.scale * self.value(hour).max(self.value(hour + 1)).max(self.value(hour + 2))
    }

    /// Hours since Monday, 29 December 1969, local time.
    fn local_hours(&self, time: EventTime) -> f64 {
        let shift = self.shift.filter(|(at, _)| *at <= time).map_or(0.0, |(_, seconds)| seconds);
        (time.as_seconds() + self.utc_offset_seconds + shift) / HOUR + 72.0
    }

    fn value(&self, hour: i64) -> f64 {
        hourly(self.curve, hour)
    }
}

fn hourly(curve: Curve, hour: i64) -> f64 {
    let day = hour.div_euclid(24).rem_euclid(7) as usize;
    curve.day()[hour.rem_euclid(24) as usize] * curve.week()[day]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> EventTime {
        let time: jiff::Timestamp = text.parse().unwrap_or_default();
        EventTime::from_micros(time.as_microsecond())
    }

    #[test]
    fn the_office_works_on_weekdays_in_its_own_time_zone() {
        let tokyo = Season::new(Curve::Office, 540);
        let monday_ten = at("2026-01-05T01:00:00Z");
        let sunday_ten = at("2026-01-04T01:00:00Z");
        let monday_night = at("2026-01-05T18:00:00Z");
        assert!(tokyo.factor(monday_ten) > 3.0);
        assert!(tokyo.factor(sunday_ten) < 0.2);
        assert!(tokyo.factor(monday_night) < 0.1);
    }

    #[test]
    fn the_mean_over_a_week_is_one_and_the_bound_holds() {
        let start = at("2026-01-05T00:00:00Z");
        for curve in [Curve::Flat, Curve::Daytime, Curve::Office, Curve::Waking] {
            let season = Season::new(curve, -300);
            let minutes = 7 * 24 * 60;
            let mut total = 0.0;
            for minute in 0..minutes {
                let time = start.plus_seconds(f64::from(minute) * 60.0);
                total += season.factor(time);
                for ahead in [0.0, 1_800.0, 3_599.0] {
                    assert!(season.factor(time.plus_seconds(ahead)) <= season.bound(time) + 1e-9);
                }
            }
            assert!((total / f64::from(minutes) - 1.0).abs() < 1e-3, "{curve:?}");
        }
    }
}
