//! Reads the rows by which keys are registered, and events in their lives.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::key::MAX_TEXT_BYTES;
use super::read::{describe, key, lines, parse_object};
use super::{Hasher, KeyEvent, KeyEventKind, RegisteredKey, RegistryError, Step};
use crate::event::{EventTime, KeyId};

/// What a row says.
#[derive(Clone, Debug)]
pub enum Row {
    /// Replaces the registration of its key.
    Key(Box<RegisteredKey>),
    Event(Box<Told>),
}

/// An event, and what it changes.
#[derive(Clone, Debug)]
pub struct Told {
    pub event: KeyEvent,
    pub step: Step,
}

/// A row, or the reason why it is none.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its line, its place, or its offset.
    pub number: u64,
    pub row: Result<Row, String>,
}

/// Longest comment and longest address of a place.
const MAX_COMMENT_BYTES: usize = 4_096;
/// Longest name of who found something.
const MAX_SOURCE_BYTES: usize = 256;
/// The clock of another machine may be ahead by so much.
const AHEAD_SECONDS: f64 = 60.0;

impl Entry {
    /// Reads one JSON object: an event if it has a field `event`, and else a registration.
    pub fn read(number: u64, text: &str, hasher: Hasher<'_>, now: EventTime) -> Self {
        Self::of(number, parse_object(text), hasher, now)
    }

    /// Reads one value.
    pub fn of_value(number: u64, value: Value, hasher: Hasher<'_>, now: EventTime) -> Self {
        let object = match value {
            Value::Object(object) => Ok(object),
            _ => Err("expected a JSON object".to_owned()),
        };
        Self::of(number, object, hasher, now)
    }

    fn of(
        number: u64,
        object: Result<Map<String, Value>, String>,
        hasher: Hasher<'_>,
        now: EventTime,
    ) -> Self {
        let row = object.and_then(|object| {
            if object.contains_key("event") {
                return event(object, now).map(|told| Row::Event(Box::new(told)));
            }
            key(object, hasher).map(|key| Row::Key(Box::new(key)))
        });
        Self { number, row }
    }

    /// The registrations of a file: CSV if its name ends in `.csv`, else one JSON object a line.
    ///
    /// # Errors
    /// The file as a whole cannot be read: a CSV without a column `key_id` or `api_key`.
    pub fn of_file(
        name: &Path,
        text: &str,
        hasher: Hasher<'_>,
    ) -> Result<Vec<Self>, RegistryError> {
        let lines = lines(&name.display().to_string(), text, hasher)?;
        let entry = |line: super::read::Line| Self {
            number: line.number,
            row: line.key.map(|key| Row::Key(Box::new(key))),
        };
        Ok(lines.into_iter().map(entry).collect())
    }
}

impl Row {
    pub fn key_id(&self) -> &KeyId {
        match self {
            Self::Key(key) => &key.key_id,
            Self::Event(told) => &told.event.key_id,
        }
    }
}

#[derive(Deserialize)]
struct EventRow {
    key_id: KeyId,
    event: KeyEventKind,
    time: EventTime,
    to: Option<KeyId>,
    grace_ends_at: Option<EventTime>,
    #[serde(default)]
    source: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    text: String,
}

fn event(object: Map<String, Value>, now: EventTime) -> Result<Told, String> {
    if object.contains_key("api_key") {
        return Err("field `api_key`: an event names its key by `key_id`".into());
    }
    let row: EventRow = serde_path_to_error::deserialize(Value::Object(object))
        .map_err(|error| describe(&error))?;
    row.check(now)?;
    let EventRow { key_id, event: kind, to, source, url, text, .. } = row;
    let time = row.time.min(now);
    let grace_ends_at = row.grace_ends_at.unwrap_or(time);
    let event = KeyEvent { key_id, kind, time, source, url, text };
    Ok(Told { event, step: Step { kind, time, to, grace_ends_at } })
}

impl EventRow {
    fn check(&self, now: EventTime) -> Result<(), String> {
        match self.event {
            KeyEventKind::Leaked => {
                return Err("field `event`: `keywatch keys leaked` and POST /v1/leaks take \
                            reports of leaks"
                    .into());
            }
            KeyEventKind::Changed => {
                return Err("field `event`: a registration says what has changed".into());
            }
            _ => {}
        }
        let is_rotation = self.event == KeyEventKind::Rotated;
        if is_rotation != self.to.is_some() || (self.grace_ends_at.is_some() && !is_rotation) {
            return Err(
                "field `to`: a rotation names the key that replaces this one, and may have \
                        `grace_ends_at`; other events have neither"
                    .into(),
            );
        }
        if self.time.seconds_since(now) > AHEAD_SECONDS {
            return Err("field `time`: an event is recorded when it has happened".into());
        }
        self.check_ids()?;
        self.check_texts()
    }

    /// As for registrations.
    fn check_ids(&self) -> Result<(), String> {
        let ids = [("key_id", Some(&self.key_id)), ("to", self.to.as_ref())];
        for (name, id) in ids.into_iter().filter_map(|(name, id)| Some((name, id?.as_str()))) {
            if id.trim().is_empty() {
                return Err(format!("field `{name}` is empty"));
            }
            if id.len() > MAX_TEXT_BYTES || id.contains(char::is_control) {
                return Err(format!(
                    "field `{name}`: expected at most {MAX_TEXT_BYTES} bytes without control \
                     characters"
                ));
            }
        }
        Ok(())
    }

    fn check_texts(&self) -> Result<(), String> {
        let texts = [
            ("source", &self.source, MAX_SOURCE_BYTES),
            ("url", &self.url, MAX_COMMENT_BYTES),
            ("text", &self.text, MAX_COMMENT_BYTES),
        ];
        for (name, text, most) in texts {
            let is_odd = |c: char| c.is_control() && !(name == "text" && c == '\n');
            if text.len() > most || text.contains(is_odd) {
                return Err(format!(
                    "field `{name}`: expected at most {most} bytes without control characters"
                ));
            }
        }
        Ok(())
    }
}
