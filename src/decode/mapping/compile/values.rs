//! Reads the values of a mapping's keys.

use jiff::tz::Offset;
use strsim::normalized_damerau_levenshtein;
use toml::{Table, Value};

use super::{Result, wrong};
use crate::decode::mapping::path::Path;

pub(super) fn closest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> String {
    let similarity = |known: &&str| normalized_damerau_levenshtein(name, known);
    match known.max_by(|a, b| similarity(a).total_cmp(&similarity(b))) {
        Some(closest) => format!("did you mean `{closest}`?"),
        None => String::new(),
    }
}

pub(super) fn path(key: &str, value: &Value) -> Result<Path> {
    Path::parse(text(key, value)?).or_else(|message| wrong(key, message))
}

/// The number of microseconds in a unit.
pub(super) fn micros(key: &str, value: &Value) -> Result<f64> {
    match value.as_str() {
        Some("s") => Ok(1e6),
        Some("ms") => Ok(1e3),
        Some("us") => Ok(1.0),
        Some("ns") => Ok(1e-3),
        _ => wrong(key, "expected a unit: `s`, `ms`, `us` or `ns`"),
    }
}

/// `UTC`, `+02:00` or `-0500`.
pub(super) fn zone(key: &str, value: &Value) -> Result<Offset> {
    let text = text(key, value)?;
    if text == "UTC" || text == "Z" {
        return Ok(Offset::UTC);
    }
    match jiff::fmt::strtime::parse("%:z", text).or_else(|_| jiff::fmt::strtime::parse("%z", text))
    {
        Ok(parsed) if let Some(offset) = parsed.offset() => Ok(offset),
        _ => wrong(key, "expected `UTC` or an offset such as `+02:00`"),
    }
}

pub(super) fn boolean(table: &Table, key: &str) -> Result<bool> {
    match table.get(key) {
        None => Ok(false),
        Some(Value::Boolean(boolean)) => Ok(*boolean),
        Some(_) => wrong(key, "expected true or false"),
    }
}

pub(super) fn text<'v>(key: &str, value: &'v Value) -> Result<&'v str> {
    match value {
        Value::String(text) => Ok(text),
        other => wrong(key, format!("expected a string, found {}", other.type_str())),
    }
}

/// A text, number or boolean as text.
pub(super) fn scalar(key: &str, value: &Value) -> Result<Box<str>> {
    match value {
        Value::String(text) => Ok(text.as_str().into()),
        Value::Integer(number) => Ok(number.to_string().into()),
        Value::Boolean(boolean) => Ok(boolean.to_string().into()),
        other => wrong(
            key,
            format!("expected a string, a whole number or a boolean, found {}", other.type_str()),
        ),
    }
}

pub(super) fn list<'v>(key: &str, value: &'v Value) -> Result<Vec<&'v Value>> {
    match value {
        Value::Array(items) => Ok(items.iter().collect()),
        other => wrong(key, format!("expected a list, found {}", other.type_str())),
    }
}

pub(super) fn texts(key: &str, value: &Value) -> Result<Vec<Box<str>>> {
    let items = match value {
        Value::String(_) => vec![value],
        value => list(key, value)?,
    };
    items.into_iter().map(|item| scalar(key, item)).collect()
}
