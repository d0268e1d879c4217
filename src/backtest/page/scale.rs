//! From values to places in a plot and to words. Places are percentages across, so that a
//! plot fills whatever width it gets while its text keeps its size.

use jiff::Timestamp;

use crate::event::EventTime;

/// Widest spacing first wins: at most this many labels fit below a plot on a phone.
const MAX_TICKS: i64 = 5;

/// A percentage for SVG and CSS; two decimals are finer than a screen.
pub fn percent(share: f64) -> String {
    format!("{:.2}%", (share * 100.0).clamp(0.0, 100.0))
}

/// A stretch of time, laid out from left to right.
#[derive(Clone, Copy, Debug)]
pub struct TimeAxis {
    from: EventTime,
    seconds: f64,
}

/// A label below the axis: a short one, and the day when it differs from the label before.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    pub at: f64,
    pub text: String,
    pub day: Option<String>,
}

impl TimeAxis {
    pub fn new(from: EventTime, to: EventTime) -> Self {
        Self { from, seconds: to.seconds_since(from).max(1.0) }
    }

    /// Place as a share of the width; outside [0, 1] when it is outside the axis.
    pub fn at(&self, time: EventTime) -> f64 {
        time.seconds_since(self.from) / self.seconds
    }

    pub fn shows(&self, time: EventTime) -> bool {
        (0.0..=1.0).contains(&self.at(time))
    }

    /// Width of so many seconds, as a share.
    pub fn width(&self, seconds: f64) -> f64 {
        seconds / self.seconds
    }

    /// Labels at round times, UTC.
    pub fn ticks(&self) -> Vec<Tick> {
        const STEPS: [i64; 17] = [
            1, 5, 15, 30, 60, 300, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800,
            604_800, 2_592_000, 31_536_000,
        ];
        let longest = STEPS[STEPS.len() - 1];
        let fits = |step: &i64| self.seconds / *step as f64 <= MAX_TICKS as f64;
        let step = STEPS.into_iter().find(fits).unwrap_or(longest);
        let step = step * (self.seconds / (step * MAX_TICKS) as f64).ceil().max(1.0) as i64;
        let first = (self.from.as_seconds() / step as f64).ceil() as i64;
        let mut before = None;
        let tick = |number: i64| {
            let time = EventTime::from_seconds(number.saturating_mul(step));
            let (text, day) = tick_text(time, step);
            let day = (before.as_ref() != Some(&day)).then_some(day);
            before = day.clone().or(before.take());
            Tick { at: self.at(time), text, day }
        };
        let inside = |tick: &Tick| tick.at <= 1.0;
        (first..=first + MAX_TICKS).map(tick).filter(inside).collect()
    }
}

fn tick_text(time: EventTime, step: i64) -> (String, String) {
    let (text, day) = match step {
        0..60 => ("%H:%M:%S", "%-d %b %Y"),
        60..86_400 => ("%H:%M", "%-d %b %Y"),
        _ => ("%-d %b", "%Y"),
    };
    (format_time(time, text), format_time(time, day))
}

fn format_time(time: EventTime, format: &str) -> String {
    match Timestamp::from_microsecond(time.as_micros()) {
        Ok(timestamp) => timestamp.strftime(format).to_string(),
        Err(_) => time.to_string(),
    }
}

/// UTC, to the second.
pub fn time_text(time: EventTime) -> String {
    format_time(time, "%-d %b %Y, %H:%M:%S")
}

/// `3.2 s`, `4 min`, `2.5 h`, `3 days`.
pub fn duration_text(seconds: f64) -> String {
    let unit = |size: f64, name: &str| format!("{} {name}", number(seconds / size));
    match seconds.abs() {
        ..0.05 => "0 s".to_owned(),
        ..120.0 => unit(1.0, "s"),
        ..7_200.0 => unit(60.0, "min"),
        ..172_800.0 => unit(3_600.0, "h"),
        _ => unit(86_400.0, "days"),
    }
}

/// Thousands are separated; small numbers keep about three digits.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        0.01.. => 2,
        0.0 => 0,
        _ => return format!("{value:.1e}"),
    };
    let fixed = format!("{value:.decimals$}");
    let (whole, fraction) = fixed.split_once('.').unwrap_or((&fixed, ""));
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}", separated(whole))
}

pub fn count(value: usize) -> String {
    separated(&value.to_string())
}

/// `1 attack`, `2 attacks`.
pub fn counted(value: usize, what: &str) -> String {
    format!("{} {what}{}", count(value), if value == 1 { "" } else { "s" })
}

fn separated(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    format!("{sign}{}", groups.join(","))
}

/// A share in words of a figure: `94 %`, `99.6 %`.
pub fn share_text(share: f64) -> String {
    let rounded = (share * 100.0).round();
    // 99.6 % must not read as all, nor 0.4 % as none.
    let is_exact = (share * 100.0 - rounded).abs() < 1e-9 || (1.0..99.0).contains(&(share * 100.0));
    if is_exact { format!("{rounded:.0} %") } else { format!("{:.1} %", share * 100.0) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_and_durations_read_well() {
        for (value, text) in [
            (0.0, "0"),
            (1_234_567.0, "1,234,567"),
            (-12.34, "-12.3"),
            (0.5, "0.5"),
            (1e-7, "1.0e-7"),
        ] {
            assert_eq!(number(value), text);
        }
        for (seconds, text) in
            [(0.0, "0 s"), (0.12, "0.12 s"), (161.0, "2.68 min"), (259_200.0, "3 days")]
        {
            assert_eq!(duration_text(seconds), text);
        }
        assert_eq!([0.94, 1.0, 0.996, 0.0].map(share_text), ["94 %", "100 %", "99.6 %", "0 %"]);
    }

    #[test]
    fn days_are_named_once() {
        let from = EventTime::from_seconds(1_767_571_200);
        let ticks = TimeAxis::new(from, from.plus_seconds(86_400.0)).ticks();
        let texts: Vec<_> =
            ticks.iter().map(|tick| (tick.text.as_str(), tick.day.as_deref())).collect();
        assert_eq!(
            texts,
            [
                ("00:00", Some("5 Jan 2026")),
                ("06:00", None),
                ("12:00", None),
                ("18:00", None),
                ("00:00", Some("6 Jan 2026")),
            ]
        );
    }

    proptest! {
        #[test]
        fn ticks_are_few_and_inside(from in 0i64..10_000_000_000, seconds in 0.0f64..1e10) {
            let from = EventTime::from_seconds(from);
            let ticks = TimeAxis::new(from, from.plus_seconds(seconds)).ticks();
            prop_assert!(ticks.len() <= 6);
            prop_assert!(ticks.iter().all(|tick| (0.0..=1.0).contains(&tick.at)));
        }
    }
}
