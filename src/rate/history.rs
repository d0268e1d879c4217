//! How far out a value lies in what was seen before.

use std::collections::VecDeque;

/// Part of the history that counts as its tail, and the fewest values of a tail.
const TAIL_PART: f64 = 0.02;
const TAIL_LEAST: usize = 10;
/// No history says more than this of its rarest value: 10^-12.
const MOST_DECADES: f64 = 12.0;

/// The last values of a stream, kept sorted.
#[derive(Clone, Debug)]
pub struct History {
    capacity: usize,
    arrival: VecDeque<f64>,
    sorted: Vec<f64>,
}

/// Which end of the history is asked about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Side {
    Above,
    Below,
}

impl History {
    pub fn new(capacity: usize) -> Self {
        Self { capacity, arrival: VecDeque::new(), sorted: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    pub fn push(&mut self, value: f64) {
        if self.arrival.len() == self.capacity
            && let Some(oldest) = self.arrival.pop_front()
        {
            let at = self.sorted.partition_point(|&other| other < oldest);
            self.sorted.remove(at);
        }
        self.arrival.push_back(value);
        let at = self.sorted.partition_point(|&other| other <= value);
        self.sorted.insert(at, value);
    }

    /// -log10 of the probability of a value at least as far out as this one.
    /// Within the history by counting; beyond its tail quantile by an exponential
    /// excess, the generalized Pareto tail of shape zero.
    pub fn decades(&self, value: f64, side: Side) -> f64 {
        let probability = match side {
            Side::Above => self.exceedance(value, |rank| self.sorted[self.len() - 1 - rank], 1.0),
            Side::Below => self.exceedance(value, |rank| self.sorted[rank], -1.0),
        };
        (-probability.log10()).clamp(0.0, MOST_DECADES)
    }

    /// `ranked(0)` is the most extreme value; `sign` makes extreme mean large.
    fn exceedance(&self, value: f64, ranked: impl Fn(usize) -> f64, sign: f64) -> f64 {
        let n = self.len();
        if n < 2 {
            return 1.0;
        }
        let tail = ((TAIL_PART * n as f64) as usize).max(TAIL_LEAST).min(n - 1);
        let threshold = ranked(tail);
        let excess = sign * (value - threshold);
        if excess <= 0.0 {
            return (self.count(value, sign) as f64 + 0.5) / (n as f64 + 1.0);
        }
        let total: f64 = (0..tail).map(|rank| sign * (ranked(rank) - threshold)).sum();
        let mean_excess = (total / tail as f64).max(f64::MIN_POSITIVE);
        (tail as f64 + 0.5) / (n as f64 + 1.0) * (-excess / mean_excess).exp()
    }

    /// Values at least as far out as this one.
    fn count(&self, value: f64, sign: f64) -> usize {
        if sign > 0.0 {
            self.len() - self.sorted.partition_point(|&other| other < value)
        } else {
            self.sorted.partition_point(|&other| other <= value)
        }
    }
}
