//! What became of alerts on their way out.

use serde::{Deserialize, Serialize};

use crate::event::EventTime;

/// What became of one attempt. All but `Failed` are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    Delivered,
    /// Will be tried again.
    Failed,
    /// Will not be tried again.
    GaveUp,
    /// Not meant for the channel: too mild, or no news for a reader of e-mail.
    Skipped,
}

impl DeliveryOutcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::GaveUp => "gave_up",
            Self::Skipped => "skipped",
        }
    }
}

/// One attempt to deliver one revision of an alert through one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRow {
    pub alert_id: String,
    pub revision: u32,
    /// `email`, `webhook`, `topic`.
    pub channel: String,
    /// From 1; counts anew after a restart. Zero for `Skipped`.
    pub attempt: u32,
    pub outcome: DeliveryOutcome,
    /// What the receiver said, or why it could not be asked. Recipients are masked.
    pub detail: String,
    pub time: EventTime,
    /// The same for every attempt at this revision, so that a receiver can deduplicate.
    pub webhook_id: String,
}
