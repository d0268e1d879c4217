//! Splits the body of a push into records: one JSON object, an array of objects, or JSON lines.

use std::fmt;
use std::io::{self, Read};

use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use flate2::read::MultiGzDecoder;
use serde::Deserializer;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::http::Problem;
use crate::http::body::too_large;
use crate::source::lines::LineReader;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// An object, an array or lines, depending on the content.
    Json,
    /// Lines only. The decoder rejects a broken line by itself.
    Lines,
}

impl Format {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let content_type = text_header(headers, CONTENT_TYPE).unwrap_or_default();
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json" => Ok(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Self::Lines),
            // Cloudflare's Logpush sends compressed lines and does not document their type.
            _ if text_header(headers, CONTENT_ENCODING).as_deref() == Some("gzip") => {
                Ok(Self::Lines)
            }
            // A page of another site can send any type but these without asking first.
            other => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!(
                    "Content-Type {other:?} is not understood: send application/json or application/x-ndjson"
                ),
            )),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        match text_header(headers, CONTENT_ENCODING).as_deref() {
            None | Some("identity") => Ok(Self::Identity),
            Some("gzip") => Ok(Self::Gzip),
            Some("zstd") => Ok(Self::Zstd),
            Some(other) => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("Content-Encoding {other:?} is not understood: send gzip, zstd or none"),
            )),
        }
    }

    /// Decompresses the body. `reserve` is asked for room before each part is kept.
    ///
    /// # Errors
    /// 413 when the decompressed body exceeds `max_bytes`, 400 when the stream is damaged, and the
    /// problem of `reserve`.
    pub(super) fn decode(
        self,
        body: Vec<u8>,
        max_bytes: usize,
        mut reserve: impl FnMut(usize) -> Result<(), Problem>,
    ) -> Result<Vec<u8>, Problem> {
        let damaged = |reason: io::Error| {
            let detail = format!("the {self:?} stream of the body is damaged: {reason}");
            Problem::new(StatusCode::BAD_REQUEST, detail)
        };
        let mut stream: Box<dyn Read + '_> = match self {
            Self::Identity => return Ok(body),
            Self::Gzip => Box::new(MultiGzDecoder::new(&*body)),
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(&*body).map_err(damaged)?),
        };
        let (mut decoded, mut part) = (Vec::new(), vec![0; PART_BYTES]);
        loop {
            let read = stream.read(&mut part).map_err(damaged)?;
            if read == 0 {
                return Ok(decoded);
            }
            if decoded.len() + read > max_bytes {
                return Err(too_large(max_bytes));
            }
            reserve(read)?;
            decoded.extend_from_slice(&part[..read]);
        }
    }
}

/// Bytes that are decompressed at once.
const PART_BYTES: usize = 64 << 10;

fn text_header(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase())
}

/// Returns the records of a body, in order.
///
/// # Errors
/// 400 when there is no record, or when the JSON is broken or holds values other than objects. 413
/// for more than `most` records: a few bytes make a record, which takes many.
pub(super) fn split(body: &[u8], format: Format, most: usize) -> Result<Vec<Vec<u8>>, Problem> {
    let records = match format {
        Format::Lines => lines(body, most)?,
        Format::Json => match first_value(body)? {
            (Some(value), rest) if rest.trim_ascii().is_empty() => elements(value, most)?,
            (Some(_), _) => lines(body, most)?,
            (None, _) => Vec::new(),
        },
    };
    if records.is_empty() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "the body does not contain an event"));
    }
    Ok(records)
}

fn too_many(most: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body has more than {most} records: send fewer events at a time"),
    )
}

fn lines(body: &[u8], most: usize) -> Result<Vec<Vec<u8>>, Problem> {
    let mut reader = LineReader::new(body);
    let mut line = Vec::new();
    let mut lines = Vec::new();
    // Reading from memory does not fail.
    while let Ok(Some(_)) = reader.next_line(&mut line) {
        if lines.len() == most {
            return Err(too_many(most));
        }
        lines.push(line.clone());
    }
    Ok(lines)
}

/// Returns the first JSON value of the body and the bytes after it. More values are accepted only
/// on a new line.
fn first_value(body: &[u8]) -> Result<(Option<&RawValue>, &[u8]), Problem> {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>();
    let value = values.next().transpose().map_err(|error| bad_json(&error))?;
    let rest = &body[values.byte_offset()..];
    let next_line = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    if rest[..next_line].trim_ascii().is_empty() {
        Ok((value, rest))
    } else {
        let detail = "another value follows the first JSON value without a new line: \
            send an array, or one object per line";
        Err(Problem::new(StatusCode::BAD_REQUEST, detail))
    }
}

/// Returns an object as one record, and an array as one record for each of its objects.
fn elements(value: &RawValue, most: usize) -> Result<Vec<Vec<u8>>, Problem> {
    if !value.get().starts_with('[') {
        return Ok(vec![object(value, "the body")?]);
    }
    let mut reader = serde_json::Deserializer::from_str(value.get());
    let elements = reader
        .deserialize_seq(UpTo(most))
        .map_err(|error| bad_json(&error))?
        .ok_or_else(|| too_many(most))?;
    let numbered = elements.into_iter().enumerate();
    numbered.map(|(index, element)| object(element, &format!("element {index}"))).collect()
}

/// Reads an array of at most so many elements. `None`: it has more.
struct UpTo(usize);

impl<'de> Visitor<'de> for UpTo {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < self.0 {
            match array.next_element()? {
                Some(element) => elements.push(element),
                None => return Ok(Some(elements)),
            }
        }
        let mut is_longer = false;
        while array.next_element::<IgnoredAny>()?.is_some() {
            is_longer = true;
        }
        Ok((!is_longer).then_some(elements))
    }
}

fn object(value: &RawValue, place: &str) -> Result<Vec<u8>, Problem> {
    if value.get().starts_with('{') {
        return Ok(value.get().into());
    }
    let detail = format!("{place} is not a JSON object: an event must be a JSON object");
    Err(Problem::new(StatusCode::BAD_REQUEST, detail))
}

fn bad_json(error: &serde_json::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, format!("the body is not valid JSON: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn records(body: &str, format: Format) -> Vec<String> {
        let records = split(body.as_bytes(), format, 10).unwrap();
        records.into_iter().map(|record| String::from_utf8(record).unwrap()).collect()
    }

    fn refusal(body: &str) -> String {
        let problem = split(body.as_bytes(), Format::Json, 10).unwrap_err();
        assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
        problem.detail().to_owned()
    }

    #[test]
    fn takes_an_object_an_array_or_lines() {
        let pretty = "{\n  \"a\": [1,\n 2]\n}\n";
        assert_eq!(records(pretty, Format::Json), [pretty.trim()]);
        let array = " [ {\"a\":1}, {\"b\":[{}]}\n]";
        assert_eq!(records(array, Format::Json), ["{\"a\":1}", "{\"b\":[{}]}"]);
        assert_eq!(records("{\"a\":1}\r\n\n{\"a\":2}", Format::Json), ["{\"a\":1}", "{\"a\":2}"]);
    }

    #[test]
    fn a_broken_line_is_left_to_decode() {
        let body = "{\"a\":1}\nnot json\n{\"a\":2}\n";
        let expected = ["{\"a\":1}", "not json", "{\"a\":2}"];
        assert_eq!(records(body, Format::Lines), expected);
        assert_eq!(records(body, Format::Json), expected);
    }

    #[test]
    fn refuses_bodies_without_events() {
        for empty in ["", " \n ", "[]"] {
            assert_eq!(refusal(empty), "the body does not contain an event", "{empty:?}");
        }
        assert!(refusal("{\"a\":").contains("line 1 column 5"));
        assert!(refusal("[{}, 7]").starts_with("element 1 is not"));
        assert!(refusal("\"text\"").starts_with("the body is not a JSON object"));
        assert!(refusal("{} {}").contains("new line"));
    }

    #[test]
    fn other_types_and_encodings_are_refused_by_name() {
        let headers = |name, value| HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        let json = headers(CONTENT_TYPE, "Application/JSON; charset=utf-8");
        assert_eq!(Format::of(&json).unwrap(), Format::Json);
        let form = headers(CONTENT_TYPE, "application/x-www-form-urlencoded");
        for refused in [form, headers(CONTENT_TYPE, "text/plain"), HeaderMap::new()] {
            let problem = Format::of(&refused).unwrap_err();
            assert_eq!(problem.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let mut logpush = headers(CONTENT_TYPE, "text/plain");
        logpush.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(Format::of(&logpush).unwrap(), Format::Lines);
        let brotli = Encoding::of(&headers(CONTENT_ENCODING, "br")).unwrap_err();
        assert_eq!(brotli.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }

    #[test]
    fn decompression_stops_at_the_limit_and_names_damage() {
        let bomb = zstd::encode_all(&vec![b' '; 1 << 20][..], 3).unwrap();
        let decode = |limit| Encoding::Zstd.decode(bomb.clone(), limit, |_| Ok(()));
        assert_eq!(decode(1 << 20).unwrap().len(), 1 << 20);
        let problem = decode((1 << 20) - 1).unwrap_err();
        assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let problem = Encoding::Gzip.decode(b"plain".to_vec(), 100, |_| Ok(())).unwrap_err();
        assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn decompression_stops_when_there_is_no_room() {
        let bomb = zstd::encode_all(&vec![b' '; 1 << 20][..], 3).unwrap();
        let mut room = 200_000;
        let reserve = |bytes| {
            room = usize::checked_sub(room, bytes).ok_or_else(|| too_large(0))?;
            Ok(())
        };
        assert!(Encoding::Zstd.decode(bomb, 1 << 30, reserve).is_err());
    }

    #[test]
    fn more_records_than_allowed_are_refused_before_they_take_memory() {
        for (body, format) in [
            (format!("[{}{{}}]", "{},".repeat(10)), Format::Json),
            ("{}\n".repeat(11), Format::Json),
            ("{}\n".repeat(11), Format::Lines),
        ] {
            let problem = split(body.as_bytes(), format, 10).unwrap_err();
            assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
            assert!(split(body.as_bytes(), format, 11).is_ok());
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_never_yields_nothing(body in "[\\[\\]{}\",: \n0-9a-z\u{e9}]{0,40}") {
            for format in [Format::Json, Format::Lines] {
                if let Ok(records) = split(body.as_bytes(), format, 10) {
                    prop_assert!(!records.is_empty());
                }
            }
        }
    }
}
