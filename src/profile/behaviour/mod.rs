//! Computes the features of `behaviour.outlier` from a key's windows of one hour.
//!
//! The service adds each request to a [`Window`]. Training computes the same [`Statistics`] for
//! all windows at once with polars. From the statistics on, both run the same code:
//! [`Baseline::features`] and [`Baseline::learn`].
//!
//! Windows are whole hours of event time (UTC), as for the other detectors that learn by the
//! hour. In shorter windows, most keys send too few requests for shares and entropies. Longer
//! windows delay alerts.

mod baseline;
mod disturbance;
mod feature;
mod observation;
mod statistics;
mod window;

use serde::{Deserialize, Serialize};

use crate::event::EventTime;

pub use self::baseline::Baseline;
pub use self::disturbance::{FleetWindow, is_disturbed};
pub use self::feature::{
    FEATURES, Feature, OWN_FEATURES, PEER_FEATURES, PEERS, PeerFeature, Unit, schema_hash,
};
pub use self::observation::{Observation, PLACE_BUCKETS, ROUTE_BUCKETS};
pub use self::statistics::Statistics;
pub use self::window::Window;

/// Length of a window.
pub const WINDOW_SECONDS: i64 = 3_600;

/// Windows that were reported this often, without being confirmed as theft, are ordinary.
const RETURNS: u8 = 3;

/// Number of the window that contains `time`, counted from the epoch.
pub fn window_of(time: EventTime) -> i32 {
    let index = time.as_micros().div_euclid(WINDOW_SECONDS * 1_000_000);
    i32::try_from(index).unwrap_or_default()
}

/// A window that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    pub statistics: Statistics,
    /// Whether the key was suspected during the window.
    pub is_suspected: bool,
    /// Whether there was evidence of theft in the window. It must not become a habit.
    pub is_tainted: bool,
}

/// The behaviour of one key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BehaviourProfile {
    /// `None` between two windows, and without a behaviour model.
    window: Option<Box<Window>>,
    baseline: Option<Box<Baseline>>,
    /// The past of hours that alerts reported and that resemble each other.
    aside: Option<Box<Baseline>>,
    pub run: Run,
}

/// Cumulative surprise of the last windows: see [`crate::detect::outlier`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Cumulative sum, in nats.
    pub sum: f32,
    /// Mean surprise of one window, in nats.
    pub usual: f32,
}

impl Default for Run {
    fn default() -> Self {
        Self { sum: 0.0, usual: 1.0 }
    }
}

impl BehaviourProfile {
    /// Takes the window that ended before `time`. `None` if no window has ended.
    pub fn end_before(&mut self, time: EventTime) -> Option<Ended> {
        let window = self.window.take_if(|window| window.index() < window_of(time))?;
        Some(Ended {
            statistics: window.statistics(),
            is_suspected: window.is_suspected(),
            is_tainted: window.is_tainted(),
        })
    }

    /// Counts a request. Late requests of an ended window are ignored.
    pub fn count(&mut self, observation: &Observation) {
        let index = window_of(observation.time);
        let window = self.window.get_or_insert_with(|| Box::new(Window::new(index)));
        if window.index() == index {
            window.add(observation);
        }
    }

    /// Marks the current window as suspicious, so that the baseline does not learn it.
    pub fn suspect_current(&mut self, is_tainted: bool) {
        if let Some(window) = &mut self.window {
            window.suspect(is_tainted);
        }
    }

    pub fn baseline(&self) -> Option<&Baseline> {
        self.baseline.as_deref()
    }

    /// The past of a second way of being used, which was reported [`RETURNS`] times.
    pub fn habit(&self) -> Option<&Baseline> {
        self.aside.as_deref().filter(|aside| aside.windows() >= RETURNS)
    }

    /// Learns a window that resembles the habit more than the usual past.
    pub fn learn_habit(&mut self, statistics: &Statistics) {
        self.pass(statistics);
        if let Some(aside) = &mut self.aside {
            aside.learn_alone(statistics);
        }
    }

    /// Keeps a window that an alert reported. Windows that come again become a habit; one that
    /// does not resemble those before it takes their place.
    pub fn set_aside(&mut self, statistics: &Statistics, resembles: impl Fn(&Baseline) -> bool) {
        self.pass(statistics);
        let aside = self.aside.get_or_insert_default();
        if aside.windows() > 0 && !resembles(aside) {
            **aside = Baseline::default();
        }
        aside.learn_alone(statistics);
    }

    /// Records that a window passed, without learning it.
    pub fn pass(&mut self, statistics: &Statistics) {
        if let Some(baseline) = &mut self.baseline {
            baseline.pass(statistics.index);
        }
    }

    /// Learns a window that has ended.
    pub fn learn(&mut self, statistics: &Statistics) {
        self.baseline.get_or_insert_default().learn(statistics);
    }
}

#[cfg(test)]
mod tests;
