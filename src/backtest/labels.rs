//! Reads labels, the known attacks that a backtest measures against.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::alert::Alert;
use crate::event::{EventTime, KeyId};

/// A known attack on one key, or on the fleet when `key_id` is null.
#[derive(Clone, Debug, Deserialize)]
pub struct Label {
    #[serde(default)]
    pub key_id: Option<KeyId>,
    pub kind: String,
    pub start: EventTime,
    pub end: EventTime,
    /// Detectors that count as finding the attack; any detector if the list is empty.
    #[serde(default)]
    pub detectors: Vec<String>,
}

/// An alert this long after an attack's last request still counts for the attack, because windows
/// close and incidents are revised late.
const AFTERMATH_SECONDS: f64 = 3_600.0;

#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("{path}: {reason}")]
    Read { path: String, reason: std::io::Error },
    #[error("{path}:{line}: {reason}")]
    Parse { path: String, line: usize, reason: serde_json::Error },
}

/// Reads one JSON object a line: labels, or alerts as a backtest writes them.
///
/// # Errors
/// Returns an error for an unreadable file, or for a line that does not parse, with its number.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, LineError> {
    let name = || path.display().to_string();
    let unreadable = |reason| LineError::Read { path: name(), reason };
    let file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut objects = Vec::new();
    for (index, line) in file.lines().enumerate() {
        let line = line.map_err(unreadable)?;
        if line.trim().is_empty() {
            continue;
        }
        let object = serde_json::from_str(&line).map_err(|reason| LineError::Parse {
            path: name(),
            line: index + 1,
            reason,
        })?;
        objects.push(object);
    }
    Ok(objects)
}

impl Label {
    /// Whether the alert is about this attack's key and falls within the attack.
    pub fn covers(&self, alert: &Alert) -> bool {
        let same_key = self.key_id == alert.key_id
            || self.key_id.as_ref().is_some_and(|key| alert.affected_keys.contains(key));
        let time = alert.detected_event_time;
        same_key && time >= self.start && time <= self.end.plus_seconds(AFTERMATH_SECONDS)
    }

    /// Whether the alert names one of the detectors that count.
    pub fn is_named_by(&self, alert: &Alert) -> bool {
        self.detectors.is_empty()
            || alert.detectors.iter().any(|d| self.detectors.iter().any(|l| l == d.as_str()))
    }

    pub fn lasts_at(&self, time: EventTime) -> bool {
        self.start <= time && time <= self.end
    }

    /// The time range of the attack with some time before and after, which shows the usual traffic.
    pub fn surroundings(&self) -> (EventTime, EventTime) {
        let context = self.end.seconds_since(self.start).clamp(1_800.0, 86_400.0);
        (self.start.plus_seconds(-context), self.end.plus_seconds(context / 2.0))
    }
}
