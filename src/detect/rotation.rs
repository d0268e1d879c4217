//! Finds keys or secrets that are created, rotated or read unusually fast:
//! `lifecycle.rotation_abuse`.

use serde_json::json;

use super::Signal;
use crate::alert::DetectorId;
use crate::event::{EventTime, HOUR_SECONDS};
use crate::profile::key_management::{KeyAction, KeyManagementProfile, WINDOW_SECONDS};

/// A key with less history than this is not judged.
pub const MIN_HISTORY_SECONDS: f64 = 6.0 * HOUR_SECONDS;
/// Fewer requests than this in a window are not a finding.
const MIN_REQUESTS: u32 = 8;

/// Unusually many requests on keys and secrets in the current window.
#[derive(Clone, Copy, Debug)]
pub struct RotationAbuse {
    pub p_value: f64,
    count: u32,
    /// Requests of a usual busy window in which the key manages keys; `None` if it never did.
    usual: Option<f64>,
}

/// Judges the current window by how rarely the key manages keys at all, and by how many requests it
/// then makes (a hurdle model with a geometric tail; Mullahy 1986).
pub fn find_rotation_abuse(
    profile: &KeyManagementProfile,
    first_seen: EventTime,
    time: EventTime,
) -> Option<RotationAbuse> {
    let count = profile.current();
    let history = time.seconds_since(first_seen);
    if count < MIN_REQUESTS || history < MIN_HISTORY_SECONDS {
        return None;
    }
    let windows = history / WINDOW_SECONDS as f64;
    let any = ((profile.active_windows() + 0.5) / (windows + 1.0)).min(1.0);
    let usual = profile.usual_most();
    let p_value = any * (usual / (1.0 + usual)).powf(f64::from(count - 1));
    let usual = (profile.active_windows() != 0.0).then_some(usual);
    Some(RotationAbuse { p_value: p_value.max(f64::MIN_POSITIVE), count, usual })
}

impl RotationAbuse {
    pub fn into_signal(self, profile: &KeyManagementProfile) -> Signal {
        let Self { count, usual, .. } = self;
        let of = |action| profile.current_of(action);
        let (created, rotated) = (of(KeyAction::Create), of(KeyAction::Rotate));
        let (read, deleted) = (of(KeyAction::Read), of(KeyAction::Delete));
        let minutes = WINDOW_SECONDS / 60;
        let before = match usual {
            None => "it never did so before".to_owned(),
            Some(usual) => {
                format!("up to about {usual:.0} are usual for it when it does so at all")
            }
        };
        Signal {
            detector: DetectorId::RotationAbuse,
            p_value: self.p_value,
            observed: Some(f64::from(count)),
            expected: Some(usual.unwrap_or(0.0)),
            headline: format!("{count} requests on keys and secrets within {minutes} minutes"),
            sentence: format!(
                "{count} requests on keys and secrets within {minutes} minutes ({created} to \
                 create, {rotated} to rotate, {read} to read, {deleted} to delete); {before}."
            ),
            fields: json!({
                "count": count,
                "created": created,
                "rotated": rotated,
                "read": read,
                "deleted": deleted,
                "window_seconds": WINDOW_SECONDS,
                "usual_count": usual.unwrap_or(0.0),
            }),
            ceiling: None,
        }
    }
}
