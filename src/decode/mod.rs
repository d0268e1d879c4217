//! Decodes records into events. A record that cannot be decoded becomes a rejection; its fields are
//! never guessed.
//!
//! `requests` takes a record apart, a `format` reads each request into a `RawEvent`, and `assemble`
//! checks it and builds the event.

mod address;
mod assemble;
mod auto;
mod batch;
mod check;
mod format;
mod forwarded;
mod left_out;
mod mapping;
mod mask;
mod path;
mod presets;
mod pseudonym;
mod public_ids;
mod raw_event;
mod reason;
mod rekey;
mod repair;
mod requests;
mod scalar;
mod text;
mod time;

use std::borrow::Cow;

use self::assemble::{Context, Refusal};
pub use self::auto::Choice;
use self::auto::Chosen;
pub use self::batch::{DecodedBatch, Rejection};
pub use self::check::check;
pub use self::format::ToLog;
use self::format::{AUTO, CUSTOM, Format};
use self::forwarded::Proxies;
pub use self::left_out::LeftOut;
pub use self::mapping::MappingError;
use self::mask::Trust;
use self::pseudonym::Pseudonyms;
pub use self::public_ids::{KeyHasher, PublicIds};
pub use self::reason::RejectReason;
use crate::config::DecodeConfig;
use crate::event::EventTime;
use crate::record::RawBatch;

/// An attacker could guess a shorter pepper.
pub const MIN_PEPPER_BYTES: usize = 16;

/// The names of the formats that can be read, without those that a configuration describes.
pub fn formats() -> impl Iterator<Item = &'static str> {
    std::iter::once(format::OWN).chain(presets::ALL.iter().map(|preset| preset.name))
}

/// A line for each preset: its name, and what it reads.
pub fn presets() -> impl Iterator<Item = (&'static str, String)> {
    presets::ALL.iter().map(|preset| (preset.name, preset.about()))
}

/// The mapping of a preset as it is written; `None` for an unknown name.
pub fn preset(name: &str) -> Option<&'static str> {
    presets::ALL.iter().find(|preset| preset.name == name).map(|preset| preset.text)
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error(
        "the format \"{format}\" is unknown; use one of: {}, custom, auto",
        formats().collect::<Vec<_>>().join(", ")
    )]
    UnknownFormat { format: String },
    #[error(
        "the format \"auto\" is for files that are replayed, since a restart could choose another \
         one; name the format"
    )]
    NotNamed,
    #[error("the format \"custom\" needs a mapping: write it in [decode.mapping]")]
    NoMapping,
    #[error("{0}")]
    Mapping(#[from] MappingError),
    #[error("the pepper has {bytes} bytes; use at least {MIN_PEPPER_BYTES} random ones")]
    ShortPepper { bytes: usize },
    #[error(
        "\"{network}\" is not a network; write one such as \"10.0.0.0/8\", or the address of one proxy"
    )]
    BadProxy { network: String },
    #[error(
        "\"{network}\" holds every address, so that whoever writes the header could choose its \
         address; name the networks of the proxies alone"
    )]
    ProxiesEverywhere { network: String },
}

impl DecodeError {
    /// Returns the configuration key that causes the error.
    pub fn key(&self) -> &'static str {
        match self {
            Self::UnknownFormat { .. } | Self::NotNamed => "decode.format",
            Self::NoMapping | Self::Mapping(_) => "decode.mapping",
            Self::ShortPepper { .. } => "decode.pepper",
            Self::BadProxy { .. } | Self::ProxiesEverywhere { .. } => "decode.trusted_proxies",
        }
    }
}

/// Refuses the choice by content, which depends on the records that come first.
///
/// # Errors
/// The configuration does not name a format.
pub fn require_named(config: &DecodeConfig) -> Result<(), DecodeError> {
    if config.format == AUTO { Err(DecodeError::NotNamed) } else { Ok(()) }
}

/// Reads records of the configured format.
pub struct Decoder {
    /// One format, or all of them when each log has the one that fits it.
    formats: Vec<Format>,
    chosen: Chosen,
    pseudonyms: Pseudonyms,
    public_ids: PublicIds,
    proxies: Proxies,
    has_pepper: bool,
    max_record_bytes: usize,
    max_future_seconds: u64,
    takes_rejections: bool,
}

impl Decoder {
    pub fn new(config: &DecodeConfig) -> Result<Self, DecodeError> {
        let pepper = config.pepper.reveal();
        check_pepper(pepper)?;
        Ok(Self {
            formats: configured(config)?,
            chosen: Chosen::default(),
            pseudonyms: Pseudonyms::new(pepper),
            public_ids: PublicIds::default(),
            proxies: Proxies::new(&config.trusted_proxies)?,
            has_pepper: !pepper.is_empty(),
            max_record_bytes: config.max_record_bytes,
            max_future_seconds: config.max_future_seconds,
            takes_rejections: false,
        })
    }

    /// Returns the decoder for records that [`Self::rekey`] wrote.
    pub fn of_repartitioned(self) -> Self {
        Self { takes_rejections: true, formats: vec![Format::own()], ..self }
    }

    /// Shares the public ids of raw keys with other decoders.
    pub fn with_public_ids(self, public_ids: PublicIds) -> Self {
        Self { public_ids, ..self }
    }

    /// The formats that were chosen by content, in the order of the logs.
    pub fn choices(&self) -> Vec<Choice> {
        self.chosen.all()
    }

    /// The setting of the gateway that puts a field into a log of the format.
    pub fn to_log(&self, format: &str, field: &str) -> ToLog {
        let format = self.formats.iter().find(|known| known.name == format);
        format.map_or(ToLog::Unknown, |format| format.to_log(field))
    }

    /// The format that is configured, if it is one and not a choice by content.
    pub fn format(&self) -> Option<&'static str> {
        if let [format] = &*self.formats { Some(format.name) } else { None }
    }

    fn context<'a>(&'a self, format: &'a Format, latest: EventTime) -> Context<'a> {
        Context {
            format,
            pseudonyms: &self.pseudonyms,
            public_ids: &self.public_ids,
            proxies: &self.proxies,
            has_pepper: self.has_pepper,
            is_repartitioned: self.takes_rejections,
            latest,
        }
    }

    /// Decodes every record into events, rejections, or both (an array with bad elements), in
    /// order. `now` only sets the upper limit of event times.
    pub fn decode(&self, batch: &RawBatch, now: EventTime) -> DecodedBatch {
        let latest = now.plus_seconds(self.max_future_seconds as f64);
        let format = &self.formats[self.choose(batch)];
        let context = self.context(format, latest);
        let mut decoded = DecodedBatch::new(batch);
        for (offset, payload) in batch.records() {
            match self.text(payload, format) {
                Ok(text) => match self.passed_on(offset, &text.text) {
                    Some(rejection) => decoded.rejections.push(rejection),
                    None => self.add(&mut decoded, &context, offset, &text),
                },
                Err(refusal) => {
                    decoded.reject(offset, 0, payload, Trust::Unparsed, format, refusal);
                }
            }
        }
        decoded
    }

    /// Adds a record. In a log of mixed formats, a record that the log's format cannot read is read
    /// by the one that fits it.
    fn add(&self, batch: &mut DecodedBatch, context: &Context<'_>, offset: i64, text: &Text<'_>) {
        let before = batch.mark();
        batch.add_record(context, offset, &text.text, text.is_lossy);
        if self.formats.len() > 1 && !batch.has_events_since(&before) {
            let better = auto::better(&self.formats, context.format, &text.text);
            if let Some(format) = better {
                batch.reset_to(before);
                let context = self.context(format, context.latest);
                batch.add_record(&context, offset, &text.text, text.is_lossy);
            }
        }
    }

    fn passed_on(&self, offset: i64, text: &str) -> Option<Rejection> {
        if self.takes_rejections { rekey::rejection(offset, text) } else { None }
    }

    /// Returns the record as text without a byte order mark (RFC 8259 section 8.1).
    fn text<'a>(&self, payload: &'a [u8], format: &Format) -> Result<Text<'a>, Refusal> {
        if payload.len() > self.max_record_bytes {
            let detail = format!(
                "the record has {} bytes, expected at most {} (decode.max_record_bytes)",
                payload.len(),
                self.max_record_bytes
            );
            return Err(Refusal::new(RejectReason::TooLarge, detail));
        }
        // Nearly all records are valid, and this check is many times faster than the repair.
        let text = std::str::from_utf8(payload)
            .map_or_else(|_| String::from_utf8_lossy(payload), Cow::Borrowed);
        let is_lossy = matches!(text, Cow::Owned(_));
        let text = trimmed(text);
        if text.is_empty() {
            let expected = if format.is_json() { "JSON" } else { "a line" };
            let detail = format!("the record is empty, expected {expected}");
            return Err(Refusal::new(RejectReason::EmptyRecord, detail));
        }
        Ok(Text { text, is_lossy })
    }
}

fn check_pepper(pepper: &str) -> Result<(), DecodeError> {
    if !pepper.is_empty() && pepper.len() < MIN_PEPPER_BYTES {
        return Err(DecodeError::ShortPepper { bytes: pepper.len() });
    }
    Ok(())
}

/// A record as text.
struct Text<'a> {
    text: Cow<'a, str>,
    /// Bytes that are not UTF-8 were replaced.
    is_lossy: bool,
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    let trim = |text: &str| -> std::ops::Range<usize> {
        let inner = text.strip_prefix('\u{feff}').unwrap_or(text);
        // The record separator of JSON text sequences (RFC 7464).
        let inner = inner.trim_start_matches('\u{1e}').trim_ascii();
        let start = inner.as_ptr() as usize - text.as_ptr() as usize;
        start..start + inner.len()
    };
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[trim(text)]),
        Cow::Owned(text) => Cow::Owned(text[trim(&text)].to_owned()),
    }
}

fn configured(config: &DecodeConfig) -> Result<Vec<Format>, DecodeError> {
    let custom = config.mapping.as_ref().map(Format::custom).transpose()?;
    match config.format.as_str() {
        format::OWN => Ok(vec![Format::own()]),
        CUSTOM => Ok(vec![custom.ok_or(DecodeError::NoMapping)?]),
        AUTO => Ok(custom.into_iter().chain(Format::all()).collect()),
        name => match Format::preset(name) {
            Some(format) => Ok(vec![format]),
            None => Err(DecodeError::UnknownFormat { format: name.to_owned() }),
        },
    }
}

#[cfg(test)]
mod tests;
