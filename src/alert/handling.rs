//! Defines how people handle an incident, as its alerts tell it.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use crate::event::EventTime;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum IncidentState {
    Open,
    Acknowledged,
    Closed,
}

impl IncidentState {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// The state with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::VARIANTS.iter().copied().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for IncidentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why people closed an incident. The first two confirm it, the others dismiss it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum CloseReason {
    Theft,
    MisuseByOwner,
    Test,
    FalseTravel,
    FalseDeploy,
    FalseOther,
    Duplicate,
}

impl CloseReason {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// The reason with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::VARIANTS.iter().copied().find(|reason| reason.as_str() == name)
    }

    /// Whether it says that the key was misused.
    pub const fn confirms(self) -> bool {
        matches!(self, Self::Theft | Self::MisuseByOwner)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The decisions of people about an incident, and the terms of a request. The core leaves it empty;
/// response and delivery fill it in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Handling {
    /// `None` while nobody has touched the incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<IncidentState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_reason: Option<CloseReason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// When people had closed the incident, if new evidence has reopened it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reopened_after: Option<EventTime>,
    /// The suppression that hides the alert from people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed_by: Option<String>,
    /// A request is not sent after this time, and a receiver should not act on it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<EventTime>,
    /// The end of the suspension that is requested: the receiver lifts it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_until: Option<EventTime>,
}
