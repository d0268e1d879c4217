//! Reads registry files. JSON lines and CSV are converted to one form and read by one definition.

use std::fs;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};
use serde_json::{Map, Value};

use super::{Hasher, RegisteredKey};
use crate::event::KeyHash;

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("{path}: {reason}")]
    Read { path: String, reason: std::io::Error },
    #[error("{path}:{line}: {reason}; expected one JSON object with a key_id per line")]
    Json { path: String, line: u64, reason: String },
    #[error(
        "{path}:{line}: {reason}; expected a header line with a column key_id, then one key per line"
    )]
    Csv { path: String, line: u64, reason: String },
}

/// Columns that hold several values, separated by `;` or spaces.
const LISTS: [&str; 3] = ["scopes", "allowed_cidrs", "tags"];

/// A line that holds a key, or the reason why it does not.
pub(super) struct Line {
    pub number: u64,
    pub key: Result<RegisteredKey, String>,
}

/// Returns the keys of a registry file in its order. The first bad line is an error.
#[expect(clippy::disallowed_methods, reason = "read at the start")]
pub(super) fn read(path: &Path, hasher: Hasher<'_>) -> Result<Vec<RegisteredKey>, RegistryError> {
    let name = path.display().to_string();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(reason) => return Err(RegistryError::Read { path: name, reason }),
    };
    let key = |Line { number: line, key }| {
        let path = name.clone();
        key.map_err(|reason| {
            if is_csv(&name) {
                RegistryError::Csv { path, line, reason }
            } else {
                RegistryError::Json { path, line, reason }
            }
        })
    };
    lines(&name, &text, hasher)?.into_iter().map(key).collect()
}

/// Reads the text of a file of this name.
pub(super) fn lines(
    name: &str,
    text: &str,
    hasher: Hasher<'_>,
) -> Result<Vec<Line>, RegistryError> {
    // Spreadsheets write a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if is_csv(name) {
        let error = |(line, reason)| RegistryError::Csv { path: name.to_owned(), line, reason };
        csv_lines(text, hasher).map_err(error)
    } else {
        Ok(json_lines(text, hasher))
    }
}

fn is_csv(name: &str) -> bool {
    let extension = Path::new(name).extension();
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
}

fn json_lines(text: &str, hasher: Hasher<'_>) -> Vec<Line> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let key = |(number, line): (u64, &str)| Line {
        number,
        key: parse_object(line).and_then(|object| key(object, hasher)),
    };
    lines.map(key).collect()
}

pub(super) fn parse_object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| match error.is_data() {
        // The message would repeat the value, which may be a raw key.
        true => "expected a JSON object".to_owned(),
        false => error.to_string(),
    })
}

/// Reads the lines behind the header.
fn csv_lines(text: &str, hasher: Hasher<'_>) -> Result<Vec<Line>, (u64, String)> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| (1, csv_reason(&error)))?.clone();
    if !header.iter().any(|column| matches!(column, "key_id" | "api_key")) {
        return Err((1, "there is no column `key_id`".into()));
    }
    let line = |record: Result<StringRecord, csv::Error>| {
        let line = |position: Option<&csv::Position>| position.map_or(1, csv::Position::line);
        match record {
            Ok(record) => {
                let key = key(object(&header, &record), hasher);
                Line { number: line(record.position()), key }
            }
            Err(error) => Line { number: line(error.position()), key: Err(csv_reason(&error)) },
        }
    };
    Ok(reader.records().map(line).collect())
}

/// Reads a key, whose hash replaces the raw key before anything can show it.
pub(super) fn key(
    mut object: Map<String, Value>,
    hasher: Hasher<'_>,
) -> Result<RegisteredKey, String> {
    if let Some(raw) = object.remove("api_key") {
        let hash = hash(&raw, hasher)?;
        object.entry("key_id").or_insert_with(|| hash.to_key_id().as_str().into());
        object.insert("key_hash".into(), hash.to_key_id().as_str().into());
    }
    let key: RegisteredKey = serde_path_to_error::deserialize(Value::Object(object))
        .map_err(|error| describe(&error))?;
    key.check().map(|()| key)
}

fn hash(raw: &Value, hasher: Hasher<'_>) -> Result<KeyHash, String> {
    let raw = raw.as_str().filter(|raw| !raw.is_empty());
    let raw = raw.ok_or("field `api_key`: expected text")?;
    hasher(raw).ok_or_else(|| {
        "field `api_key`: a raw key is hashed, which needs a pepper: set decode.pepper_file or \
         KEYWATCH__DECODE__PEPPER"
            .to_owned()
    })
}

/// Converts the record into the equivalent JSON object. An empty cell sets no field.
fn object(header: &StringRecord, record: &StringRecord) -> Map<String, Value> {
    let cells = header.iter().zip(record).filter(|(_, cell)| !cell.is_empty());
    let field = |(column, cell): (&str, &str)| (column.to_owned(), value(column, cell));
    cells.map(field).collect()
}

fn value(column: &str, cell: &str) -> Value {
    if column == "canary" {
        return match cell.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => true.into(),
            "false" | "no" | "0" => false.into(),
            _ => cell.into(),
        };
    }
    if !LISTS.contains(&column) {
        return cell.into();
    }
    let items = cell.split(|c: char| c == ';' || c.is_whitespace());
    items.filter(|item| !item.is_empty()).collect()
}

/// Returns the wrong field, if there is one, and the reason.
pub(super) fn describe(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = error.path().to_string();
    let reason = error.inner().to_string();
    if path == "." { reason } else { format!("field `{path}`: {reason}") }
}

/// Returns the reason without the place, which the caller adds.
fn csv_reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the line has {len} fields where the header has {expected_len}")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registry::{KeyStatus, Registry};

    fn file(extension: &str, text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::Builder::new().suffix(extension).tempfile().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    fn registry(extension: &str, text: &str) -> Registry {
        Registry::read(file(extension, text).path(), &|_| None).unwrap()
    }

    fn message(extension: &str, text: &str) -> String {
        Registry::read(file(extension, text).path(), &|_| None).unwrap_err().to_string()
    }

    #[test]
    fn only_the_key_id_is_required_and_the_later_line_counts() {
        let json = "{\"key_id\":\"a\"}\n\n{\"key_id\":\"b\",\"owner\":\"x\",\"team\":1}\n\
                    {\"key_id\":\"b\",\"status\":\"revoked\"}\n";
        let csv = "key_id,status,owner,team\na,,,\n\nb,,x,1\nb,revoked,,\n";
        for registry in [registry(".jsonl", json), registry(".csv", csv)] {
            let key = registry.get(&"b".into()).unwrap();
            assert_eq!((key.status, key.owner.as_str()), (KeyStatus::Revoked, ""));
            assert_eq!(registry.get(&"a".into()).unwrap().status, KeyStatus::Active);
        }
    }

    #[test]
    fn csv_and_json_say_the_same() {
        let json = r#"{"key_id":"k","owner":"a, \"b\"","scopes":["read","write"],
            "allowed_cidrs":["10.0.0.0/8","2001:db8::/32"],"expires_at":"2026-06-01T00:00:00Z",
            "rotated_to":"k2","status":"retired"}"#
            .replace('\n', "");
        let csv = "\u{feff}key_id, owner, scopes, allowed_cidrs, expires_at, rotated_to, status\r\n\
                   k,\"a, \"\"b\"\"\",read; write,10.0.0.0/8 2001:db8::/32,2026-06-01T00:00:00Z,k2,retired\r\n";
        let of = |registry: Registry| registry.get(&"k".into()).unwrap().clone();
        assert_eq!(of(registry(".CSV", csv)), of(registry(".jsonl", &json)));
    }

    #[test]
    fn a_raw_key_needs_a_pepper_and_is_not_repeated() {
        let message = message(".jsonl", r#"{"key_id":"a","api_key":"sk_live_1"}"#);
        assert!(message.contains("which needs a pepper: set decode.pepper_file"), "{message}");
        assert!(!message.contains("sk_live"), "{message}");
    }

    #[test]
    fn errors_name_the_line_and_the_field() {
        for (extension, text, expected) in [
            (".jsonl", "{\"key_id\":\"a\"}\n{}\n", ":2: missing field `key_id`"),
            (".jsonl", "{\"key_id\":\"a\",\"owner\":7}\n", ":1: field `owner`: invalid type"),
            (".jsonl", "{\"key_id\":\"a\"} {\n", ":1: trailing characters"),
            (".csv", "id,owner\na,b\n", ":1: there is no column `key_id`"),
            (".csv", "", ":1: there is no column `key_id`"),
            (".csv", "key_id,owner\na,b\n,c\n", ":3: missing field `key_id`"),
            (".csv", "key_id,status\na,lost\n", ":2: field `status`: unknown variant `lost`"),
            (".csv", "key_id,expires_at\na,soon\n", ":2: field `expires_at`: "),
            (".csv", "key_id,allowed_cidrs\na,10.0.0.0/8;10/8\n", ":2: field `allowed_cidrs[1]`: "),
            (".csv", "key_id,owner\na,b\nc\n", ":3: the line has 1 fields where the header has 2"),
        ] {
            let message = message(extension, text);
            assert!(message.contains(expected), "{message}");
        }
    }

    proptest! {
        #[test]
        fn no_content_panics(text in "(key_id|owner|,|;|\"|\n|[a-z{}: ]){0,40}", csv: bool) {
            let file = file(if csv { ".csv" } else { ".jsonl" }, &text);
            let _ = Registry::read(file.path(), &|_| None);
        }
    }
}
