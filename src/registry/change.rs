//! Defines changes of the registry: registrations, and events in the life of keys.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use super::{Deed, KeyStatus, Lesson, RegisteredKey};
use crate::event::{EventTime, KeyId};

/// Events in the life of a key.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum KeyEventKind {
    Issued,
    /// Facts have changed for which there is no other kind.
    Changed,
    Rotated,
    ScopeChanged,
    Suspended,
    /// The key is active again.
    Resumed,
    Revoked,
    /// Somebody has looked at the secret.
    SecretRead,
    /// The owner has answered a question about the key.
    Answered,
    Leaked,
}

impl KeyEventKind {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::VARIANTS.iter().copied().find(|kind| kind.as_str() == name)
    }
}

/// One event in the life of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct KeyEvent {
    pub key_id: KeyId,
    pub kind: KeyEventKind,
    pub time: EventTime,
    /// Where a leak was found, such as `github`, or `webhook` for what a receiver answered; else
    /// empty. Whoever tells of an event may write anything: who told is said by the origin of the
    /// change.
    pub source: String,
    pub url: String,
    pub text: String,
}

impl KeyEvent {
    pub fn new(key_id: KeyId, kind: KeyEventKind, time: EventTime) -> Self {
        let (source, url, text) = Default::default();
        Self { key_id, kind, time, source, url, text }
    }
}

/// An event that changes a registration.
#[derive(Clone, Debug)]
pub struct Step {
    pub kind: KeyEventKind,
    pub time: EventTime,
    /// For a rotation: the key that replaces this one.
    pub to: Option<KeyId>,
    /// For a rotation: until then both keys are valid.
    pub grace_ends_at: EventTime,
}

impl RegisteredKey {
    /// The registration after an event.
    ///
    /// # Errors
    /// The reason why the event cannot happen to this key.
    pub fn after(&self, step: &Step) -> Result<Self, String> {
        let mut next = self.clone();
        match step.kind {
            KeyEventKind::Issued => next.created_at = Some(step.time),
            KeyEventKind::Rotated => {
                next.rotated_to.clone_from(&step.to);
                next.grace_ends_at = Some(step.grace_ends_at);
                next.status = KeyStatus::Retired;
            }
            KeyEventKind::Suspended => next.status = KeyStatus::Suspended,
            KeyEventKind::Resumed => {
                next.status = KeyStatus::Active;
                next.revoked_at = None;
            }
            KeyEventKind::Revoked => {
                next.status = KeyStatus::Revoked;
                next.revoked_at = Some(step.time);
            }
            KeyEventKind::Changed
            | KeyEventKind::ScopeChanged
            | KeyEventKind::SecretRead
            | KeyEventKind::Answered
            | KeyEventKind::Leaked => {}
        }
        next.check().map(|()| next)
    }
}

/// Registrations and events that are stored together, or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyChange {
    pub keys: Vec<RegisteredKey>,
    pub events: Vec<KeyEvent>,
}

impl KeyChange {
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.events.is_empty()
    }
}

/// The end of the records of a topic that a change was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPosition {
    pub topic: String,
    /// Kafka's topic ID.
    pub topic_id: String,
    pub partition: i32,
    /// Included.
    pub last_offset: i64,
}

/// A report that a key has leaked.
#[derive(Clone, Debug, PartialEq)]
pub struct Leak {
    pub key_id: KeyId,
    /// When it leaked, as far as that is known; else the time of the report.
    pub since: EventTime,
    pub source: CompactString,
    pub url: CompactString,
}

/// The changes after some number, in their order.
#[derive(Clone, Debug, Default)]
pub struct KeyNews {
    /// The number of the latest change.
    pub number: u64,
    pub keys: Vec<RegisteredKey>,
    pub leaks: Vec<Leak>,
    /// What was asked of the keys' store, and done by it.
    pub deeds: Vec<Deed>,
    /// What people have taught by closing incidents.
    pub lessons: Vec<Lesson>,
}
