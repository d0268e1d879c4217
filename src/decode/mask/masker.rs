//! Reads a record token by token, and shows of it what is known to be harmless.

use std::borrow::Cow;

use super::shape::{is_plausible, stored_part};
use super::{MASK, Trust};
use crate::decode::format::Format;

/// Whether a field name is shown: the contract knows it, or the record is JSON and the name
/// consists of letters. A raw key in place of a name nearly always has digits.
fn is_nameable(name: &str, trust: Trust, format: &Format) -> bool {
    format.shown_field(name).is_some()
        || trust == Trust::Parsed
            && name.len() <= 32
            && name.chars().all(|c| c.is_ascii_alphabetic() || "_-.@$".contains(c))
}

pub(super) struct Masker<'a> {
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
    pub fn new(text: &'a str, trust: Trust, format: &'a Format) -> Self {
        Self { rest: text, trust, format, output: String::new(), depth: 0, last: ' ', field: None }
    }

    pub fn run(mut self) -> String {
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
