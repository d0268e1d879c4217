//! Reads optional fields. One that is present and unusable is left out, and counted.

use compact_str::CompactString;

use super::is_replaced;
use crate::decode::left_out::LeftOut;
use crate::decode::raw_event::{Field, RawEvent};
use crate::decode::scalar::Scalar;
use crate::decode::text;

/// Reads optional fields and counts those that were present but unusable.
pub(super) struct Optional<'o, 'a> {
    pub raw: &'o RawEvent<'a>,
    pub left_out: &'o mut LeftOut,
}

impl<'a> Optional<'_, 'a> {
    pub fn read<T>(
        &mut self,
        field: Field,
        parse: impl FnOnce(&Scalar<'a>) -> Option<T>,
    ) -> Option<T> {
        let scalar = self.raw.value(field);
        if scalar.is_absent() {
            return None;
        }
        let value = parse(scalar);
        if value.is_none() {
            self.left_out.count(field.name());
        }
        value
    }

    pub fn text<T>(&mut self, field: Field, make: impl FnOnce(&str) -> T) -> Option<T> {
        self.read(field, |scalar| scalar.text().map(|text| make(&text)))
    }

    /// Reads text in which every character counts: replaced ones could make two values equal.
    pub fn exact<T>(&mut self, field: Field, make: impl FnOnce(&str) -> T) -> Option<T> {
        let is_lossy = self.raw.is_lossy;
        let usable = move |text: &str| !(is_lossy && is_replaced(text));
        self.read(field, |scalar| scalar.text().filter(|text| usable(text)).map(|it| make(&it)))
    }
}

pub(super) fn label(text: &str) -> CompactString {
    text::bounded(text, text::LABEL_BYTES)
}

/// Returns the validity in seconds, at most a day: no API accepts requests for longer.
pub(super) fn validity(scalar: &Scalar<'_>) -> Option<u32> {
    scalar.unsigned().and_then(|number| u32::try_from(number).ok()).filter(|ms| *ms <= 86_400_000)
}

pub(super) fn latency(scalar: &Scalar<'_>) -> Option<f32> {
    let milliseconds = scalar.float()? as f32;
    (milliseconds.is_finite() && milliseconds >= 0.0).then_some(milliseconds)
}

/// Whole numbers as they are; seconds with a fraction (`1700000000.123`) in microseconds.
pub(super) fn nonce_number(nonce: &str) -> Option<u64> {
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((seconds, fraction)) = nonce.split_once('.') else {
        return if is_digits(nonce) { nonce.parse().ok() } else { None };
    };
    if !is_digits(seconds) || !is_digits(fraction) || fraction.is_empty() {
        return None;
    }
    let micros = format!("{fraction:0<6}").get(..6)?.parse::<u64>().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros)
}

#[cfg(test)]
mod tests {
    use super::nonce_number;

    #[test]
    fn nonces_are_numbers_when_they_are_whole_or_seconds_with_a_fraction() {
        for (nonce, number) in [
            ("17", Some(17)),
            ("1700000000.123", Some(1_700_000_000_123_000)),
            ("1700000000.1234567", Some(1_700_000_000_123_456)),
            ("1700000000.0", Some(1_700_000_000_000_000)),
            ("1700000000.", None),
            ("1.2.3", None),
            ("-1.5", None),
            ("1e9", None),
            ("18446744073709551615.1", None),
            ("18446744073709551616", None),
            ("", None),
        ] {
            assert_eq!(nonce_number(nonce), number, "{nonce}");
        }
    }
}
