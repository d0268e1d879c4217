//! Defines an act: one thing that a person did to an incident.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use crate::alert::{Action, Alert, AlertType, CloseReason, DetectorId, OwnerAnswer, Severity};
use crate::event::EventTime;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Kind {
    Acknowledge,
    Assign,
    Comment,
    /// Closes the incident: the key was misused.
    Confirm,
    /// Closes the incident: the key was not misused.
    Dismiss,
    Reopen,
    /// Lets Keywatch request the suspension or revocation that it proposes.
    Approve,
    /// Forbids it.
    Reject,
    /// Keywatch asks the registered owner of the key: "Was it you?"
    AskOwner,
    /// The owner answers. It changes nothing but what is known.
    OwnerYes,
    OwnerNo,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::VARIANTS.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// `dismissed`: what was done, after "who".
    pub const fn done(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledged",
            Self::Assign => "assigned",
            Self::Comment => "commented",
            Self::Confirm => "confirmed",
            Self::Dismiss => "dismissed",
            Self::Reopen => "reopened",
            Self::Approve => "approved",
            Self::Reject => "rejected",
            Self::AskOwner => "asked",
            Self::OwnerYes | Self::OwnerNo => "answered",
        }
    }

    /// Whether people who respond do it. Nobody but Keywatch asks an owner, and nobody but whoever
    /// has the owner's links answers.
    pub const fn is_of_responders(self) -> bool {
        !matches!(self, Self::AskOwner | Self::OwnerYes | Self::OwnerNo)
    }

    /// Whether it decides nothing and takes nothing back, so that nobody must read it before acting.
    pub const fn is_remark(self) -> bool {
        matches!(self, Self::Comment | Self::AskOwner | Self::OwnerYes | Self::OwnerNo)
    }

    /// The act by which an owner gives this answer.
    pub const fn of_answer(answer: OwnerAnswer) -> Self {
        match answer {
            OwnerAnswer::ItWasMe => Self::OwnerYes,
            OwnerAnswer::ItWasNotMe => Self::OwnerNo,
        }
    }

    /// The answer that an owner gives by it.
    pub const fn answer(self) -> Option<OwnerAnswer> {
        match self {
            Self::OwnerYes => Some(OwnerAnswer::ItWasMe),
            Self::OwnerNo => Some(OwnerAnswer::ItWasNotMe),
            _ => None,
        }
    }

    pub const fn closes(self) -> bool {
        matches!(self, Self::Confirm | Self::Dismiss)
    }

    /// Whether it decides about a proposed action.
    pub const fn rules(self) -> bool {
        matches!(self, Self::Approve | Self::Reject)
    }

    /// Whether a closing for this reason is an act of this kind.
    pub const fn fits(self, reason: CloseReason) -> bool {
        match self {
            Self::Confirm => reason.confirms(),
            Self::Dismiss => !reason.confirms(),
            _ => false,
        }
    }
}

/// Where a person acted from.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Origin {
    CommandLine,
    Console,
    Api,
    /// A link that was sent to the key's owner.
    Link,
    /// Keywatch itself.
    Service,
}

impl Origin {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// The origin with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::VARIANTS.iter().copied().find(|origin| origin.as_str() == name)
    }

    pub const fn words(self) -> &'static str {
        match self {
            Self::CommandLine => "command line",
            Self::Console => "console",
            Self::Api => "API",
            Self::Link => "link to the owner",
            Self::Service => "service",
        }
    }
}

/// The evidence of an incident at one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub revision: u32,
    /// When the revision was detected, by the wall clock.
    pub at: EventTime,
    pub severity: Severity,
    /// The action that it asked for.
    pub action: Action,
    pub detectors: Vec<DetectorId>,
}

impl Seen {
    pub fn of(alert: &Alert) -> Self {
        Self {
            revision: alert.revision,
            at: alert.detected_at,
            severity: alert.severity,
            action: alert.action,
            detectors: alert.detectors.clone(),
        }
    }

    /// The latest evidence among the revisions of an incident.
    pub fn latest<'a>(revisions: impl IntoIterator<Item = &'a Alert>) -> Option<Self> {
        let evidence = revisions.into_iter().filter(|alert| brings_evidence(alert));
        evidence.max_by_key(|alert| alert.revision).map(Self::of)
    }
}

/// Whether a revision brings evidence. The end of an incident and a request do not.
pub fn brings_evidence(alert: &Alert) -> bool {
    matches!(alert.alert_type, AlertType::Opened | AlertType::Updated)
}

/// One row of the table `incident_acts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Act {
    pub incident: String,
    /// Unique; tells apart acts of the same time.
    pub id: String,
    /// By the clock of the database, later than each act that its author knew.
    pub time: EventTime,
    pub who: String,
    pub origin: Origin,
    pub kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<CloseReason>,
    /// Who gets it, or the owner who is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The latest evidence that the author knew.
    pub seen: Seen,
    /// For so long after a closing, evidence of the same kind is kept quiet.
    #[serde(skip_serializing_if = "is_zero")]
    pub quiet_seconds: u32,
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// `dismissed it as false_travel`, `assigned it to alice`: what was done, after "who".
impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(answer) = self.kind.answer() {
            return write!(f, "answered as the key's owner: {}", answer.words());
        }
        match (self.kind, self.reason, &self.assignee) {
            (Kind::Comment, ..) => f.write_str("commented"),
            (Kind::AskOwner, _, owner) => {
                write!(f, "asked the owner {}", owner.as_deref().unwrap_or("of the key"))
            }
            (kind, ..) if kind.rules() => {
                write!(f, "{} to {} the key", kind.done(), self.seen.action)
            }
            (kind, Some(reason), _) => write!(f, "{} it as {reason}", kind.done()),
            (kind, None, Some(assignee)) => write!(f, "{} it to {assignee}", kind.done()),
            (kind, None, None) => write!(f, "{} it", kind.done()),
        }
    }
}
