//! Finds the first and last event time of a log and ignores outliers from wrong clocks.

use std::collections::BTreeMap;

use crate::event::EventTime;

/// A gap of this many days without an event begins a new stretch of the log ...
const GAP_DAYS: i64 = 7;
/// ... unless that stretch has fewer events than this: then a wrong clock made it. The engine uses
/// the same rule.
const MIN_EVENTS: u64 = 3;

/// The event times seen, by day.
#[derive(Debug, Default)]
pub struct Span {
    days: BTreeMap<i64, Stretch>,
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    events: u64,
    first: EventTime,
    last: EventTime,
}

impl Stretch {
    fn of(time: EventTime) -> Self {
        Self { events: 1, first: time, last: time }
    }

    fn join(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }
}

fn day(time: EventTime) -> i64 {
    time.as_micros().div_euclid(86_400_000_000)
}

impl Span {
    pub fn add(&mut self, time: EventTime) {
        let event = Stretch::of(time);
        let join = |stretch: &mut Stretch| *stretch = stretch.join(event);
        self.days.entry(day(time)).and_modify(join).or_insert(event);
    }

    /// First and last event time, without single events that lie more than a week from all others;
    /// `None` without events.
    pub fn bounds(&self) -> Option<(EventTime, EventTime)> {
        let mut stretches: Vec<Stretch> = Vec::new();
        for stretch in self.days.values() {
            match stretches.last_mut() {
                Some(last) if day(stretch.first) - day(last.last) <= GAP_DAYS => {
                    *last = last.join(*stretch);
                }
                _ => stretches.push(*stretch),
            }
        }
        let most = stretches.iter().map(|stretch| stretch.events).max()?;
        let enough = most.min(MIN_EVENTS);
        let kept = stretches.into_iter().filter(|stretch| stretch.events >= enough);
        kept.reduce(Stretch::join).map(|stretch| (stretch.first, stretch.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn bounds(seconds: impl IntoIterator<Item = i64>) -> Option<(EventTime, EventTime)> {
        let mut span = Span::default();
        seconds.into_iter().for_each(|second| span.add(EventTime::from_seconds(second)));
        span.bounds()
    }

    fn some(first: i64, last: i64) -> Option<(EventTime, EventTime)> {
        Some((EventTime::from_seconds(first), EventTime::from_seconds(last)))
    }

    #[test]
    fn one_clock_in_another_century_is_left_out_and_a_gap_in_the_log_is_not() {
        assert_eq!(bounds([]), None);
        assert_eq!(bounds([5]), some(5, 5));
        assert_eq!(bounds([7, 5, 6]), some(5, 7));
        assert_eq!(bounds([5, 6, 7, 30_000 * DAY]), some(5, 7));
        assert_eq!(bounds([5, 6, 7, 30 * DAY, 30 * DAY, 31 * DAY]), some(5, 31 * DAY));
        assert_eq!(bounds([5, 30 * DAY]), some(5, 30 * DAY));
    }
}
