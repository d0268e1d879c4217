//! Checks the fields of a record and makes an event of them. Required fields that are
//! missing or unusable refuse the record; optional ones that are unusable are left out.

use std::net::IpAddr;

use compact_str::CompactString;

use super::pseudonym::Pseudonyms;
use super::raw_event::RawEvent;
use super::scalar::Scalar;
use super::{address, mask, text, time};
use crate::event::{AccessEvent, EventTime, KeyId, Nonce};

/// 2000-01-01: earlier times are clocks that were never set.
const EARLIEST: EventTime = EventTime::from_seconds(946_684_800);

/// Why a record is not an event.
#[derive(Debug)]
pub(super) struct Refusal {
    pub reason: &'static str,
    pub detail: String,
}

impl Refusal {
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// What a decoder knows besides the record.
pub(super) struct Context<'a> {
    pub pseudonyms: &'a Pseudonyms,
    pub has_pepper: bool,
    /// Times after this are refused.
    pub latest: EventTime,
}

impl Context<'_> {
    /// Hands the event to `emit`, which builds it where it stays. Returns how many optional
    /// fields were unusable and left out.
    pub fn assemble(
        &self,
        raw: &RawEvent<'_>,
        emit: impl FnOnce(AccessEvent),
    ) -> Result<u64, Refusal> {
        if let Some(field) = raw.duplicate {
            return Err(Refusal::new(
                "duplicate_field",
                format!("field `{field}` occurs twice; write it once"),
            ));
        }
        let mut optional = Optional { left_out: 0 };
        emit(AccessEvent {
            time: self.time(&raw.time)?,
            key_id: self.key_id(raw)?,
            client_ip: client_ip(&raw.client_ip)?,
            method: required_text("method", ["missing_method", "bad_method"], &raw.method, |t| {
                text::bounded(t, text::METHOD_BYTES)
            })?,
            path: required_text("path", ["missing_path", "bad_path"], &raw.path, text::path)?,
            status: status(&raw.status)?,
            request_id: optional.text(&raw.request_id, |id| self.request_id(id)),
            latency_ms: optional.read(&raw.latency_ms, latency),
            bytes_in: optional.read(&raw.bytes_in, Scalar::unsigned),
            bytes_out: optional.read(&raw.bytes_out, Scalar::unsigned),
            user_agent: optional
                .text(&raw.user_agent, |t| text::bounded(t, text::USER_AGENT_BYTES)),
            environment: optional.text(&raw.environment, label),
            scope: optional.text(&raw.scope, label),
            tenant: optional.text(&raw.tenant, label),
            nonce: optional.text(&raw.nonce, |nonce| self.nonce(nonce)),
            client_time: optional.read(&raw.client_time, time::parse),
            signature: optional.text(&raw.signature, |t| self.pseudonyms.signature(t)),
        });
        Ok(optional.left_out)
    }

    fn time(&self, scalar: &Scalar<'_>) -> Result<EventTime, Refusal> {
        let time = match time::parse(scalar) {
            Some(time) => time,
            None => {
                let expected = "RFC 3339 with an offset, or epoch seconds, ms, us or ns";
                return Err(unusable("time", ["missing_time", "bad_time"], scalar, expected));
            }
        };
        if time < EARLIEST {
            let detail = format!("field `time` is {time}, expected 2000-01-01 or later");
            return Err(Refusal::new("time_out_of_range", detail));
        }
        if time > self.latest {
            let detail = format!("field `time` is {time}, expected no later than {}", self.latest);
            return Err(Refusal::new("future_time", detail));
        }
        Ok(time)
    }

    /// The public id when there is one; a raw key beside it is dropped unread. Otherwise
    /// the raw key's pseudonym.
    pub fn key_id(&self, raw: &RawEvent<'_>) -> Result<KeyId, Refusal> {
        if !raw.key_id.is_absent() {
            return key_id(&raw.key_id);
        }
        if raw.api_key.is_absent() {
            let detail = "both `key_id` and `api_key` are missing or empty, expected one of them";
            return Err(Refusal::new("missing_key_id", detail));
        }
        let Some(api_key) = raw.api_key.text() else {
            return Err(bad("api_key", "bad_api_key", &raw.api_key, "a string"));
        };
        if !self.has_pepper {
            return Err(Refusal::new(
                "missing_pepper",
                "field `api_key` holds a raw key, which must be hashed: set decode.pepper_file, \
                 decode.pepper or KEYWATCH__DECODE__PEPPER, or log `key_id` instead",
            ));
        }
        Ok(self.pseudonyms.key_id(&api_key))
    }

    fn request_id(&self, id: &str) -> CompactString {
        if id.len() > text::REQUEST_ID_BYTES {
            compact_str::format_compact!("{}", self.pseudonyms.text(id))
        } else {
            text::bounded(id, text::REQUEST_ID_BYTES)
        }
    }

    fn nonce(&self, nonce: &str) -> Nonce {
        let is_decimal = nonce.bytes().all(|byte| byte.is_ascii_digit());
        let number = if is_decimal { nonce.parse().ok() } else { None };
        Nonce { fingerprint: self.pseudonyms.nonce(nonce), number }
    }
}

/// Reads optional fields and counts those that were there but unusable.
struct Optional {
    left_out: u64,
}

impl Optional {
    fn read<'a, T>(
        &mut self,
        scalar: &Scalar<'a>,
        parse: impl FnOnce(&Scalar<'a>) -> Option<T>,
    ) -> Option<T> {
        if scalar.is_absent() {
            return None;
        }
        let value = parse(scalar);
        self.left_out += u64::from(value.is_none());
        value
    }

    fn text<T>(&mut self, scalar: &Scalar<'_>, make: impl FnOnce(&str) -> T) -> Option<T> {
        self.read(scalar, |scalar| scalar.text().map(|text| make(&text)))
    }
}

fn label(text: &str) -> CompactString {
    text::bounded(text, text::LABEL_BYTES)
}

fn latency(scalar: &Scalar<'_>) -> Option<f32> {
    let milliseconds = scalar.float()? as f32;
    (milliseconds.is_finite() && milliseconds >= 0.0).then_some(milliseconds)
}

fn key_id(scalar: &Scalar<'_>) -> Result<KeyId, Refusal> {
    let usable = scalar.text().filter(|id| {
        id.len() <= text::KEY_ID_BYTES && !text::has_control(id) && !id.trim().is_empty()
    });
    match usable {
        Some(id) => Ok(KeyId::new(id)),
        None => {
            let expected = "1 to 256 bytes without control characters";
            Err(unusable("key_id", ["missing_key_id", "bad_key_id"], scalar, expected))
        }
    }
}

fn client_ip(scalar: &Scalar<'_>) -> Result<IpAddr, Refusal> {
    scalar.text().and_then(|text| address::parse(&text)).ok_or_else(|| {
        let expected = "an IPv4 or IPv6 address";
        unusable("client_ip", ["missing_client_ip", "bad_client_ip"], scalar, expected)
    })
}

fn status(scalar: &Scalar<'_>) -> Result<u16, Refusal> {
    match scalar.unsigned() {
        Some(status @ 100..=599) => Ok(status as u16),
        _ => {
            let expected = "an HTTP status from 100 to 599";
            Err(unusable("status", ["missing_status", "bad_status"], scalar, expected))
        }
    }
}

fn required_text(
    field: &'static str,
    reasons: [&'static str; 2],
    scalar: &Scalar<'_>,
    make: impl FnOnce(&str) -> CompactString,
) -> Result<CompactString, Refusal> {
    match scalar {
        Scalar::Text(text) => Ok(make(text)),
        _ => Err(unusable(field, reasons, scalar, "a string")),
    }
}

/// A required field that is not there, or not usable.
fn unusable(
    field: &'static str,
    [missing_reason, bad_reason]: [&'static str; 2],
    scalar: &Scalar<'_>,
    expected: &str,
) -> Refusal {
    if scalar.is_absent() {
        let detail = format!("field `{field}` is missing or empty, expected {expected}");
        return Refusal::new(missing_reason, detail);
    }
    bad(field, bad_reason, scalar, expected)
}

fn bad(field: &'static str, reason: &'static str, scalar: &Scalar<'_>, expected: &str) -> Refusal {
    let found = mask::found(field, scalar);
    Refusal::new(reason, format!("field `{field}` is {found}, expected {expected}"))
}
