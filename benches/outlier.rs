//! Measures the cost of judging one window of a key's behaviour: features and score, without
//! learning.
//!
//! `cargo bench --no-default-features --bench outlier`

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use keywatch::detect::outlier::{Model, judge};
use keywatch::profile::behaviour::{Baseline, BehaviourProfile, Statistics};

const WINDOWS: usize = 20_000;
const ROUNDS: usize = 49;

/// A window of about a hundred requests; each window is a little different.
fn window(index: i32) -> Statistics {
    let mut statistics = Statistics {
        index,
        requests: f64::from(90 + index % 20),
        errors: f64::from(index % 3),
        addresses: f64::from(1 + index % 2),
        minutes: f64::from(50 + index % 10),
        gap_sum: 3_500.0,
        gap_squares: 99.0 * 36.0 * 36.0 * 1.8,
        sized: 100.0,
        size_sum: f64::from(690 + index % 20),
        ..Statistics::default()
    };
    statistics.routes[..3].copy_from_slice(&[70, 20, 10 + (index % 5) as u16]);
    statistics.places[0] = 100;
    statistics
}

fn main() {
    let mut model = Model::shipped().unwrap();
    // Marked as trained, so that it also judges keys without a past.
    model.is_shipped = false;
    let windows: Vec<Statistics> = (0..WINDOWS as i32).map(window).collect();
    let mut baseline = Baseline::default();
    windows[..48].iter().for_each(|window| baseline.learn(window));
    let (mut old, young) = (BehaviourProfile::default(), BehaviourProfile::default());
    windows[..48].iter().for_each(|window| old.learn(window));
    measure("judged against its past", &windows, |w| judge(&model, &old, w));
    measure("judged against peers", &windows, |w| judge(&model, &young, w));
    measure("features against its past", &windows, |w| baseline.features(w));
    let features: Vec<_> = windows.iter().map(|window| baseline.features(window)).collect();
    measure("score of these features", &features, |features| model.own.score(features));
}

/// Prints the cost of `work`. It takes the fastest round, which other work disturbed least.
fn measure<T, R>(name: &str, items: &[T], work: impl Fn(&T) -> R) {
    let round = |_| {
        let begin = Instant::now();
        for item in items {
            black_box(work(black_box(item)));
        }
        begin.elapsed().as_secs_f64() * 1e9 / items.len() as f64
    };
    let mut nanoseconds: Vec<f64> = (0..ROUNDS).map(round).collect();
    nanoseconds.sort_by(f64::total_cmp);
    let (fastest, median) = (nanoseconds[0], nanoseconds[ROUNDS / 2]);
    println!("{name}: {fastest:.0} ns a window at best, {median:.0} in the median");
}
