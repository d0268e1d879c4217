//! Splits log lines that are not JSON into names and values.

use std::borrow::Cow;

use super::trie::{Found, Trie};
use crate::decode::scalar::Scalar;

/// The shape of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shape {
    #[default]
    Json,
    /// `name=value name="a value"`, as canonical log lines are written. Words without `=` are
    /// called `@message` if they come before the first pair, and a date in brackets at the
    /// beginning `@time`.
    Logfmt,
    /// The Common and the Combined Log Format. The values are called `host`, `ident`, `user`,
    /// `time`, `request`, `status`, `bytes`, `referer` and `user_agent`, and further ones `9`, `10`
    /// and so on.
    Combined,
}

const COMBINED: [&str; 9] =
    ["host", "ident", "user", "time", "request", "status", "bytes", "referer", "user_agent"];

impl Shape {
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "logfmt" => Some(Self::Logfmt),
            "combined" => Some(Self::Combined),
            _ => None,
        }
    }

    /// The expected form of a record, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Json => "a JSON object",
            Self::Logfmt => "words of the form `name=value`",
            Self::Combined => "a line of the Common or Combined Log Format",
        }
    }

    /// Reads a line that is not JSON. Returns false if it does not have the shape.
    pub fn read_line<'a>(self, trie: &Trie, line: &'a str, found: &mut Found<'a>) -> bool {
        found.is_lossy = line.contains("\\x");
        match self {
            Self::Json => false,
            Self::Logfmt => logfmt(trie, line, found),
            Self::Combined => combined(trie, line, found),
        }
    }
}

fn logfmt<'a>(trie: &Trie, line: &'a str, found: &mut Found<'a>) -> bool {
    let mut rest = line.trim();
    if let Some((time, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        trie.put("@time", text(time), found);
        rest = after.trim_start();
    }
    let first = rest.find('=').map_or(rest, |end| &rest[..end]);
    if let Some((message, _)) = first.rsplit_once(|c: char| c.is_ascii_whitespace()) {
        trie.put("@message", text(message.trim()), found);
    }
    let mut pairs = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_ascii_whitespace()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = match after.strip_prefix('=') {
            Some(after) => {
                let Some((value, after)) = word(after) else { return false };
                trie.put(name, text_of(value), found);
                pairs += 1;
                after
            }
            None => after,
        };
        rest = rest.trim_start();
    }
    pairs > 0
}

fn combined<'a>(trie: &Trie, line: &'a str, found: &mut Found<'a>) -> bool {
    let mut rest = line.trim();
    let mut number = 0;
    while !rest.is_empty() {
        let (value, after) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((time, after)) if number == 3 => (Cow::Borrowed(time), after),
            // A blank in the user's name moves all that follows: a client could forge fields.
            _ if number == 3 => return false,
            _ => match word(rest) {
                Some(word) => word,
                None => return false,
            },
        };
        match COMBINED.get(number) {
            Some(name) => trie.put(name, text_of(value), found),
            None => trie.put(&number.to_string(), text_of(value), found),
        }
        number += 1;
        rest = after.trim_start();
    }
    number >= 7
}

/// Splits off a word, or a string in quotes in which a backslash escapes; `None` if the string does
/// not end.
fn word(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len());
        return Some((Cow::Borrowed(&text[..end]), &text[end..]));
    };
    let mut escaped = false;
    let end = quoted.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })?;
    Some((unescaped(&quoted[..end]), &quoted[end + 1..]))
}

/// Replaces `\"` and `\\`, and `\xE9` as web servers write bytes that are not printable. Bytes that
/// are not UTF-8 become U+FFFD.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, length) = match (first, after) {
            (b'\\', [b'x', high, low, ..]) => match super::text::byte(*high, *low) {
                Some(byte) => (byte, 4),
                None => (first, 1),
            },
            (b'\\', [next @ (b'"' | b'\\'), ..]) => (*next, 2),
            _ => (first, 1),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn text(text: &str) -> Scalar<'_> {
    text_of(Cow::Borrowed(text))
}

fn text_of(text: Cow<'_, str>) -> Scalar<'_> {
    if text.is_empty() { Scalar::Empty } else { Scalar::Text(text) }
}
