//! Hours in which the API itself failed: they say nothing of any key.

use serde::{Deserialize, Serialize};

/// An hour is disturbed when this share of all requests was answered 5xx ...
const DISTURBED_SHARE: f64 = 0.03;
/// ... and so many were.
const MIN_UNAVAILABLE: u32 = 20;
/// The hour after is disturbed too: clients catch up.
const AFTERMATH: i32 = 1;

/// All keys' answers in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FleetWindow {
    pub index: i32,
    pub requests: u32,
    /// 5xx.
    pub unavailable: u32,
}

impl FleetWindow {
    fn is_disturbed(self) -> bool {
        self.unavailable >= MIN_UNAVAILABLE
            && f64::from(self.unavailable) >= DISTURBED_SHARE * f64::from(self.requests)
    }
}

/// Whether one of `windows` disturbs the window `index`.
pub fn is_disturbed(windows: &[FleetWindow], index: i32) -> bool {
    let near = windows.iter().filter(|window| (index - AFTERMATH..=index).contains(&window.index));
    near.copied().any(FleetWindow::is_disturbed)
}
