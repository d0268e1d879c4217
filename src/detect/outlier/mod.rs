//! Finds hours in which a key behaves unlike its own past, or, without a past, unlike its peers:
//! `behaviour.outlier`.
//!
//! A mixture of Gaussians scores the features of a window (an hour). The distribution of ordinary
//! windows' scores gives the surprise of the window. A key that is only a little strange, but for
//! hours, is found by the cumulative sum of surprises (Page 1954). The distribution of such sums in
//! training gives the p-value.

pub mod bins;
pub mod density;
pub mod drift;
pub mod model;
pub mod survival;

use serde_json::json;

pub use self::model::{Model, ModelError};
use super::Signal;
use crate::alert::DetectorId;
use crate::event::EventTime;
use crate::profile::behaviour::{
    Baseline, BehaviourProfile, FEATURES, PEERS, Run, Statistics, Unit, WINDOW_SECONDS,
};

/// Every window lowers the sum by the usual surprise of the key's windows times this ...
const ALLOWANCE: f64 = 1.5;
/// ... and a window whose surprise is lower than that leaves at most this share of the sum: after
/// two or three ordinary hours the strange ones are over.
const ORDINARY_LEAVES: f64 = 0.5;
/// Weight with which the usual surprise is learned from each window. It is 1 nat by definition if
/// the model is right for the key; the learned value serves keys that are always strange.
const USUAL_WEIGHT: f64 = 0.03;
/// One window teaches at most this much more than twice the usual surprise.
const MAX_LESSON: f64 = 1.0;
/// One window adds at most this much to the sum, in nats ...
const MAX_SURPRISE: f64 = 12.0;
/// ... and the sum has this maximum, so that it falls soon after the behaviour is ordinary again.
const MAX_RUN: f64 = 100.0;
/// Number of features that an alert names.
const NAMED: usize = 4;
/// A feature with less than this share of the distance is not named.
const MIN_SHARE: f64 = 0.08;

/// The amount that each window takes off a key's sum of surprises, in nats.
pub fn allowance(run: Run) -> f64 {
    ALLOWANCE * f64::from(run.usual).max(1.0)
}

/// The sum after a window of `surprise` nats. The window is the `windows`-th of its key.
pub fn advance(run: Run, surprise: f64, windows: u8) -> Run {
    let (known, gain) = (f64::from(run.sum), surprise.min(MAX_SURPRISE) - allowance(run));
    let most = if gain > 0.0 { MAX_RUN } else { ORDINARY_LEAVES * known };
    let sum = (known + gain).min(most).max(0.0);
    let usual = f64::from(run.usual);
    let lesson = surprise.min(2.0 * usual + MAX_LESSON) - usual;
    let weight = USUAL_WEIGHT.max(1.0 / f64::from(windows.saturating_sub(8).max(1)));
    Run { sum: sum as f32, usual: (usual + weight * lesson) as f32 }
}

/// A window resembles those of a past if it is no more surprising than this, in nats: than one in
/// fifty of ordinary windows.
const RESEMBLES: f64 = 4.0;

/// The reference that a window is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    Itself,
    /// A second past, of windows that were reported.
    Habit,
    Peers,
}

/// The model's judgement of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    pub against: Against,
    /// Minus the logarithm of the density.
    pub score: f64,
    /// Surprise of the window alone, in nats.
    pub surprise: f64,
    /// The sum of surprises that includes this window.
    pub run: Run,
    pub p_value: f64,
    features: Vec<f64>,
}

/// Judges a window that has ended, by the past that it resembles most. `None` if the window is too
/// small to judge, or if the key has no past and the model does not know its peers.
pub fn judge(
    model: &Model,
    behaviour: &BehaviourProfile,
    statistics: &Statistics,
) -> Option<Judgement> {
    if !Baseline::is_telling(statistics) {
        return None;
    }
    let Some(baseline) = behaviour.baseline().filter(|baseline| baseline.is_settled()) else {
        return (!model.is_shipped).then(|| judge_by_peers(model, statistics));
    };
    let run = behaviour.run;
    let usual = Comparison::with(baseline, model, statistics);
    let habit = behaviour.habit().map(|habit| Comparison::with(habit, model, statistics));
    let habit = habit.filter(|habit| habit.surprise < usual.surprise);
    let against = if habit.is_some() { Against::Habit } else { Against::Itself };
    let Comparison { features, score, surprise } = habit.unwrap_or(usual);
    // An ordinary window is not a finding, whatever came before it.
    let adds = surprise > allowance(run);
    let run = advance(run, surprise, baseline.windows());
    let sum = f64::from(run.sum);
    let p_value = if adds { (-model.runs.surprise(sum)).exp() } else { 1.0 };
    Some(Judgement { against, score, surprise, run, p_value, features })
}

/// Whether a window could be one of this past.
pub fn resembles(model: &Model, past: &Baseline, statistics: &Statistics) -> bool {
    Comparison::with(past, model, statistics).surprise < RESEMBLES
}

/// A window beside one past of its key.
struct Comparison {
    features: Vec<f64>,
    score: f64,
    surprise: f64,
}

impl Comparison {
    fn with(past: &Baseline, model: &Model, statistics: &Statistics) -> Self {
        let features = past.features(statistics).to_vec();
        let score = model.own.score(&features);
        Self { score, surprise: model.own.survival.surprise(score), features }
    }
}

fn judge_by_peers(model: &Model, statistics: &Statistics) -> Judgement {
    let features = peer_features(statistics);
    let score = model.peers.score(&features);
    let surprise = model.peers.survival.surprise(score);
    let p_value = (-surprise).exp();
    Judgement { against: Against::Peers, score, surprise, run: Run::default(), p_value, features }
}

/// The features of a window as it is; NaN where they are unknown.
pub fn peer_features(statistics: &Statistics) -> Vec<f64> {
    PEERS.iter().map(|feature| (feature.value)(statistics).unwrap_or(f64::NAN)).collect()
}

/// A feature that makes a window strange.
struct Contribution {
    name: &'static str,
    words: &'static str,
    unit: Unit,
    observed: f64,
    usual: f64,
    share: f64,
}

impl Judgement {
    /// The window's features against the key's past, if it was compared with that.
    pub fn own_features(&self) -> Option<&[f64]> {
        (self.against == Against::Itself).then_some(self.features.as_slice())
    }

    pub fn into_signal(
        self,
        model: &Model,
        baseline: Option<&Baseline>,
        statistics: &Statistics,
    ) -> Signal {
        let named = self.contributions(model, baseline, statistics);
        let start = EventTime::from_seconds(i64::from(statistics.index) * WINDOW_SECONDS);
        let whom = match self.against {
            Against::Itself | Against::Habit => "its own past",
            Against::Peers => "any other key",
        };
        let listed: Vec<String> = named.iter().map(Contribution::text).collect();
        let hours = if f64::from(self.run.sum) > MAX_SURPRISE { " for hours" } else { "" };
        Signal {
            detector: DetectorId::BehaviourOutlier,
            p_value: self.p_value.max(f64::MIN_POSITIVE),
            observed: Some(round(self.score)),
            expected: None,
            headline: format!("behaves unlike {whom}{hours}"),
            sentence: format!(
                "In the hour from {start} the key behaved unlike {whom}{hours}. Its {} requests, taken \
                 together: {}.",
                statistics.requests,
                listed.join(", ")
            ),
            fields: json!({
                "against": match self.against { Against::Itself | Against::Habit => "itself", Against::Peers => "peers" },
                "window_start": start,
                "window_seconds": WINDOW_SECONDS,
                "requests": statistics.requests,
                "surprise_of_window": round(self.surprise),
                "surprise_of_run": round(f64::from(self.run.sum)),
                "features": named.iter().map(Contribution::to_json).collect::<Vec<_>>(),
            }),
            ceiling: None,
        }
    }

    /// The features that make the window strange, the strongest first.
    fn contributions(
        &self,
        model: &Model,
        baseline: Option<&Baseline>,
        statistics: &Statistics,
    ) -> Vec<Contribution> {
        let density = match self.against {
            Against::Itself | Against::Habit => &model.own,
            Against::Peers => &model.peers,
        };
        let parts = density.contributions(&self.features);
        let total: f64 = parts.iter().map(|part| part.max(0.0)).sum();
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by(|a, b| parts[*b].total_cmp(&parts[*a]));
        order.truncate(NAMED);
        let named = order.into_iter().filter_map(|which| {
            let share = parts[which] / total.max(f64::MIN_POSITIVE);
            if share < MIN_SHARE {
                return None;
            }
            match self.against {
                Against::Itself | Against::Habit => {
                    own_contribution(baseline?, statistics, which, share)
                }
                Against::Peers => {
                    Some(peer_contribution(model, self.features[which], which, share))
                }
            }
        });
        named.collect()
    }
}

fn own_contribution(
    baseline: &Baseline,
    statistics: &Statistics,
    which: usize,
    share: f64,
) -> Option<Contribution> {
    let feature = FEATURES[which];
    let (observed, usual) = baseline.observed_and_usual(statistics, which)?;
    let natural = |value| feature.unit.natural(value);
    Some(Contribution {
        name: feature.name,
        words: feature.words,
        unit: feature.unit,
        observed: natural(observed),
        usual: natural(usual),
        share,
    })
}

fn peer_contribution(model: &Model, value: f64, which: usize, share: f64) -> Contribution {
    let feature = PEERS[which];
    let center = model.peers.center[which];
    let value = if value.is_nan() { center } else { value };
    Contribution {
        name: feature.name,
        words: feature.words,
        unit: feature.unit,
        observed: feature.unit.natural(value),
        usual: feature.unit.natural(center),
        share,
    }
}

impl Contribution {
    fn text(&self) -> String {
        let symbol = self.unit.symbol();
        let (observed, usual) = (short(self.observed), short(self.usual));
        format!("{} {observed}{symbol} (usual {usual}{symbol})", self.words)
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "feature": self.name,
            "observed": round(self.observed),
            "usual": round(self.usual),
            "share": round(self.share),
        })
    }
}

/// The value with about three significant digits.
fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::DetectConfig;
    use crate::detect::Thresholds;

    /// A hundred requests, evenly spread, on three routes from one place.
    fn ordinary(index: i32) -> Statistics {
        let mut statistics = Statistics {
            index,
            requests: 100.0,
            errors: f64::from(index % 3),
            addresses: 1.0,
            minutes: 60.0,
            gap_sum: 3_564.0,
            gap_squares: 99.0 * 36.0 * 36.0 * 1.8,
            sized: 100.0,
            size_sum: 700.0,
            ..Statistics::default()
        };
        statistics.routes[..3].copy_from_slice(&[70, 20, 10]);
        statistics.places[0] = 100;
        statistics
    }

    /// As many requests, but in bursts, on routes that the key used least, and with larger answers.
    fn strange(index: i32) -> Statistics {
        let mut statistics = ordinary(index);
        statistics.errors = 12.0;
        statistics.minutes = 9.0;
        statistics.gap_squares *= 12.0;
        statistics.size_sum = 1_050.0;
        statistics.routes[..5].copy_from_slice(&[5, 10, 40, 25, 20]);
        statistics
    }

    #[test]
    fn strange_hours_are_reported_in_the_end_and_ordinary_ones_never() {
        let model = Model::shipped().unwrap();
        let mut behaviour = BehaviourProfile::default();
        for index in 0..96 {
            if let Some(judged) = judge(&model, &behaviour, &ordinary(index)) {
                assert!(judged.p_value > 1e-3, "hour {index}: {judged:?}");
                behaviour.run = judged.run;
            }
            behaviour.learn(&ordinary(index));
        }
        let mut p_values = Vec::new();
        for index in 96..120 {
            let judged = judge(&model, &behaviour, &strange(index)).unwrap();
            behaviour.run = judged.run;
            p_values.push(judged.p_value);
        }
        assert!(p_values[0] > 1e-3, "one hour alone proves nothing: {p_values:?}");
        let of_ten_thousand_keys = Thresholds::new(&DetectConfig::default(), 10_000).behaviour;
        assert!(p_values[23] < of_ten_thousand_keys, "{p_values:?}");
        let last = judge(&model, &behaviour, &strange(120)).unwrap();
        let signal = last.into_signal(&model, behaviour.baseline(), &strange(120));
        assert!(signal.sentence.contains("unlike its own past for hours"), "{}", signal.sentence);
    }
}
