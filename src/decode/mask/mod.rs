//! Masks the parts of a rejected record that may be secret. It shows the structure, the contract's
//! field names, and values that cannot be secrets.
//!
//! The record may be arbitrary bytes, so it is read token by token and never parsed. A value is
//! shown only when it directly follows a field that does not hold a secret and has the shape of
//! that field. Everything else, including its length, becomes `***`.

mod masker;
mod shape;
#[cfg(test)]
mod tests;

use self::masker::Masker;
use self::shape::is_plausible;
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
