//! Learns the usual difference between a key's signed client times and the server's clock.

use serde::{Deserialize, Serialize};

/// Exponentially weighted mean and deviation of the skew, in seconds.
///
/// Skew is server time minus client time. It is positive if the request arrived after it was
/// signed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ClockProfile {
    mean: f32,
    deviation: f32,
    samples: u32,
}

/// Weight of a new sample once the profile has settled.
const SETTLED_WEIGHT: f32 = 0.02;

/// Samples before the mean counts as the key's usual skew.
const SETTLED_AFTER: u32 = 10;

impl ClockProfile {
    /// Learns the skew of one request. The first samples have equal weight.
    pub fn learn(&mut self, skew_seconds: f64) {
        self.samples = self.samples.saturating_add(1);
        let weight = SETTLED_WEIGHT.max(1.0 / self.samples as f32);
        let error = skew_seconds as f32 - self.mean;
        self.mean += weight * error;
        self.deviation += weight * (error.abs() - self.deviation);
    }

    pub fn samples(&self) -> u32 {
        self.samples
    }

    /// The usual skew in seconds. `None` before enough samples.
    pub fn settled_skew(&self) -> Option<f64> {
        (self.samples >= SETTLED_AFTER).then(|| self.usual_skew())
    }

    /// The usual skew in seconds, however few samples there are.
    pub fn usual_skew(&self) -> f64 {
        f64::from(self.mean)
    }

    /// Mean absolute deviation of the skew, in seconds.
    pub fn deviation(&self) -> f64 {
        f64::from(self.deviation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_offset_becomes_the_usual_skew() {
        let mut clock = ClockProfile::default();
        for _ in 0..100 {
            clock.learn(300.0);
        }
        assert!((clock.usual_skew() - 300.0).abs() < 1.0);
        assert!(clock.deviation() < 10.0);
    }
}
