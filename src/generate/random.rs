//! Provides seeded randomness with one independent stream for each key, so that the draws of one
//! key never change those of another.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Exp1, StandardNormal};

pub(super) type Random = ChaCha8Rng;

/// The `number`th independent stream of `seed`.
pub(super) fn stream(seed: u64, number: u64) -> Random {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(number);
    random
}

pub(super) fn log_normal(random: &mut Random, median: f64, sigma: f64) -> f64 {
    median * (sigma * random.sample::<f64, _>(StandardNormal)).exp()
}

pub(super) fn exponential(random: &mut Random, mean: f64) -> f64 {
    mean * random.sample::<f64, _>(Exp1)
}

pub(super) fn normal(random: &mut Random, deviation: f64) -> f64 {
    deviation * random.sample::<f64, _>(StandardNormal)
}

/// True with the given chance; cheaper than `random_bool`, which checks its argument.
pub(super) fn chance(random: &mut Random, probability: f64) -> bool {
    random.random::<f64>() < probability
}

pub(super) fn pick<T: Copy>(random: &mut Random, items: &[T]) -> T {
    items[random.random_range(0..items.len())]
}

/// One item by its weight. Weights need not add up to one; `items` must not be empty.
pub(super) fn pick_weighted<T: Copy>(random: &mut Random, items: &[(T, f64)]) -> T {
    let total: f64 = items.iter().map(|(_, weight)| weight).sum();
    let mut left = random.random::<f64>() * total;
    for (item, weight) in items {
        left -= weight;
        if left < 0.0 {
            return *item;
        }
    }
    items[items.len() - 1].0
}

/// A bijection of 64-bit numbers that looks random: the finalizer of SplitMix64
/// (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
pub(super) const fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let draw = |number| stream(7, number).random::<u64>();
        assert_ne!(draw(0), draw(1));
        assert_eq!(draw(1), draw(1));
    }

    #[test]
    fn weights_are_respected() {
        let mut random = stream(1, 0);
        let items = [('a', 3.0), ('b', 1.0), ('c', 0.0)];
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[pick_weighted(&mut random, &items) as usize - 'a' as usize] += 1;
        }
        assert!((7_200..7_800).contains(&counts[0]), "{counts:?}");
        assert_eq!(counts[2], 0);
    }
}
