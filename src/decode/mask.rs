//! Masks the parts of a rejected record that may be secret. It shows the structure, the contract's
//! field names, and values that cannot be secrets.
//!
//! The record may be arbitrary bytes, so it is read token by token and never parsed. A value is
//! shown only when it directly follows a field that does not hold a secret and has the shape of
//! that field. Everything else, including its length, becomes `***`.

use std::borrow::Cow;

use super::format::Format;
use super::scalar::Scalar;

const SHOWN_BYTES: usize = 1_024;
const MASK: &str = "***";

/// How far the structure of the record can be trusted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The record is JSON: names and values are what they appear to be.
    Parsed,
    /// The record is not JSON, or was not read to its end: quotes may be paired wrongly.
    Unparsed,
}

/// Returns the start of `payload`, about 1 KiB, with everything masked that could be a secret.
///
/// `format` says which names on the first level hold which field. All other values are masked.
pub(super) fn payload(payload: &[u8], trust: Trust, format: &Format) -> String {
    let window = &payload[..payload.len().min(SHOWN_BYTES)];
    let text = String::from_utf8_lossy(window);
    let mut masked = Masker::new(&text, trust, format).run();
    if window.len() < payload.len() {
        masked.push('…');
    }
    masked
}

/// Describes a value in an error message: the value itself if it may be shown, otherwise its kind.
pub(super) fn found(field: &str, scalar: &Scalar<'_>) -> String {
    match scalar {
        Scalar::Absent | Scalar::Empty => "absent".into(),
        Scalar::Time(time) => time.to_string(),
        Scalar::Boolean(_) => "a boolean".into(),
        Scalar::Other(kind) => (*kind).into(),
        Scalar::Text(text) if is_plausible(field, text) => format!("\"{text}\""),
        Scalar::Text(text) => format!("a string of {} bytes", text.len()),
        Scalar::Unsigned(number) => shown_number(field, number.to_string()),
        Scalar::Negative(number) => shown_number(field, number.to_string()),
        Scalar::Float(number) => shown_number(field, number.to_string()),
    }
}

fn shown_number(field: &str, number: String) -> String {
    if is_plausible(field, &number) { number } else { "a number".into() }
}

/// Returns true for values that have the shape of their field, which a secret does not have.
fn is_plausible(field: &str, value: &str) -> bool {
    // A lone mark, which loggers write for nothing.
    if value == "-" {
        return true;
    }
    let shape = |limit: usize, allowed: &dyn Fn(char) -> bool| {
        !value.is_empty() && value.len() <= limit && value.chars().all(allowed)
    };
    let is_number = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    match field {
        "time" | "client_time" => {
            shape(40, &|c| c.is_ascii_alphanumeric() || ":.+-/, ".contains(c))
                && has_date_words(value)
        }
        "client_ip" => {
            shape(160, &|c| c.is_ascii_hexdigit() || ".:[], ".contains(c))
                && value.split(',').all(|address| address.trim().len() <= 47)
                && value.contains(['.', ':'])
        }
        "status" => shape(12, &|c| is_number(c) || ", ".contains(c)),
        "method" => shape(8, &|c| c.is_ascii_alphabetic()),
        "latency_ms" | "bytes_in" | "bytes_out" => shape(20, &is_number),
        _ => false,
    }
}

/// Returns true when all letters belong to names of months, days and zones, as in `Thu, 01 Jan 2026
/// 10:00:00 GMT`.
fn has_date_words(value: &str) -> bool {
    const WORDS: &str = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec \
                         Mon Tue Wed Thu Fri Sat Sun GMT UTC T t Z z";
    let words = value.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    words.clone().count() <= 4 && words.clone().all(|word| WORDS.split(' ').any(|w| w == word))
}

/// Returns the part of a value that a stored event would show as well; only in valid JSON.
fn stored_part<'a>(field: &str, value: &'a str) -> Option<Cow<'a, str>> {
    // An escape could hide a `?`, a quote or any other character.
    if value.contains('\\') || value.len() > 256 {
        return None;
    }
    match field {
        "key_id" | "request_id" | "user_agent" | "environment" | "scope" | "tenant" => {
            Some(Cow::Borrowed(value))
        }
        "path" => match value.find(['?', '#']) {
            Some(end) => Some(Cow::Owned(format!("{}{MASK}", &value[..=end]))),
            None => Some(Cow::Borrowed(value)),
        },
        _ => None,
    }
}

/// Whether a field name is shown: the contract knows it, or the record is JSON and the name
/// consists of letters. A raw key in place of a name nearly always has digits.
fn is_nameable(name: &str, trust: Trust, format: &Format) -> bool {
    format.shown_field(name).is_some()
        || trust == Trust::Parsed
            && name.len() <= 32
            && name.chars().all(|c| c.is_ascii_alphabetic() || "_-.@$".contains(c))
}

struct Masker<'a> {
    rest: &'a str,
    trust: Trust,
    format: &'a Format,
    output: String,
    depth: i32,
    /// The last character outside of strings and bare words, except blanks.
    last: char,
    /// The field whose value comes next. Only `{ name :` and `, name :` set it.
    field: Option<&'a str>,
}

impl<'a> Masker<'a> {
    fn new(text: &'a str, trust: Trust, format: &'a Format) -> Self {
        Self { rest: text, trust, format, output: String::new(), depth: 0, last: ' ', field: None }
    }

    fn run(mut self) -> String {
        while let Some(next) = self.rest.chars().next() {
            match next {
                '"' => self.string(),
                '{' | '}' | '[' | ']' | ',' | ':' => self.structure(next),
                _ if next.is_ascii_whitespace() => self.copy(next),
                _ => self.bare_word(),
            }
        }
        self.output
    }

    fn copy(&mut self, c: char) {
        self.output.push(c);
        self.rest = &self.rest[c.len_utf8()..];
    }

    fn structure(&mut self, c: char) {
        match c {
            '{' | '[' => self.depth += 1,
            '}' | ']' => self.depth -= 1,
            _ => {}
        }
        if c != ':' || self.last != 'n' {
            self.field = None;
        }
        self.last = c;
        self.copy(c);
    }

    fn string(&mut self) {
        let body = &self.rest[1..];
        let Some(end) = closing_quote(body) else {
            self.output.push('"');
            self.output.push_str(MASK);
            self.rest = "";
            return;
        };
        let (content, rest) = (&body[..end], &body[end + 1..]);
        self.rest = rest;
        if matches!(self.last, '{' | ',') && rest.trim_ascii_start().starts_with(':') {
            let shown = is_nameable(content, self.trust, self.format);
            self.field = if shown { self.format.shown_field(content).or(Some("")) } else { None };
            self.last = 'n';
            self.push_quoted(if shown { content } else { MASK });
        } else {
            let shown = self.shown_value(content);
            self.push_quoted(&shown);
            self.end_value();
        }
    }

    fn bare_word(&mut self) {
        let is_end = |c: char| "\"{}[],:".contains(c) || c.is_ascii_whitespace();
        let (word, rest) = self.rest.split_at(self.rest.find(is_end).unwrap_or(self.rest.len()));
        self.rest = rest;
        let literal = matches!(word, "null" | "true" | "false") && self.field.is_some();
        let shown = if literal { Cow::Borrowed(word) } else { self.shown_value(word) };
        self.output.push_str(&shown);
        self.end_value();
    }

    fn shown_value(&self, value: &'a str) -> Cow<'a, str> {
        let masked = Cow::Borrowed(MASK);
        // Below the first level, the value may be inside a secret field.
        let Some(field) = self.field.filter(|_| self.last == ':' && self.depth == 1) else {
            return masked;
        };
        if is_plausible(field, value) {
            return Cow::Borrowed(value);
        }
        match self.trust {
            Trust::Parsed => stored_part(field, value).unwrap_or(masked),
            Trust::Unparsed => masked,
        }
    }

    fn end_value(&mut self) {
        self.field = None;
        self.last = 'v';
    }

    fn push_quoted(&mut self, text: &str) {
        self.output.push('"');
        self.output.push_str(text);
        self.output.push('"');
    }
}

/// Returns the position where the string ends. A backslash escapes the next character.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn masked(text: &str, trust: Trust) -> String {
        payload(text.as_bytes(), trust, &Format::own())
    }

    #[test]
    fn harmless_values_stay_readable() {
        let json = r#"{"time": "2026-01-01T00:00:00Z", "status": 999, "client_ip": "1.2.3.4",
            "api_key": "sk_1", "nonce": 7, "path": "/v1?token=t1", "key_id": "k-1", "x": true}"#;
        insta::assert_snapshot!(masked(json, Trust::Parsed), @r#"
        {"time": "2026-01-01T00:00:00Z", "status": 999, "client_ip": "1.2.3.4",
                    "api_key": "***", "nonce": ***, "path": "/v1?***", "key_id": "k-1", "x": true}
        "#);
    }

    #[test]
    fn text_that_is_not_json_keeps_structure_and_known_names_only() {
        insta::assert_snapshot!(
            masked(r#"{"status": 200, "tenant": "acme", "secretname": {"method": "GET"}, "api_key": "sk"#, Trust::Unparsed),
            @r#"{"status": 200, "tenant": "***", "***": {"method": "***"}, "api_key": "***"#
        );
        insta::assert_snapshot!(masked("api_key=sk_live_1 GET", Trust::Unparsed), @"*** ***");
    }

    #[test]
    fn long_payloads_are_cut() {
        let long = masked(&"x ".repeat(5_000), Trust::Unparsed);
        assert!(long.len() < 2_100 && long.ends_with('…'), "{}", long.len());
    }

    /// A secret with some of its characters written as `\u0061`.
    fn escaped(secret: &str, escapes: &[bool]) -> String {
        let escape = |(c, escape): (char, &bool)| match escape {
            true => format!("\\u{:04x}", c as u32),
            false => c.to_string(),
        };
        secret.chars().zip(escapes.iter().cycle()).map(escape).collect()
    }

    fn harmless_field() -> impl Strategy<Value = String> {
        prop::sample::select(vec![
            r#""time":"2026-01-01T00:00:00Z""#,
            r#""method" : "GET""#,
            r#""path":"/v1/a?b=c""#,
            r#""status":"2x""#,
            r#""key_id":"k-1""#,
            r#""user_agent":"say \"hi\", \\""#,
            r#""extra":{"a":[1,"two",{"method":"PUT"}]}"#,
            r#""tenant":null"#,
        ])
        .prop_map(str::to_owned)
    }

    /// A record with the secret as value of a secret field, plain or nested, and the form in
    /// which it is written.
    fn record() -> impl Strategy<Value = (String, Vec<String>)> {
        (
            prop::collection::vec(harmless_field(), 0..6),
            prop::sample::select(vec!["api_key", "nonce", "signature"]),
            "[A-Z][A-Za-z0-9]{9,30}",
            prop::collection::vec(any::<bool>(), 1..8),
            prop::sample::select(vec!["\"{}\"", "{}", "[\"{}\"]", "{\"path\":\"{}\"}"]),
            any::<prop::sample::Index>(),
        )
            .prop_map(|(mut fields, name, secret, escapes, shape, at)| {
                let written = escaped(&secret, &escapes);
                let value = shape.replace("{}", &written);
                fields.insert(at.index(fields.len() + 1), format!("\"{name}\":{value}"));
                (format!("{{{}}}", fields.join(",")), vec![secret, written])
            })
    }

    /// True when eight characters in a row of a secret can be read.
    fn leaks(masked: &str, secrets: &[String]) -> bool {
        secrets.iter().any(|secret| {
            secret
                .as_bytes()
                .windows(8)
                .any(|part| masked.as_bytes().windows(8).any(|window| window == part))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn secrets_never_show((record, secrets) in record(), cut in any::<prop::sample::Index>()) {
            let trust = match serde_json::from_str::<serde::de::IgnoredAny>(&record) {
                Ok(_) => Trust::Parsed,
                Err(_) => Trust::Unparsed,
            };
            prop_assert!(!leaks(&masked(&record, trust), &secrets));
            let cut = &record[..cut.index(record.len())];
            prop_assert!(!leaks(&masked(cut, Trust::Unparsed), &secrets));
        }

        #[test]
        fn secrets_never_show_in_damaged_records(
            (record, secrets) in record(),
            at in any::<prop::sample::Index>(),
            patch in prop::sample::select(vec!["", "\"", "{", "}", ",", ":", "\\", "\0", "\n"]),
        ) {
            let at = at.index(record.len());
            let damaged = [&record[..at], patch, &record[at + 1..]].concat();
            let trust = match serde_json::from_str::<serde::de::IgnoredAny>(&damaged) {
                Ok(_) => Trust::Parsed,
                Err(_) => Trust::Unparsed,
            };
            prop_assert!(!leaks(&masked(&damaged, trust), &secrets), "{}", damaged);
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            payload(&bytes, Trust::Unparsed, &Format::own());
            payload(&bytes, Trust::Parsed, &Format::own());
        }
    }
}
