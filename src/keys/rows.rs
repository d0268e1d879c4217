//! Reads the rows of a request: lines of JSON, one JSON document, or CSV.

use std::path::Path;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::decode::KeyHasher;
use crate::event::EventTime;
use crate::http::Problem;
use crate::registry::Entry;

/// Rows of one request.
pub(super) const MAX_ROWS: usize = 10_000;

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One object, or an array of objects.
    Json,
    /// One object a line.
    Lines,
    Csv,
}

impl Form {
    /// # Errors
    /// 415 for another content type, and for none: a page of another site may send a plain text.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
        match essence.trim().to_ascii_lowercase().as_str() {
            "application/json" => Ok(Self::Json),
            "application/x-ndjson" | "application/jsonl" | "application/x-jsonlines" => {
                Ok(Self::Lines)
            }
            "text/csv" => Ok(Self::Csv),
            _ => {
                let detail = "send application/json, application/x-ndjson or text/csv";
                Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
            }
        }
    }

    /// The rows. Those of a JSON array are numbered from 1.
    ///
    /// # Errors
    /// 400 for a body that as a whole is not of this form, 413 for too many rows.
    pub fn rows(
        self,
        text: &str,
        hasher: &KeyHasher,
        now: EventTime,
    ) -> Result<Vec<Entry>, Problem> {
        let hash = |raw: &str| hasher.hash(raw);
        Ok(match self {
            Self::Json => {
                let values = (1..).zip(values(text)?);
                values.map(|(at, it)| Entry::of_value(at, it, &hash, now)).collect()
            }
            Self::Lines => {
                let lines = lines(text)?.into_iter();
                lines.map(|(number, line)| Entry::read(number, line, &hash, now)).collect()
            }
            Self::Csv => {
                check_number(csv::Reader::from_reader(text.as_bytes()).byte_records().count())?;
                let rows = Entry::of_file(Path::new("body.csv"), text, &hash);
                rows.map_err(|error| unreadable(error.to_string()))?
            }
        })
    }

    /// Events of one key. Each has the time of the request if it names none.
    ///
    /// # Errors
    /// As [`Self::rows`]; 415 for CSV.
    pub fn events_of(
        self,
        id: &str,
        text: &str,
        hasher: &KeyHasher,
        now: EventTime,
    ) -> Result<Vec<Entry>, Problem> {
        let rows: Vec<(u64, Result<Value, String>)> = match self {
            Self::Json => (1..).zip(values(text)?.into_iter().map(Ok)).collect(),
            Self::Lines => {
                let lines = lines(text)?.into_iter();
                lines.map(|(number, line)| (number, value(line))).collect()
            }
            Self::Csv => {
                let detail = "send application/json or application/x-ndjson";
                return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
            }
        };
        let entry = |(number, value): (u64, Result<Value, String>)| {
            let event = value.and_then(|value| complete(value, id, now));
            match event {
                Ok(event) => Entry::of_value(number, event, &|raw| hasher.hash(raw), now),
                Err(reason) => Entry { number, row: Err(reason) },
            }
        };
        Ok(rows.into_iter().map(entry).collect())
    }
}

/// An event with the key of the path and, if it names none, the time of the request.
fn complete(mut value: Value, id: &str, now: EventTime) -> Result<Value, String> {
    if let Value::Object(object) = &mut value {
        if !object.contains_key("event") {
            return Err("field `event` is missing".into());
        }
        object.insert("key_id".into(), id.into());
        object.entry("time").or_insert_with(|| now.to_string().into());
    }
    Ok(value)
}

/// The lines that are not empty, with their numbers.
fn lines(text: &str) -> Result<Vec<(u64, &str)>, Problem> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let lines: Vec<_> = lines.collect();
    check_number(lines.len())?;
    Ok(lines)
}

/// The message of serde may repeat a value, which may be a raw key.
fn value(line: &str) -> Result<Value, String> {
    serde_json::from_str(line).map_err(|error| format!("not JSON at column {}", error.column()))
}

fn values(text: &str) -> Result<Vec<Value>, Problem> {
    // The message of serde may repeat a value, which may be a raw key.
    let place = |error: serde_json::Error| {
        unreadable(format!("not JSON at line {} column {}", error.line(), error.column()))
    };
    let values = match serde_json::from_str(text).map_err(place)? {
        Value::Array(values) => values,
        value => vec![value],
    };
    check_number(values.len())?;
    Ok(values)
}

fn unreadable(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

/// Checked before a row is read, since reading hashes raw keys.
fn check_number(rows: usize) -> Result<(), Problem> {
    if rows > MAX_ROWS {
        let detail = format!("{rows} rows, expected at most {MAX_ROWS}");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::DecodeConfig;

    const NOW: EventTime = EventTime::from_seconds(1_000);

    fn hasher() -> KeyHasher {
        KeyHasher::new(&DecodeConfig::default()).unwrap()
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_the_others_are_taken() {
        let text = "{\"event\":\"revoked\"}\n\n{\"event\":\n{\"owner\":\"eve\"}\n[]\n\
                    {\"event\":\"answered\"}\n";
        let rows = Form::Lines.events_of("a", text, &hasher(), NOW).unwrap();
        let reason = |row: Entry| (row.number, row.row.err().unwrap_or_default());
        let found: Vec<(u64, String)> = rows.into_iter().map(reason).collect();
        let expected = [
            (1, ""),
            (3, "not JSON at column 9"),
            (4, "field `event` is missing"),
            (5, "expected a JSON object"),
            (6, ""),
        ];
        assert_eq!(found, expected.map(|(number, reason)| (number, reason.to_owned())));
    }

    #[test]
    fn too_many_rows_are_refused_in_every_form() {
        let lines = "{}\n".repeat(MAX_ROWS + 1);
        let json = format!("[{}{{}}]", "{},".repeat(MAX_ROWS));
        let csv = format!("key_id\n{}", "a\n".repeat(MAX_ROWS + 1));
        for (form, text) in [(Form::Lines, &lines), (Form::Json, &json), (Form::Csv, &csv)] {
            assert!(form.rows(text, &hasher(), NOW).is_err(), "{form:?}");
        }
        for (form, text) in [(Form::Lines, &lines), (Form::Json, &json)] {
            assert!(form.events_of("a", text, &hasher(), NOW).is_err(), "{form:?}");
        }
        let most = "{}\n".repeat(MAX_ROWS);
        assert!(Form::Lines.rows(&most, &hasher(), NOW).is_ok());
    }
}
