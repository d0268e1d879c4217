//! Takes a record apart into its requests, whatever its format: one object, an array of them,
//! several objects one after the other.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::assemble::Refusal;
use super::format::Format;
use super::mapping::{Part, Unread};
use super::mask::Trust;
use super::raw_event::RawEvent;
use super::reason::RejectReason;
use super::repair::{Repaired, repaired};

/// A part of a record.
pub(super) enum Request<'e, 'a> {
    Event(&'e RawEvent<'a>),
    /// A rule of the format leaves it out. It is certain that the format is right if the rule asks
    /// for a value that is there.
    Skipped {
        is_certain: bool,
    },
    Refused(Trust, Refusal),
}

/// Takes the parts of a record in order: the index of each, its text, and its content.
pub(super) type Each<'e> = &'e mut dyn FnMut(u32, &str, Request<'_, '_>);

/// Reads the record. Bytes that are not UTF-8 were replaced in the text if `is_lossy`.
pub(super) fn each_request(format: &Format, text: &str, is_lossy: bool, each: Each<'_>) {
    Reader { format, is_lossy, next_index: 0, each }.record(text);
}

struct Reader<'r> {
    format: &'r Format,
    is_lossy: bool,
    next_index: u32,
    each: Each<'r>,
}

impl Reader<'_> {
    fn record(&mut self, text: &str) {
        if !self.format.is_json() {
            return self.line(text);
        }
        let text = json_of_cri(text).unwrap_or(text);
        if !text.starts_with('[') {
            return match line_of_docker(text) {
                Some(line) => self.objects(line.trim()),
                None => self.objects(text),
            };
        }
        let error = match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(elements) => return elements.iter().for_each(|element| self.object(element.get())),
            Err(error) => error,
        };
        match repaired(text) {
            Some(Repaired { text, is_lossy }) => {
                self.is_lossy |= is_lossy;
                match serde_json::from_str::<Vec<&RawValue>>(&text) {
                    Ok(elements) => elements.iter().for_each(|element| self.object(element.get())),
                    Err(error) => self.refuse(&text, unreadable(&text, &error)),
                }
            }
            None => self.refuse(text, unreadable(text, &error)),
        }
    }

    fn line(&mut self, text: &str) {
        if content_of_cri(text).is_some() {
            self.refuse(text, Refusal::new(RejectReason::UnknownShape, BARE_PART.to_owned()));
        } else if let Err(unread) = self.read(text) {
            self.refuse(text, unread_line(text, &unread));
        }
    }

    /// Reads one object, or several one after the other.
    fn objects(&mut self, text: &str) {
        let Err(unread) = self.read(text) else { return };
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
        let Some(Ok(first)) = values.next() else { return self.repaired_object(text, &unread) };
        if values.byte_offset() == text.len() {
            return self.repaired_object(text, &unread);
        }
        self.object(first.get());
        loop {
            let rest = &text[values.byte_offset()..];
            match values.next() {
                Some(Ok(value)) => self.object(value.get()),
                Some(Err(error)) => return self.refuse(rest, unreadable(text, &error)),
                None => return,
            }
        }
    }

    fn object(&mut self, text: &str) {
        if let Err(unread) = self.read(text) {
            self.repaired_object(text, &unread);
        }
    }

    fn repaired_object(&mut self, text: &str, unread: &Unread) {
        let Some(Repaired { text: better, is_lossy }) = repaired(text) else {
            return self.refuse(text, unread_line(text, unread));
        };
        let was_lossy = self.is_lossy;
        self.is_lossy |= is_lossy;
        if let Err(unread) = self.read(&better) {
            self.refuse(&better, unread_line(&better, &unread));
        }
        self.is_lossy = was_lossy;
    }

    /// Nothing of the text was passed on if this fails.
    fn read(&mut self, text: &str) -> Result<(), Unread> {
        let Self { format, is_lossy, next_index, each } = self;
        format.read(text, *is_lossy, &mut |text, part| {
            let request = match part {
                Part::Request(event) => Request::Event(event),
                Part::Skipped { is_certain } => Request::Skipped { is_certain },
                Part::Unread(unread) => {
                    Request::Refused(Trust::Unparsed, unread_line(text, &unread))
                }
            };
            each(*next_index, text, request);
            *next_index += 1;
        })
    }

    fn refuse(&mut self, text: &str, mut refusal: Refusal) {
        if self.is_lossy && refusal.reason == RejectReason::InvalidJson {
            refusal.reason = RejectReason::InvalidUtf8;
            refusal.detail = "the record is not UTF-8, and what can be read is not JSON".to_owned();
        }
        (self.each)(self.next_index, text, Request::Refused(Trust::Unparsed, refusal));
        self.next_index += 1;
    }
}

/// Returns the line that Docker's driver `json-file` wrapped: `{"log":"...","stream":"stdout",...}`.
fn line_of_docker(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Wrapped {
        log: String,
        stream: String,
    }
    if !text.starts_with("{\"log\":") {
        return None;
    }
    let Wrapped { log, stream } = serde_json::from_str(text).ok()?;
    matches!(&*stream, "stdout" | "stderr").then_some(log)
}

/// The end of a long line could be one that a client wrote into a header.
const BARE_PART: &str = "the line is wrapped by a container runtime, which cuts long lines: let the \
                         shipper join the parts and take off the prefix";

/// Returns the content of a line that a Kubernetes node wrote for a container (the log format of the CRI):
/// `2026-11-27T10:00:00.123456789Z stdout F {...}`. The runtime cuts long lines into parts, `P`, and
/// an end, `F`. `P` and `F` look alike here.
fn content_of_cri(text: &str) -> Option<&str> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (time, rest) = text.split_once(' ')?;
    let is_time = time.len() >= 20 && time.as_bytes()[10] == b'T';
    let starts = ["stdout F ", "stderr F ", "stdout P ", "stderr P "];
    let line = starts.iter().find_map(|start| rest.strip_prefix(start))?;
    is_time.then(|| line.trim())
}

/// Returns the JSON that the line wraps. The end of a cut line is no JSON: in a string, the quotes of
/// a client are escaped. The first part is no JSON either, since it has no end.
fn json_of_cri(text: &str) -> Option<&str> {
    content_of_cri(text).filter(|line| line.starts_with(['{', '[']))
}

fn unread_line(text: &str, unread: &Unread) -> Refusal {
    match unread {
        Unread::Json(error) => unreadable(text, error),
        Unread::Shape(expected) => Refusal::new(
            RejectReason::UnknownShape,
            format!("the record is not what the format expects: {expected}"),
        ),
    }
}

/// Describes a JSON error. serde's messages about a wrong type quote the value and are not used;
/// those about syntax do not quote it.
fn unreadable(text: &str, error: &serde_json::Error) -> Refusal {
    match error.classify() {
        Category::Data => Refusal::new(
            RejectReason::NotAnObject,
            "the record is no JSON object, expected one with the event's fields or an array of \
             such objects",
        ),
        Category::Eof => Refusal::new(
            RejectReason::TruncatedJson,
            format!("the record ends at column {} in the middle of its JSON", error.column()),
        ),
        Category::Syntax | Category::Io => Refusal::new(
            RejectReason::InvalidJson,
            format!("the record is not JSON: {error}{}", place(text, error)),
        ),
    }
}

/// Names the field whose value begins where the JSON breaks off, as in `"time":-,`. Other places
/// have no name that is certain.
fn place(text: &str, error: &serde_json::Error) -> Cow<'static, str> {
    let at = if error.line() == 1 { error.column() } else { 0 };
    let before = text.get(..at).unwrap_or_default();
    let Some((name, value)) = before.rsplit_once('"') else { return Cow::Borrowed("") };
    let is_value = value.trim_start().strip_prefix(':').is_some_and(|value| {
        let last = value.char_indices().next_back().map_or(0, |(at, _)| at);
        value.len() <= 64 && !value[..last].contains([',', '{', '['])
    });
    let name = name.rsplit_once('"').filter(|_| is_value);
    match name {
        Some((_, name)) if is_word(name) => Cow::Owned(format!(", in the value of `{name}`")),
        _ => Cow::Borrowed(""),
    }
}

/// Whether a name consists of letters. A raw key in place of a name nearly always has digits.
fn is_word(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 32
        && name.bytes().all(|byte| byte.is_ascii_alphabetic() || b"_-.@$".contains(&byte))
}
