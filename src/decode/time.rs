//! Parses timestamps in the spellings that log writers use. An unreadable timestamp is an error and
//! never becomes the current time.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

use super::scalar::Scalar;
use crate::event::EventTime;

const MICROS: i64 = 1_000_000;

/// Reads an RFC 3339 string, the date of the Common Log Format, or epoch seconds, milliseconds,
/// microseconds or nanoseconds as a number or numeric string. Digits beyond the microsecond are cut
/// off.
pub(super) fn parse(scalar: &Scalar<'_>) -> Option<EventTime> {
    match scalar {
        Scalar::Text(text) => parse_text(text.trim()),
        Scalar::Unsigned(number) => epoch_integer(i128::from(*number)),
        Scalar::Negative(number) => epoch_integer(i128::from(*number)),
        Scalar::Float(number) => epoch_float(*number),
        Scalar::Time(time) => Some(*time),
        Scalar::Absent | Scalar::Empty | Scalar::Boolean(_) | Scalar::Other(_) => None,
    }
}

fn parse_text(text: &str) -> Option<EventTime> {
    if let Some(time) = rfc3339(text.as_bytes()) {
        return Some(time);
    }
    if text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-')) {
        if let Ok(number) = text.parse() {
            return epoch_integer(number);
        }
        return epoch_float(text.parse().ok()?);
    }
    if let Some(time) = common_log(text) {
        return Some(time);
    }
    // Leap seconds, compact offsets and other forms are rare enough for the general parser.
    text.parse().ok().map(from_timestamp)
}

/// Numbers below these bounds are seconds, milliseconds and microseconds; larger ones are
/// nanoseconds. For the years 1973 to 5138, the numbers of each unit lie between its bound and the
/// one before.
const SECONDS_BELOW: u128 = 100_000_000_000;
const MILLISECONDS_BELOW: u128 = SECONDS_BELOW * 1_000;
const MICROSECONDS_BELOW: u128 = MILLISECONDS_BELOW * 1_000;

fn epoch_integer(number: i128) -> Option<EventTime> {
    let micros = match number.unsigned_abs() {
        size if size < SECONDS_BELOW => number * 1_000_000,
        size if size < MILLISECONDS_BELOW => number * 1_000,
        size if size < MICROSECONDS_BELOW => number,
        _ => number / 1_000,
    };
    i64::try_from(micros).ok().map(EventTime::from_micros)
}

fn epoch_float(number: f64) -> Option<EventTime> {
    let micros = match number.abs() {
        size if size < SECONDS_BELOW as f64 => number * 1e6,
        size if size < MILLISECONDS_BELOW as f64 => number * 1e3,
        size if size < MICROSECONDS_BELOW as f64 => number,
        _ => number / 1e3,
    };
    let fits = micros.abs() < i64::MAX as f64;
    fits.then(|| EventTime::from_micros(micros.round() as i64))
}

/// Parses the RFC 3339 grammar (section 5.6) except leap seconds: `T`, `t` or a space between date
/// and time, `Z`, `z` or a numeric offset, any number of fraction digits.
fn rfc3339(text: &[u8]) -> Option<EventTime> {
    let (clock, rest) = text.split_at_checked(19)?;
    let separators = [clock[4], clock[7], clock[10], clock[13], clock[16]];
    if !matches!(separators, [b'-', b'-', b'T' | b't' | b' ', b':', b':']) {
        return None;
    }
    let year = digits(&clock[0..4])?;
    let month = digits(&clock[5..7])?;
    let day = digits(&clock[8..10])?;
    let hour = digits(&clock[11..13]).filter(|hour| *hour < 24)?;
    let minute = digits(&clock[14..16]).filter(|minute| *minute < 60)?;
    let second = digits(&clock[17..19]).filter(|second| *second < 60)?;
    let (fraction, rest) = fraction_micros(rest)?;
    let offset = offset_seconds(rest)?;

    let days = days_since_epoch(year, month, day)?;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    Some(EventTime::from_micros(seconds * MICROS + fraction))
}

/// Parses the date of the Common Log Format: `10/Oct/2000:13:55:36 -0700`, also in brackets.
fn common_log(text: &str) -> Option<EventTime> {
    let text = text.strip_prefix('[').map_or(text, |text| text.strip_suffix(']').unwrap_or(text));
    if text.as_bytes().get(2) != Some(&b'/') {
        return None;
    }
    strptime("%d/%b/%Y:%H:%M:%S%.f %z", text, None)
}

/// Reads a time by a pattern of `strptime`. `zone` applies where the text has no offset; without
/// both, the time is unknown.
pub(super) fn strptime(pattern: &str, text: &str, zone: Option<Offset>) -> Option<EventTime> {
    let parsed = jiff::fmt::strtime::parse(pattern, text).ok()?;
    if parsed.offset().is_some() || parsed.timestamp().is_some() {
        return parsed.to_timestamp().ok().map(from_timestamp);
    }
    let civil = parsed.to_datetime().ok()?;
    zone?.to_timestamp(civil).ok().map(from_timestamp)
}

/// Reads a date and time that has no offset (`2019-03-18 22:48:32.999`) as local time of `zone`.
pub(super) fn in_zone(text: &str, zone: Offset) -> Option<EventTime> {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    let civil: DateTime = text.parse().ok()?;
    zone.to_timestamp(civil).ok().map(from_timestamp)
}

fn from_timestamp(timestamp: Timestamp) -> EventTime {
    EventTime::from_micros(timestamp.as_microsecond())
}

/// Reads a number as epoch time of a unit, given in microseconds.
pub(super) fn epoch(scalar: &Scalar<'_>, unit_micros: f64) -> Option<EventTime> {
    let whole = match scalar {
        Scalar::Unsigned(number) => Some(i128::from(*number)),
        Scalar::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    let micros = match whole {
        Some(number) if unit_micros >= 1.0 => number.checked_mul(unit_micros as i128)?,
        Some(number) => number / 1_000,
        None => {
            let micros = scalar.float()? * unit_micros;
            (micros.abs() < i64::MAX as f64).then_some(micros.round() as i128)?
        }
    };
    i64::try_from(micros).ok().map(EventTime::from_micros)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
    })
}

/// Converts `.123456789Z` to 123,456 and `Z`.
fn fraction_micros(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((0, text)) };
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, rest) = text.split_at_checked(count)?;
    let kept = digits(&fraction[..count.min(6)])?;
    (count > 0).then(|| (kept * 10_i64.pow(6 - count.min(6) as u32), rest))
}

fn offset_seconds(text: &[u8]) -> Option<i64> {
    match text {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let hours = digits(&[*h1, *h2]).filter(|hours| *hours < 24)?;
            let minutes = digits(&[*m1, *m2]).filter(|minutes| *minutes < 60)?;
            let seconds = hours * 3_600 + minutes * 60;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// Returns the days from 1970-01-01 in the Gregorian calendar; `None` for days that do not exist.
fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    let date = Date::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?);
    const EPOCH: Date = jiff::civil::date(1970, 1, 1);
    let days = date.ok()?.duration_since(EPOCH).as_secs() / 86_400;
    Some(days)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn micros(json: &str) -> Option<i64> {
        parse(&serde_json::from_str(json).unwrap()).map(EventTime::as_micros)
    }

    const NEW_YEAR: i64 = 1_767_225_600_000_000;

    #[test]
    fn rfc3339_in_every_spelling() {
        for text in [
            "2026-01-01T00:00:00Z",
            "2026-01-01t00:00:00z",
            "2026-01-01 00:00:00Z",
            "2026-01-01T01:30:00+01:30",
            "2025-12-31T19:00:00-05:00",
            "2026-01-01T00:00:00.000000999Z",
            "2026-01-01T00:00:00.0000001234567890123Z",
            " 2026-01-01T00:00:00Z ",
            "2026-01-01T00:00:00-00:00",
            "01/Jan/2026:01:00:00 +0100",
            "[01/Jan/2026:00:00:00 +0000]",
        ] {
            assert_eq!(micros(&format!("{text:?}")), Some(NEW_YEAR), "{text}");
        }
        assert_eq!(micros(r#""2026-01-01T00:00:00.25Z""#), Some(NEW_YEAR + 250_000));
        assert_eq!(micros(r#""2016-12-31T23:59:60Z""#), Some(1_483_228_799_000_000));
    }

    #[test]
    fn epoch_numbers_in_every_unit() {
        for json in [
            "1767225600",
            "1767225600000",
            "1767225600000000",
            "1767225600000000000",
            "1767225600.0",
            "1767225600000.0",
            r#""1767225600""#,
            r#""1767225600.000""#,
            r#""1767225600000000000""#,
        ] {
            assert_eq!(micros(json), Some(NEW_YEAR), "{json}");
        }
        assert_eq!(micros("1767225600.123456"), Some(NEW_YEAR + 123_456));
        assert_eq!(micros("0"), Some(0));
        assert_eq!(micros("-1"), Some(-1_000_000));
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        for json in [
            r#""yesterday""#,
            r#""2026-01-01T00:00:00""#,
            r#""2026-01-01""#,
            r#""2026-13-01T00:00:00Z""#,
            r#""2026-02-30T00:00:00Z""#,
            r#""2026-01-01T24:00:00Z""#,
            r#""2026-01-01T00:00:00.Z""#,
            r#""01/Jan/2026:00:00:00""#,
            r#""NaN""#,
            r#""inf""#,
            r#""-""#,
            r#""1.2.3""#,
            "1e300",
            "null",
            "true",
            "{}",
        ] {
            assert_eq!(micros(json), None, "{json}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_jiff(
            seconds in 0i64..250_000_000_000,
            fraction in 0i64..MICROS,
            offset_minutes in -1_439i64..1_440,
        ) {
            let expected = seconds * MICROS + fraction;
            let instant = Timestamp::from_microsecond(expected).unwrap();
            let offset = Offset::from_seconds(offset_minutes as i32 * 60).unwrap();
            let spelled = instant.display_with_offset(offset).to_string();
            prop_assert_eq!(rfc3339(spelled.as_bytes()), Some(EventTime::from_micros(expected)));
        }

        #[test]
        fn never_reads_what_jiff_refuses(
            text in "20[0-9]{2}-[0-3][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|z|[+-][0-2][0-9]:[0-6][0-9])"
        ) {
            let jiff = text.parse::<Timestamp>().ok().map(Timestamp::as_microsecond);
            if let Some(time) = rfc3339(text.as_bytes()) {
                prop_assert_eq!(Some(time.as_micros()), jiff);
            }
        }

        #[test]
        fn never_panics(text in ".{0,40}") {
            parse_text(&text);
        }
    }
}
