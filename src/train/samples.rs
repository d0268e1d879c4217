//! Computes the features of windows with the same code as the service.

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
    /// Number of windows that its key had learned from before this one.
    pub learned: u8,
}

/// The features of all usable windows, by key and window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Features relative to the key's own past.
    pub own: Vec<Sample>,
    /// Features in absolute terms.
    pub peers: Vec<Sample>,
    pub left_out: LeftOut,
}

/// Number of windows excluded from training, by reason.
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

/// Follows every key through its windows. Windows that `exclusions` cover are neither learned from
/// nor sampled.
pub fn samples(history: &History, exclusions: &Exclusions) -> Samples {
    let mut samples = Samples::default();
    let fleet: Vec<FleetWindow> = history.fleet.values().copied().collect();
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
