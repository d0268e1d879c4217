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
        let rows = match self {
            Self::Json => {
                let values = values(text)?.into_iter();
                (1..).zip(values).map(|(at, it)| Entry::of_value(at, it, &hash, now)).collect()
            }
            Self::Lines => {
                let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
                lines.map(|(number, line)| Entry::read(number, line, &hash, now)).collect()
            }
            Self::Csv => {
                let rows = Entry::of_file(Path::new("body.csv"), text, &hash);
                rows.map_err(|error| unreadable(error.to_string()))?
            }
        };
        within_limits(rows)
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
        let values = match self {
            Self::Json => values(text)?,
            Self::Lines => {
                let lines = text.lines().filter(|line| !line.trim().is_empty());
                lines.map(values).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()
            }
            Self::Csv => {
                let detail = "send application/json or application/x-ndjson";
                return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
            }
        };
        let complete = |mut value: Value| {
            if let Value::Object(object) = &mut value {
                object.insert("key_id".into(), id.into());
                object.entry("time").or_insert_with(|| now.to_string().into());
            }
            value
        };
        let entry = |(number, value)| {
            Entry::of_value(number, complete(value), &|raw| hasher.hash(raw), now)
        };
        within_limits((1..).zip(values).map(entry).collect())
    }
}

fn values(text: &str) -> Result<Vec<Value>, Problem> {
    // The message of serde may repeat a value, which may be a raw key.
    let place = |error: serde_json::Error| {
        unreadable(format!("not JSON at line {} column {}", error.line(), error.column()))
    };
    match serde_json::from_str(text).map_err(place)? {
        Value::Array(values) => Ok(values),
        value => Ok(vec![value]),
    }
}

fn unreadable(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

fn within_limits(rows: Vec<Entry>) -> Result<Vec<Entry>, Problem> {
    if rows.len() > MAX_ROWS {
        let detail = format!("{} rows, expected at most {MAX_ROWS}", rows.len());
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    Ok(rows)
}
