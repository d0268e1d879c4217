//! Windows to features, by the same code as in the service.

use std::collections::{BTreeMap, HashMap};

use crate::backtest::labels::Label;
use crate::detect::outlier::peer_features;
use crate::event::EventTime;
use crate::profile::behaviour::{Baseline, FleetWindow, WINDOW_SECONDS, is_disturbed};

use super::history::History;
use super::windows::KeyWindow;

/// The features of one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub key: u32,
    pub features: Vec<f64>,
    /// Windows that its key has learned from before.
    pub learned: u8,
}

/// Features of all windows that say something, by key and window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Against the key's own past.
    pub own: Vec<Sample>,
    /// As they are.
    pub peers: Vec<Sample>,
    /// Windows that were left out because of an attack in them, or because the API failed.
    pub excluded: u64,
}

/// Spans of event time in which keys must not teach anything.
#[derive(Clone, Debug, Default)]
pub struct Exclusions(HashMap<String, Vec<(EventTime, EventTime)>>);

impl Exclusions {
    pub fn add(&mut self, key_id: &str, start: EventTime, end: EventTime) {
        self.0.entry(key_id.to_owned()).or_default().push((start, end));
    }

    pub fn of_labels(labels: &[Label]) -> Self {
        let mut exclusions = Self::default();
        for label in labels {
            if let Some(key_id) = &label.key_id {
                exclusions.add(key_id, label.start, label.end);
            }
        }
        exclusions
    }

    fn cover(&self, key_id: &str, window: &KeyWindow) -> bool {
        let start = i64::from(window.statistics.index) * WINDOW_SECONDS;
        let (start, end) =
            (EventTime::from_seconds(start), EventTime::from_seconds(start + WINDOW_SECONDS));
        let spans = self.0.get(key_id).into_iter().flatten();
        spans.into_iter().any(|(from, to)| *from < end && start <= *to)
    }
}

/// Follows every key through its windows. Those that `exclusions` cover are neither learned
/// nor sampled.
pub fn samples(history: &History, exclusions: &Exclusions) -> Samples {
    let mut samples = Samples::default();
    let fleet = fleet(history);
    for windows in history.windows.chunk_by(|a, b| a.key == b.key) {
        let mut baseline = Baseline::default();
        for window in windows {
            let KeyWindow { key, statistics, .. } = window;
            let index = statistics.index;
            let from = fleet.partition_point(|window| window.index < index - 4);
            let to = fleet.partition_point(|window| window.index <= index);
            if exclusions.cover(&history.keys[*key as usize], window)
                || is_disturbed(&fleet[from..to], index)
            {
                samples.excluded += 1;
                baseline.pass(statistics.index);
                continue;
            }
            if Baseline::is_telling(statistics) {
                let features = peer_features(statistics);
                let learned = baseline.windows();
                samples.peers.push(Sample { key: *key, features, learned });
                if baseline.is_settled() {
                    let features = baseline.features(statistics).to_vec();
                    samples.own.push(Sample { key: *key, features, learned });
                }
            }
            baseline.learn(statistics);
        }
    }
    samples
}

/// All keys as one, by window.
fn fleet(history: &History) -> Vec<FleetWindow> {
    let mut fleet = BTreeMap::<i32, FleetWindow>::new();
    for KeyWindow { statistics, unavailable, .. } in &history.windows {
        let index = statistics.index;
        let window = fleet.entry(index).or_insert(FleetWindow { index, ..FleetWindow::default() });
        window.requests += statistics.requests as u32;
        window.unavailable += *unavailable as u32;
    }
    fleet.into_values().collect()
}
