//! Defines what people teach by closing an incident.

use std::ops::RangeInclusive;

use crate::event::{EventTime, KeyId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LessonKind {
    /// The key was misused: what was learned since the incident began was learned from a thief.
    Confirmed,
    /// What was reported is ordinary for the key.
    Dismissed,
}

/// The memories of a key that an incident's evidence is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topics {
    pub places: bool,
    pub programs: bool,
    pub routes: bool,
    pub bursts: bool,
}

/// The closing of an incident about a key, as its profile hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// The id of the act: a lesson is applied once.
    pub act: String,
    pub incident: String,
    pub key_id: KeyId,
    /// The time of the incident's first evidence.
    pub since: EventTime,
    /// The time of the incident's last event. Later reports belong to other incidents.
    pub until: EventTime,
    pub topics: Topics,
    pub kind: LessonKind,
}

impl Lesson {
    /// The time of the incident.
    pub const fn span(&self) -> RangeInclusive<EventTime> {
        self.since..=self.until
    }
}
