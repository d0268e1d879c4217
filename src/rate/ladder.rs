//! Residuals over windows of several lengths at once.

use std::collections::VecDeque;

/// Rows summed, a ladder of fours: a single row, a burst, a morning, a day, a level.
pub const WINDOWS: [usize; 5] = [1, 4, 16, 64, 256];
const LONGEST: usize = 256;

/// What was seen and what was expected, summed over the last rows of each window.
#[derive(Clone, Debug, Default)]
pub struct Ladder {
    rows: VecDeque<(f64, f64)>,
}

impl Ladder {
    /// Adds a row; gives the Pearson residual (difference over the root of the
    /// expectation) of the mean over each window. `floor` is added to the
    /// expectation so that quiet hours are not infinitely surprised.
    pub fn push(&mut self, value: f64, expected: f64, floor: f64) -> [f64; WINDOWS.len()] {
        self.rows.push_front((value, expected));
        self.rows.truncate(LONGEST);
        let mut sums = (0.0, 0.0);
        let mut rows = self.rows.iter();
        let mut taken = 0;
        WINDOWS.map(|window| {
            for (value, expected) in rows.by_ref().take(window - taken.min(window)) {
                sums.0 += value;
                sums.1 += expected;
                taken += 1;
            }
            let (value, expected) = (sums.0 / taken as f64, sums.1 / taken as f64);
            (value - expected) / (expected.abs() + floor).sqrt()
        })
    }
}
