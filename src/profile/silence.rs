//! How long a key is silent between uses.

use crate::event::EventTime;

/// When a key was last used with success, and its longest silence.
#[derive(Clone, Copy, Debug, Default)]
pub struct SilenceProfile {
    first_used: Option<EventTime>,
    last_used: EventTime,
    longest_seconds: f32,
}

impl SilenceProfile {
    /// `None` before the first use.
    pub fn last_used(&self) -> Option<EventTime> {
        self.first_used.map(|_| self.last_used)
    }

    /// From the first use to the last.
    pub fn known_seconds(&self) -> f64 {
        self.first_used.map_or(0.0, |first| self.last_used.seconds_since(first))
    }

    pub fn longest_seconds(&self) -> f64 {
        f64::from(self.longest_seconds)
    }

    /// Learns a use after `silence_seconds`, whoever made it: one more silence like it would
    /// be no news.
    pub fn learn(&mut self, time: EventTime, silence_seconds: f64) {
        self.first_used.get_or_insert(time);
        self.last_used = self.last_used.max(time);
        self.longest_seconds = self.longest_seconds.max(silence_seconds as f32);
    }
}
