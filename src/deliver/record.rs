//! Records the outcome of each attempt to deliver an alert.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::event::EventTime;

/// The outcome of one attempt. All but `Failed` are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum DeliveryOutcome {
    Delivered,
    /// The lane will try again.
    Failed,
    /// The lane will not try again.
    GaveUp,
    /// The channel does not deliver this alert: its severity is too low, or it brings no news for a
    /// reader of e-mail.
    Skipped,
    /// People closed the incident, and this is the same kind of evidence.
    KeptQuiet,
    /// People have suppressed all of its evidence, or there is a maintenance window.
    Suppressed,
    /// A request came too late: people dismissed its incident, the incident ended, or the deadline
    /// has passed.
    Withdrawn,
}

impl DeliveryOutcome {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// One attempt to deliver one revision of an alert through one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRow {
    pub alert_id: String,
    pub revision: u32,
    /// `email`, `webhook`, `topic`, or the name of a `[channel.NAME]`.
    pub channel: String,
    /// Counts from 1, and again from 1 after a restart. Zero for what was not attempted.
    pub attempt: u32,
    pub outcome: DeliveryOutcome,
    /// The receiver's reply, or why the receiver could not be reached. Recipients are masked.
    pub detail: String,
    pub time: EventTime,
    /// The same for every attempt at this revision, so that a receiver can deduplicate.
    pub webhook_id: String,
}
