//! Converts values to positions in a plot and to text. Horizontal positions are percentages, so
//! that a plot fills any width while its text keeps its size.

use jiff::Timestamp;

use crate::event::EventTime;
pub use crate::text::{
    count, counted, duration_figure as duration_text, number, share as share_text,
};

/// The largest number of labels that fit below a plot on a phone.
const MAX_TICKS: i64 = 5;

/// A percentage for SVG and CSS; two decimals are finer than a screen's pixels.
pub fn percent(share: f64) -> String {
    format!("{:.2}%", (share * 100.0).clamp(0.0, 100.0))
}

/// A range of time, laid out from left to right.
#[derive(Clone, Copy, Debug)]
pub struct TimeAxis {
    from: EventTime,
    seconds: f64,
}

/// A label below the axis: a short one, and the day if it differs from the label before.
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

    /// Position as a share of the width; outside [0, 1] for a time outside the axis.
    pub fn at(&self, time: EventTime) -> f64 {
        time.seconds_since(self.from) / self.seconds
    }

    pub fn shows(&self, time: EventTime) -> bool {
        (0.0..=1.0).contains(&self.at(time))
    }

    /// Width of a duration, as a share of the axis.
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

/// The volume of the log and its time range, as text.
pub fn volume_text(events: u64, keys: usize, bounds: Option<(EventTime, EventTime)>) -> String {
    let Some((first, last)) = bounds else {
        return "The log holds no events.".to_owned();
    };
    format!(
        "{} events of {} from {} to {} UTC ({}).",
        count(events as usize),
        counted(keys, "key"),
        time_text(first),
        time_text(last),
        duration_text(last.seconds_since(first)),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
