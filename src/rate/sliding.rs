//! Computes the mean and the deviation of a sliding window from two blocks of time.

use serde::{Deserialize, Serialize};

/// Number, mean and sum of squared deviations of values (Welford, Technometrics 4, 1962).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Moments {
    pub count: f32,
    pub mean: f32,
    squares: f32,
}

impl Moments {
    /// Adds `value` with weight `count`.
    pub fn add(&mut self, value: f32, count: f32) {
        *self = self.merged(Self { count, mean: value, squares: 0.0 });
    }

    /// Moments of both sets of values together (Chan, Golub and LeVeque 1979).
    fn merged(self, other: Self) -> Self {
        let count = self.count + other.count;
        if count <= 0.0 {
            return Self::default();
        }
        let apart = other.mean - self.mean;
        let part = other.count / count;
        Self {
            count,
            mean: self.mean + apart * part,
            squares: self.squares + other.squares + apart * apart * part * self.count,
        }
    }

    fn weighted(self, weight: f32) -> Self {
        Self { count: self.count * weight, mean: self.mean, squares: self.squares * weight }
    }

    /// Standard deviation around the mean.
    pub fn deviation(&self) -> f32 {
        if self.count > 0.0 { (self.squares / self.count).max(0.0).sqrt() } else { 0.0 }
    }

    /// Root mean square: the deviation around zero.
    pub fn size(&self) -> f32 {
        self.deviation().hypot(self.mean)
    }
}

/// Moments of a sliding window. The window consists of the current block of time and a part of the
/// block before, with a weight that falls from 1 to 0.
///
/// A quarter of the weight of an exponentially decayed mean is older than two half-lives. This
/// window has no weight beyond two blocks, so a storm two days ago does not make a storm today
/// ordinary.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Sliding {
    block: i32,
    current: Moments,
    previous: Moments,
}

impl Sliding {
    /// Adds `value` with weight `count`. `position` is the time divided by the window's length.
    pub fn add(&mut self, position: f64, value: f32, count: f32) {
        // The cast saturates, so any time is in range.
        let block = position.floor() as i32;
        if block > self.block {
            let follows = i64::from(block) - i64::from(self.block) == 1;
            self.previous = if follows { self.current } else { Moments::default() };
            self.current = Moments::default();
            self.block = block;
        }
        self.current.add(value, count);
    }

    /// Moments of the window that ends at `position`.
    pub fn at(&self, position: f64) -> Moments {
        let ahead = position - f64::from(self.block);
        if ahead < 1.0 {
            return self.current.merged(self.previous.weighted(1.0 - ahead.max(0.0) as f32));
        }
        self.current.weighted((2.0 - ahead).max(0.0) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moments_are_those_of_the_last_window() {
        let mut sliding = Sliding::default();
        for row in 0..300 {
            let value = if row < 150 { 1_000.0 } else { 10.0 + (row % 2) as f32 };
            sliding.add(f64::from(row) / 50.0, value, 1.0);
        }
        let last = sliding.at(299.0 / 50.0);
        assert!((last.mean - 10.5).abs() < 0.05, "{last:?}");
        assert!((last.deviation() - 0.5).abs() < 0.05, "{last:?}");
    }

    #[test]
    fn values_older_than_two_windows_are_forgotten() {
        let mut sliding = Sliding::default();
        sliding.add(0.5, 7.0, 3.0);
        assert_eq!(sliding.at(0.9).count, 3.0);
        assert!((sliding.at(1.5).count - 1.5).abs() < 1e-6);
        assert_eq!(sliding.at(9.0).count, 0.0);
    }

    #[test]
    fn a_small_deviation_is_exact_beside_a_large_mean() {
        let mut moments = Moments::default();
        for row in 0..1_000 {
            moments.add(1e5 + (row % 3) as f32, 1.0);
        }
        assert!((moments.deviation() - 0.816).abs() < 0.05, "{}", moments.deviation());
    }
}
