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

/// An answer of the registered owner of a key to "Was it you?".
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum OwnerAnswer {
    ItWasMe,
    ItWasNotMe,
}

impl OwnerAnswer {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    pub const fn words(self) -> &'static str {
        match self {
            Self::ItWasMe => "it was me",
            Self::ItWasNotMe => "it was not me",
        }
    }
}

/// The answers of a key's registered owner. They are evidence for people, and decide nothing: a thief
/// may read the owner's mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerWord {
    pub it_was_me: u32,
    pub it_was_not_me: u32,
    /// `None` while the owner was asked and has not answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<OwnerAnswer>,
}

impl OwnerWord {
    pub const fn count(&self, answer: OwnerAnswer) -> u32 {
        match answer {
            OwnerAnswer::ItWasMe => self.it_was_me,
            OwnerAnswer::ItWasNotMe => self.it_was_not_me,
        }
    }

    pub const fn add(&mut self, answer: OwnerAnswer) {
        match answer {
            OwnerAnswer::ItWasMe => self.it_was_me += 1,
            OwnerAnswer::ItWasNotMe => self.it_was_not_me += 1,
        }
        self.last = Some(answer);
    }
}

/// The answers as a clause, after "the owner".
impl fmt::Display for OwnerWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.last, self.it_was_me, self.it_was_not_me) {
            (None, ..) => f.write_str("was asked and has not answered"),
            (Some(last), yes, no) if yes > 0 && no > 0 => write!(
                f,
                "gave both answers (it was me: {yes}, it was not me: {no}), at last \"{}\"",
                last.words()
            ),
            (Some(last), ..) => write!(f, "answered \"{}\"", last.words()),
        }
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
    /// The answers of the registered owner, if asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_said: Option<OwnerWord>,
}
