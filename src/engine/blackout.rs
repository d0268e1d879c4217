//! Remembers when a whole log was silent.
//!
//! The dormancy detector subtracts these blackouts, so that it does not take the silence of the log
//! for the silence of a key.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::event::EventTime;

/// A shorter pause of the whole log is not a blackout.
const MIN_SECONDS: f64 = 3_600.0;
/// Number of blackouts remembered. A new one replaces the oldest.
const CAPACITY: usize = 16;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Blackouts {
    latest: Option<EventTime>,
    /// Start and end of each blackout, oldest first.
    spans: VecDeque<(EventTime, EventTime)>,
}

impl Blackouts {
    /// Notes the time of an event of any key.
    pub fn note(&mut self, time: EventTime) {
        let latest = *self.latest.get_or_insert(time);
        if time <= latest {
            return;
        }
        self.latest = Some(time);
        if time.seconds_since(latest) < MIN_SECONDS {
            return;
        }
        if self.spans.len() == CAPACITY {
            self.spans.pop_front();
        }
        self.spans.push_back((latest, time));
    }

    /// Seconds between `from` and `to` without those that lie in a blackout.
    pub fn spoken_seconds(&self, from: EventTime, to: EventTime) -> f64 {
        let silent = |(start, end): &(EventTime, EventTime)| {
            (*end).min(to).seconds_since((*start).max(from)).max(0.0)
        };
        to.seconds_since(from) - self.spans.iter().map(silent).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silence_of_the_log_is_not_the_key_s() {
        let mut blackouts = Blackouts::default();
        let at = EventTime::from_seconds;
        for second in [0, 600, 100_600, 100_000, 101_000] {
            blackouts.note(at(second));
        }
        assert_eq!(blackouts.spoken_seconds(at(0), at(101_000)), 1_000.0);
        assert_eq!(blackouts.spoken_seconds(at(50_600), at(101_000)), 400.0);
        assert_eq!(blackouts.spoken_seconds(at(100_700), at(101_000)), 300.0);
    }
}
