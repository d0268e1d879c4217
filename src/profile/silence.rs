//! Records the silences of a key between its uses.

use serde::{Deserialize, Serialize};

use crate::event::EventTime;

/// The first and the last accepted use of a key, and its longest silence.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct SilenceProfile {
    first_used: Option<EventTime>,
    last_used: EventTime,
    longest_seconds: f32,
}

/// The end of a silence that was longer than any before.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Waking {
    pub silence_seconds: f32,
    /// The longest silence before it.
    pub longest_seconds: f32,
    /// From the first use to the last before it.
    pub known_seconds: f32,
    pub last_used: EventTime,
}

impl SilenceProfile {
    /// Time of the last use. `None` before the first.
    pub fn last_used(&self) -> Option<EventTime> {
        self.first_used.map(|_| self.last_used)
    }

    /// Seconds from the first use to the last.
    pub fn known_seconds(&self) -> f64 {
        self.first_used.map_or(0.0, |first| self.last_used.seconds_since(first))
    }

    /// Length of the longest silence between two uses.
    pub fn longest_seconds(&self) -> f64 {
        f64::from(self.longest_seconds)
    }

    /// A use after `silence_seconds`, before it is learned.
    pub fn waking(&self, silence_seconds: f64) -> Waking {
        Waking {
            silence_seconds: silence_seconds as f32,
            longest_seconds: self.longest_seconds,
            known_seconds: self.known_seconds() as f32,
            last_used: self.last_used,
        }
    }

    /// Learns a use after `silence_seconds`, whoever made it: one more silence like it would
    /// be no news.
    pub fn learn(&mut self, time: EventTime, silence_seconds: f64) {
        self.first_used.get_or_insert(time);
        self.last_used = self.last_used.max(time);
        self.longest_seconds = self.longest_seconds.max(silence_seconds as f32);
    }
}
