//! Finds hours in which the API itself failed. Such hours are not evidence about any key.

use serde::{Deserialize, Serialize};

/// Smallest share of 5xx answers in a disturbed hour.
const DISTURBED_SHARE: f64 = 0.03;
/// Smallest number of 5xx answers in a disturbed hour.
const MIN_UNAVAILABLE: u32 = 20;
/// Number of hours after a disturbed one that count as disturbed too, because clients then repeat
/// the failed requests.
const AFTERMATH: i32 = 1;

/// Answers to all keys in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FleetWindow {
    pub index: i32,
    pub requests: u32,
    /// Number of 5xx answers.
    pub unavailable: u32,
}

impl FleetWindow {
    fn is_disturbed(self) -> bool {
        self.unavailable >= MIN_UNAVAILABLE
            && f64::from(self.unavailable) >= DISTURBED_SHARE * f64::from(self.requests)
    }
}

/// Whether the API failed in window `index` or just before, according to `windows`.
pub fn is_disturbed(windows: &[FleetWindow], index: i32) -> bool {
    let near = windows.iter().filter(|window| (index - AFTERMATH..=index).contains(&window.index));
    near.copied().any(FleetWindow::is_disturbed)
}
