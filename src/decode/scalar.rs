//! Reads one value of a log record without interpreting it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::event::EventTime;

/// Elements of a list that are joined.
const MAX_JOINED: usize = 64;

/// A JSON value that borrows from the record. `null` and the empty string count as absent, because
/// loggers write both for a missing value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Scalar<'a> {
    #[default]
    Absent,
    /// The empty string. It counts as absent, except as a path, where it means `/`.
    Empty,
    Text(Cow<'a, str>),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Boolean(bool),
    /// A time that a mapping read by its own rule.
    Time(EventTime),
    /// An array or an object, described in words.
    Other(&'static str),
}

impl<'a> Scalar<'a> {
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent | Self::Empty)
    }

    /// Returns the text of a string or the digits of an integer, because producers write ids as
    /// both.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Unsigned(number) => Some(Cow::Owned(number.to_string())),
            Self::Negative(number) => Some(Cow::Owned(number.to_string())),
            _ => None,
        }
    }

    /// Returns the value without a borrow from the record.
    pub fn into_owned(self) -> Scalar<'static> {
        match self {
            Self::Absent => Scalar::Absent,
            Self::Empty => Scalar::Empty,
            Self::Text(text) => Scalar::Text(Cow::Owned(text.into_owned())),
            Self::Unsigned(number) => Scalar::Unsigned(number),
            Self::Negative(number) => Scalar::Negative(number),
            Self::Float(number) => Scalar::Float(number),
            Self::Boolean(boolean) => Scalar::Boolean(boolean),
            Self::Time(time) => Scalar::Time(time),
            Self::Other(kind) => Scalar::Other(kind),
        }
    }

    /// Returns a whole number of at least zero, also when written as `"200"` or `200.0`.
    pub fn unsigned(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Float(float) if float.fract() == 0.0 && (0.0..2f64.powi(53)).contains(float) => {
                Some(*float as u64)
            }
            _ => None,
        }
    }

    /// Returns a boolean, also when written as `"true"` or as 1.
    pub fn boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(boolean) => Some(*boolean),
            Self::Unsigned(0) => Some(false),
            Self::Unsigned(1) => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// Returns a finite number, also when written as `"12.5"`.
    pub fn float(&self) -> Option<f64> {
        let float = match self {
            Self::Unsigned(number) => *number as f64,
            Self::Negative(number) => *number as f64,
            Self::Float(float) => *float,
            Self::Text(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        float.is_finite().then_some(float)
    }

    /// Reads `raw` without losing digits: integers beyond 64 bits, as some nonces are, become
    /// text instead of a rounded float.
    pub fn exact(raw: &'a RawValue) -> Self {
        let json = raw.get();
        match json.as_bytes().first() {
            Some(b'0'..=b'9' | b'-') => Self::Text(Cow::Borrowed(json)),
            _ => serde_json::from_str(json).unwrap_or(Self::Other("a string with broken escapes")),
        }
    }

    /// Reads `raw`, and an array of texts as one text with commas between them, as HTTP joins a
    /// header that is sent several times (RFC 9110 section 5.3). Only the last elements are kept.
    pub fn joined(raw: &'a RawValue) -> Self {
        let json = raw.get();
        if !json.starts_with('[') {
            return serde_json::from_str(json)
                .unwrap_or(Self::Other("a string with broken escapes"));
        }
        let elements = serde_json::from_str::<Vec<Scalar<'_>>>(json).unwrap_or_default();
        let last = &elements[elements.len().saturating_sub(MAX_JOINED)..];
        let joined: Vec<_> =
            last.iter().map(|it| it.text().unwrap_or(Cow::Borrowed("?"))).collect();
        if joined.is_empty() { Self::Absent } else { Self::Text(Cow::Owned(joined.join(", "))) }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

pub(super) struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(if text.is_empty() { Scalar::Empty } else { Scalar::Text(Cow::Borrowed(text)) })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(if text.is_empty() { Scalar::Empty } else { Scalar::Text(Cow::Owned(text.into())) })
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Unsigned(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Negative(number))
    }

    fn visit_f64<E: Error>(self, float: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(float))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Absent)
    }

    fn visit_bool<E: Error>(self, boolean: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Boolean(boolean))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other("an object"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn scalar(json: &str) -> Scalar<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn null_and_empty_string_are_absent() {
        assert!(scalar("null").is_absent());
        assert!(scalar(r#""""#).is_absent());
        assert!(!scalar("0").is_absent());
    }

    #[test]
    fn numbers_may_be_strings_and_the_reverse() {
        assert_eq!(scalar(r#""200""#).unsigned(), Some(200));
        assert_eq!(scalar("200.0").unsigned(), Some(200));
        assert_eq!(scalar("200.5").unsigned(), None);
        assert_eq!(scalar("-1").unsigned(), None);
        assert_eq!(scalar("true").unsigned(), None);
        assert_eq!(scalar(r#""12.5""#).float(), Some(12.5));
        assert_eq!(scalar(r#""NaN""#).float(), None);
        assert_eq!(scalar("42").text().as_deref(), Some("42"));
        assert_eq!(scalar("[1]").text(), None);
    }

    #[test]
    fn exact_keeps_every_digit() {
        let exact = |json: &str| {
            let raw: &RawValue = serde_json::from_str(json).unwrap();
            Scalar::exact(raw).text().map(Cow::into_owned)
        };
        assert_eq!(exact("20240101123045123456").as_deref(), Some("20240101123045123456"));
        assert_eq!(exact(r#""\u0061b""#).as_deref(), Some("ab"));
        assert_eq!(exact("null"), None);
        assert_eq!(exact("{}"), None);
    }
}
