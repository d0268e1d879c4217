//! How surprising a row is, over all windows and both directions.

use super::history::{History, Side};
use super::ladder::WINDOWS;

/// Rows of the long memory, months of five-minute rows; bounds the memory of a series.
const LONG_ROWS: usize = 32_768;
/// Rows of the short memory, some days of five-minute rows: what was wild a month
/// ago and calm since is news when it is wild again.
const SHORT_ROWS: usize = 1500;
const SHORT_WEIGHT: f64 = 0.2;
/// Rows before anything is called surprising.
const LEAST_ROWS: usize = 100;

/// The residuals seen so far at one window length.
#[derive(Clone, Debug)]
struct Memory {
    long: History,
    short: History,
}

impl Memory {
    fn decades(&self, residual: f64) -> f64 {
        let both = |history: &History| {
            history.decades(residual, Side::Above) + history.decades(residual, Side::Below)
        };
        (1.0 - SHORT_WEIGHT) * both(&self.long) + SHORT_WEIGHT * both(&self.short)
    }
}

/// Evidence against the row being usual: p-values of the residuals in their own
/// history, their logarithms summed over windows and directions. The sum is not a
/// p-value, since windows overlap; what it means is learned by
/// [`super::incident::Incidents`].
#[derive(Clone, Debug)]
pub struct Surprise {
    memories: [Memory; WINDOWS.len()],
}

impl Default for Surprise {
    fn default() -> Self {
        let memory = Memory { long: History::new(LONG_ROWS), short: History::new(SHORT_ROWS) };
        Self { memories: std::array::from_fn(|_| memory.clone()) }
    }
}

impl Surprise {
    /// Scores a row against those before it, then remembers it.
    pub fn push(&mut self, residuals: [f64; WINDOWS.len()]) -> f64 {
        let mut evidence = 0.0;
        for (memory, residual) in self.memories.iter_mut().zip(residuals) {
            if memory.long.len() >= LEAST_ROWS {
                evidence += memory.decades(residual);
            }
            memory.long.push(residual);
            memory.short.push(residual);
        }
        evidence
    }
}
