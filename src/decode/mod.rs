//! Bytes to events. What cannot be decoded becomes a rejection, never a guess.
//!
//! A format reads a record into `RawEvent`; `assemble` checks it and makes the event.

mod address;
mod assemble;
mod mask;
mod pseudonym;
mod raw_event;
mod rekey;
mod scalar;
mod text;
mod time;

use serde_json::error::Category;
use serde_json::value::RawValue;

use self::assemble::{Context, Refusal};
use self::mask::Trust;
use self::pseudonym::Pseudonyms;
use self::raw_event::RawEvent;
use crate::config::DecodeConfig;
use crate::event::{AccessEvent, EventTime, PartitionId, RecordPosition};
use crate::source::RawBatch;

/// Log formats that can be read.
pub const FORMATS: &[&str] = &["keywatch"];

/// A shorter pepper could be guessed by trying.
pub const MIN_PEPPER_BYTES: usize = 16;

/// What decode made of one raw batch.
#[derive(Debug)]
pub struct DecodedBatch {
    pub partition: PartitionId,
    pub first_offset: i64,
    pub last_offset: i64,
    pub events: Vec<(RecordPosition, AccessEvent)>,
    pub rejections: Vec<Rejection>,
    /// Optional fields that were there but unusable, and were left out of their events.
    pub fields_left_out: u64,
}

/// A record, or a part of one, that is not a usable event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub position: RecordPosition,
    /// Stable, lower case, for grouping: `invalid_json`, `missing_time`, `bad_status`, ...
    pub reason: &'static str,
    /// A sentence for a person: which field, what was found, what is expected.
    pub detail: String,
    /// The start of the payload with secrets masked.
    pub masked_payload: String,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the format \"{format}\" is not known; use one of: {}", FORMATS.join(", "))]
    UnknownFormat { format: String },
    #[error("the pepper has {bytes} bytes; use at least {MIN_PEPPER_BYTES} random ones")]
    ShortPepper { bytes: usize },
}

impl DecodeError {
    /// The configuration key at fault.
    pub fn key(&self) -> &'static str {
        match self {
            Self::UnknownFormat { .. } => "decode.format",
            Self::ShortPepper { .. } => "decode.pepper",
        }
    }
}

/// Reads records of the configured format.
pub struct Decoder {
    pseudonyms: Pseudonyms,
    has_pepper: bool,
    max_record_bytes: usize,
    max_future_seconds: u64,
    takes_rejections: bool,
}

impl Decoder {
    pub fn new(config: &DecodeConfig) -> Result<Self, DecodeError> {
        if !FORMATS.contains(&config.format.as_str()) {
            return Err(DecodeError::UnknownFormat { format: config.format.clone() });
        }
        let pepper = config.pepper.reveal();
        if !pepper.is_empty() && pepper.len() < MIN_PEPPER_BYTES {
            return Err(DecodeError::ShortPepper { bytes: pepper.len() });
        }
        Ok(Self {
            pseudonyms: Pseudonyms::new(pepper),
            has_pepper: !pepper.is_empty(),
            max_record_bytes: config.max_record_bytes,
            max_future_seconds: config.max_future_seconds,
            takes_rejections: false,
        })
    }

    /// The same for records that [`Self::rekey`] made.
    pub fn of_repartitioned(self) -> Self {
        Self { takes_rejections: true, ..self }
    }

    fn context(&self, latest: EventTime) -> Context<'_> {
        Context { pseudonyms: &self.pseudonyms, has_pepper: self.has_pepper, latest }
    }

    /// Every record becomes events, rejections, or both (an array with bad elements), in
    /// order. `now` bounds event times from above and does nothing else. An empty batch has
    /// the offsets 0 and -1.
    pub fn decode(&self, batch: &RawBatch, now: EventTime) -> DecodedBatch {
        let (first_offset, last_offset) = batch.offsets().unwrap_or((0, -1));
        let context = self.context(now.plus_seconds(self.max_future_seconds as f64));
        let mut decoded = DecodedBatch {
            partition: batch.partition.clone(),
            first_offset,
            last_offset,
            events: Vec::with_capacity(batch.len()),
            rejections: Vec::new(),
            fields_left_out: 0,
        };
        for (offset, payload) in batch.records() {
            match self.text(payload) {
                Ok(text) => match self.passed_on(offset, text) {
                    Some(rejection) => decoded.rejections.push(rejection),
                    None => decoded.add_record(&context, offset, text),
                },
                Err(refusal) => decoded.reject(offset, 0, payload, Trust::Unparsed, refusal),
            }
        }
        decoded
    }

    fn passed_on(&self, offset: i64, text: &str) -> Option<Rejection> {
        if self.takes_rejections { rekey::rejection(offset, text) } else { None }
    }

    /// The record as text, without byte order mark (RFC 8259 section 8.1).
    fn text<'a>(&self, payload: &'a [u8]) -> Result<&'a str, Refusal> {
        if payload.len() > self.max_record_bytes {
            let detail = format!(
                "the record has {} bytes, expected at most {} (decode.max_record_bytes)",
                payload.len(),
                self.max_record_bytes
            );
            return Err(Refusal::new("too_large", detail));
        }
        let text = std::str::from_utf8(payload).map_err(|error| {
            let detail = format!("byte {} is not UTF-8, expected JSON", error.valid_up_to());
            Refusal::new("invalid_utf8", detail)
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii();
        if text.is_empty() {
            return Err(Refusal::new("empty_record", "the record is empty, expected JSON"));
        }
        Ok(text)
    }
}

impl DecodedBatch {
    fn add_record(&mut self, context: &Context<'_>, offset: i64, text: &str) {
        if !text.starts_with('[') {
            return self.add_object(context, RecordPosition { offset, index: 0 }, text);
        }
        match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(elements) => {
                for (index, element) in (0..).zip(elements) {
                    self.add_object(context, RecordPosition { offset, index }, element.get());
                }
            }
            Err(error) => {
                self.reject(offset, 0, text.as_bytes(), Trust::Unparsed, unreadable(&error));
            }
        }
    }

    fn add_object(&mut self, context: &Context<'_>, position: RecordPosition, text: &str) {
        let mut raw = RawEvent::default();
        let outcome = match raw.read_keywatch(text) {
            Ok(()) => {
                let events = &mut self.events;
                context
                    .assemble(&raw, |event| events.push((position, event)))
                    .map_err(|refusal| (Trust::Parsed, refusal))
            }
            Err(error) => Err((Trust::Unparsed, unreadable(&error))),
        };
        match outcome {
            Ok(left_out) => self.fields_left_out += left_out,
            Err((trust, refusal)) => {
                self.reject(position.offset, position.index, text.as_bytes(), trust, refusal);
            }
        }
    }

    fn reject(&mut self, offset: i64, index: u32, payload: &[u8], trust: Trust, refusal: Refusal) {
        self.rejections.push(Rejection {
            position: RecordPosition { offset, index },
            reason: refusal.reason,
            detail: refusal.detail,
            masked_payload: mask::payload(payload, trust),
        });
    }
}

/// Messages about the wrong type would quote the value; those about syntax do not.
fn unreadable(error: &serde_json::Error) -> Refusal {
    match error.classify() {
        Category::Data => Refusal::new(
            "not_an_object",
            "the record is no JSON object, expected one with the event's fields or an array of \
             such objects",
        ),
        Category::Eof => Refusal::new(
            "truncated_json",
            format!("the record ends at column {} in the middle of its JSON", error.column()),
        ),
        Category::Syntax | Category::Io => {
            Refusal::new("invalid_json", format!("the record is not JSON: {error}"))
        }
    }
}

#[cfg(test)]
mod tests;
