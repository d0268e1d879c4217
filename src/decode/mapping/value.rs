//! Makes the value of a field from the values that a record has.

use std::borrow::Cow;

use jiff::tz::Offset;

use super::text;
use crate::decode::scalar::Scalar;
use crate::decode::time;
use crate::event::EventTime;

/// One place from which a field may be taken, and what is done with the value.
#[derive(Debug)]
pub(super) struct Source {
    pub origin: Origin,
    pub absent: Vec<Box<str>>,
    /// Patterns of which the value must match one.
    pub only: Vec<Box<str>>,
    /// Patterns of which the value must match none.
    pub except: Vec<Box<str>>,
    pub strip: Option<Box<str>>,
    pub part: Option<Part>,
    pub map: Option<Map>,
    pub reading: Reading,
    pub is_secret: bool,
}

#[derive(Debug)]
pub(super) enum Origin {
    Slot(usize),
    Constant(Box<str>),
    Template(Vec<Piece>),
}

#[derive(Debug)]
pub(super) enum Piece {
    Text(Box<str>),
    Slot(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The path of a URL.
    Path,
    /// A parameter of a URL's query.
    Query(Box<str>),
    /// The method of a request line, `GET /v1 HTTP/1.1`.
    Method,
    /// The target of a request line.
    Target,
}

/// Replaces values. Exact keys come before patterns, and longer patterns before shorter ones.
#[derive(Debug, Default)]
pub(super) struct Map {
    pub entries: Vec<(Box<str>, Box<str>)>,
    pub default: Option<Box<str>>,
}

/// How the value is read in the end.
#[derive(Debug)]
pub(super) enum Reading {
    AsIs,
    Time(TimeRule),
    /// A duration, with the factor that makes milliseconds of it.
    Milliseconds(f64),
}

#[derive(Debug, Default)]
pub(super) struct TimeRule {
    /// Microseconds in the unit of a number; without it, the size of the number decides.
    pub unit: Option<f64>,
    pub strptime: Option<Box<str>>,
    /// Applies where the text has no offset.
    pub zone: Option<Offset>,
    /// A duration to subtract: its slot, and the microseconds in its unit.
    pub minus: Option<(usize, f64)>,
}

impl Source {
    /// Returns the value, or nothing if this source has none.
    pub fn take<'a>(&self, slots: &[Scalar<'a>]) -> Option<Scalar<'a>> {
        let value = self.origin.value(slots)?;
        if self.absent.iter().any(|absent| is_spelled(&value, absent)) || !self.admits(&value) {
            return None;
        }
        let value = match &self.strip {
            Some(prefix) => cut(value, |text| Some(text.strip_prefix(&**prefix).unwrap_or(text)))?,
            None => value,
        };
        let value = match &self.part {
            Some(part) => part.of(value)?,
            None => value,
        };
        let value = match &self.map {
            Some(map) => map.replace(value)?,
            None => value,
        };
        Some(match &self.reading {
            Reading::AsIs => value,
            Reading::Time(rule) => rule.read(value, slots),
            Reading::Milliseconds(factor) => match value.float() {
                Some(number) => Scalar::Float(number * factor),
                None => value,
            },
        })
    }

    fn admits(&self, value: &Scalar<'_>) -> bool {
        if self.only.is_empty() && self.except.is_empty() {
            return true;
        }
        let text = shown(value);
        let matches = |patterns: &[Box<str>]| patterns.iter().any(|it| text::matches(it, &text));
        (self.only.is_empty() || matches(&self.only)) && !matches(&self.except)
    }
}

impl Origin {
    fn value<'a>(&self, slots: &[Scalar<'a>]) -> Option<Scalar<'a>> {
        match self {
            Self::Slot(slot) => {
                let value = &slots[*slot];
                (*value != Scalar::Absent).then(|| value.clone())
            }
            Self::Constant(text) => Some(Scalar::Text(Cow::Owned(text.to_string()))),
            Self::Template(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(piece) => text.push_str(piece),
                        Piece::Slot(slot) => text.push_str(&slots[*slot].text()?),
                    }
                }
                Some(Scalar::Text(Cow::Owned(text)))
            }
        }
    }
}

impl Part {
    fn of<'a>(&self, value: Scalar<'a>) -> Option<Scalar<'a>> {
        match self {
            Self::Path => cut(value, |text| Some(text::url_path(text))),
            Self::Method => cut(value, |text| text::request_line(text).map(|(method, _)| method)),
            Self::Target => cut(value, |text| text::request_line(text).map(|(_, target)| target)),
            Self::Query(name) => {
                let parameter = text::query_parameter(&value.text()?, name)?;
                Some(Scalar::Text(Cow::Owned(parameter)))
            }
        }
    }
}

impl Map {
    fn replace<'a>(&self, value: Scalar<'a>) -> Option<Scalar<'a>> {
        let text = shown(&value);
        let entry = self.entries.iter().find(|(pattern, _)| text::matches(pattern, &text));
        let new = entry.map(|(_, new)| new).or(self.default.as_ref())?;
        Some(Scalar::Text(Cow::Owned(new.to_string())))
    }
}

impl TimeRule {
    /// Reads the time. A value that the rule does not fit is left as it is: it may be a form that
    /// every format accepts.
    fn read<'a>(&self, value: Scalar<'a>, slots: &[Scalar<'_>]) -> Scalar<'a> {
        let Some(time) = self.time(&value) else { return value };
        let Some((slot, unit)) = self.minus else { return Scalar::Time(time) };
        match slots[slot].float() {
            Some(duration) if duration >= 0.0 => {
                let micros = (duration * unit).min(i64::MAX as f64) as i64;
                Scalar::Time(EventTime::from_micros(time.as_micros().saturating_sub(micros)))
            }
            _ => Scalar::Time(time),
        }
    }

    fn time(&self, value: &Scalar<'_>) -> Option<EventTime> {
        if let Some(unit) = self.unit
            && let Some(time) = time::epoch(value, unit)
        {
            return Some(time);
        }
        if let (Some(pattern), Scalar::Text(text)) = (&self.strptime, value)
            && let Some(time) = time::strptime(pattern, text, self.zone)
        {
            return Some(time);
        }
        let in_zone = || match (self.zone, value) {
            (Some(zone), Scalar::Text(text)) => time::in_zone(text, zone),
            _ => None,
        };
        time::parse(value).or_else(in_zone)
    }
}

/// Shortens a text without a copy where it borrows from the record.
fn cut<'a>(value: Scalar<'a>, part: impl Fn(&str) -> Option<&str>) -> Option<Scalar<'a>> {
    match value {
        Scalar::Text(Cow::Borrowed(text)) => part(text).map(of_text),
        Scalar::Text(Cow::Owned(text)) => part(&text).map(|it| of_text(it).into_owned()),
        other => Some(other),
    }
}

fn of_text(text: &str) -> Scalar<'_> {
    if text.is_empty() { Scalar::Empty } else { Scalar::Text(Cow::Borrowed(text)) }
}

/// The value as patterns see it.
pub(super) fn shown<'v>(value: &'v Scalar<'_>) -> Cow<'v, str> {
    match value {
        Scalar::Boolean(boolean) => Cow::Borrowed(if *boolean { "true" } else { "false" }),
        Scalar::Float(number) => Cow::Owned(number.to_string()),
        Scalar::Other(kind) => Cow::Borrowed(kind),
        other => other.text().unwrap_or_default(),
    }
}

fn is_spelled(value: &Scalar<'_>, absent: &str) -> bool {
    match value {
        Scalar::Text(text) => text == absent,
        Scalar::Unsigned(number) => absent.parse() == Ok(*number),
        Scalar::Negative(number) => absent.parse() == Ok(*number),
        _ => false,
    }
}
