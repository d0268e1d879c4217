//! How a key behaves, hour by hour: what it did in the present window, and what is usual for it.
//!
//! The one definition of the features of `behaviour.outlier`. The service folds requests into a
//! [`Window`]; training makes the same [`Statistics`] of all windows at once with polars. From
//! there on both run the same code: [`Baseline::features`] and [`Baseline::learn`].
//!
//! Windows are whole hours of event time (UTC), as those of the other detectors that learn by
//! the hour: shorter ones hold too few requests of most keys for shares and entropies, longer
//! ones keep an alert waiting.

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

/// Length of a window of behaviour.
pub const WINDOW_SECONDS: i64 = 3_600;

/// Number of the window that `time` falls into.
pub fn window_of(time: EventTime) -> i32 {
    let index = time.as_micros().div_euclid(WINDOW_SECONDS * 1_000_000);
    i32::try_from(index).unwrap_or_default()
}

/// A window that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    pub statistics: Statistics,
    /// The key was suspected in it.
    pub is_suspected: bool,
}

/// The behaviour of one key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BehaviourProfile {
    /// `None` between two windows, and where nothing judges behaviour.
    window: Option<Box<Window>>,
    baseline: Option<Box<Baseline>>,
    pub run: Run,
}

/// Surprise of the last windows: see [`crate::detect::outlier`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Cumulative sum, in nats.
    pub sum: f32,
    /// Mean of a window.
    pub usual: f32,
}

impl Default for Run {
    fn default() -> Self {
        Self { sum: 0.0, usual: 1.0 }
    }
}

impl BehaviourProfile {
    /// The window that ended before `time`, if one did.
    pub fn end_before(&mut self, time: EventTime) -> Option<Ended> {
        let window = self.window.take_if(|window| window.index() < window_of(time))?;
        Some(Ended { statistics: window.statistics(), is_suspected: window.is_suspected() })
    }

    /// Counts a request; one that belongs to a window that is over is left out.
    pub fn count(&mut self, observation: &Observation) {
        let index = window_of(observation.time);
        let window = self.window.get_or_insert_with(|| Box::new(Window::new(index)));
        if window.index() == index {
            window.add(observation);
        }
    }

    /// What is unusual in the present window must not be learned.
    pub fn suspect_current(&mut self) {
        if let Some(window) = &mut self.window {
            window.suspect();
        }
    }

    pub fn baseline(&self) -> Option<&Baseline> {
        self.baseline.as_deref()
    }

    /// Notes a window that is not learned.
    pub fn pass(&mut self, statistics: &Statistics) {
        if let Some(baseline) = &mut self.baseline {
            baseline.pass(statistics.index);
        }
    }

    pub fn learn(&mut self, statistics: &Statistics) {
        self.baseline.get_or_insert_default().learn(statistics);
    }
}

#[cfg(test)]
mod tests;
