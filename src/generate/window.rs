//! Defines half-open spans of event time.

use crate::event::EventTime;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub start: EventTime,
    pub end: EventTime,
}

impl Window {
    pub fn starting(start: EventTime, seconds: f64) -> Self {
        Self { start, end: start.plus_seconds(seconds) }
    }

    pub fn contains(&self, time: EventTime) -> bool {
        self.start <= time && time < self.end
    }

    pub fn seconds(&self) -> f64 {
        self.end.seconds_since(self.start)
    }

    /// The position of `time` in the window: 0 at the start and 1 at the end.
    pub fn share(&self, time: EventTime) -> f64 {
        (time.seconds_since(self.start) / self.seconds()).clamp(0.0, 1.0)
    }

    /// Like `share`; a window without length is a step from 0 to 1.
    pub fn progress(&self, time: EventTime) -> f64 {
        if self.start < self.end {
            self.share(time)
        } else if time < self.start {
            0.0
        } else {
            1.0
        }
    }

    /// The instant at `share` of the window.
    pub fn at(&self, share: f64) -> EventTime {
        self.start.plus_seconds(self.seconds() * share)
    }
}
