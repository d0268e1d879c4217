//! Windows to features, by the same code as in the service.

use std::collections::BTreeMap;

use crate::detect::outlier::peer_features;
use crate::profile::behaviour::{Baseline, FleetWindow, is_disturbed};

use super::exclusions::{Cause, Exclusions};
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
    pub left_out: LeftOut,
}

/// Windows that taught nothing, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    pub labelled: u64,
    /// The key had an open incident.
    pub alerted: u64,
    /// The API itself failed.
    pub disturbed: u64,
}

impl LeftOut {
    pub fn total(self) -> u64 {
        self.labelled + self.alerted + self.disturbed
    }

    fn count(&mut self, cause: Option<Cause>, is_disturbed: bool) -> bool {
        let counter = match cause {
            Some(Cause::Label) => &mut self.labelled,
            Some(Cause::Incident) => &mut self.alerted,
            None if is_disturbed => &mut self.disturbed,
            None => return false,
        };
        *counter += 1;
        true
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
            let cause = exclusions.of_window(&history.keys[*key as usize], index);
            if samples.left_out.count(cause, is_disturbed(&fleet[from..to], index)) {
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
