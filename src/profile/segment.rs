//! Classifies a path segment by its spelling: a literal name, a version, or an id.
//!
//! The result is a prior only. [`super::template`] also learns from the traffic which segments
//! are parameters.

/// Longest literal segment, in bytes. Longer segments are ids.
const MAX_LITERAL: usize = 32;
/// Longest prefix of an id (`cus_`, `price_`), in bytes.
const MAX_PREFIX: usize = 8;
/// Shortest id after a prefix, in bytes.
const MIN_PREFIXED: usize = 6;
/// Fewest letters for the test of changing case.
const MIN_LETTERS: u64 = 8;
/// Fewest letters for the test of vowels. Two of five letters in English words are vowels, one of
/// five random letters.
const MIN_FOR_VOWELS: u64 = 12;

/// The class of a path segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// Name of a resource or an operation: `orders`, `oauth2`, `GetThing`.
    Literal,
    /// Version of the API: `v1`, `v2beta1`. All versions of a path are the same route.
    Version,
    /// Id of one resource: `4711`, `cus_9s6XKz`, `BTC-USD`, `a@example.com`, `pt-BR`.
    Id,
}

/// The classes of each byte value, as packed counters of 8 bits: digits, lower case, upper case,
/// bytes that names do not contain, and vowels. The sum over a segment counts its bytes of each
/// class, and [`MAX_LITERAL`] keeps the counts below 256.
const KINDS: [u64; 256] = {
    let mut kinds = [1 << 24; 256];
    let mut byte = 0u8;
    while byte < 128 {
        kinds[byte as usize] = match byte {
            b'0'..=b'9' => 1,
            b'a' | b'e' | b'i' | b'o' | b'u' | b'y' => 1 << 8 | 1 << 32,
            b'A' | b'E' | b'I' | b'O' | b'U' | b'Y' => 1 << 16 | 1 << 32,
            b'a'..=b'z' => 1 << 8,
            b'A'..=b'Z' => 1 << 16,
            b'-' | b'_' | b'.' | b':' | b'~' => 0,
            _ => 1 << 24,
        };
        byte += 1;
    }
    kinds
};

impl Segment {
    /// Classifies the bytes of one segment.
    pub fn of(segment: &[u8]) -> Self {
        if segment.len() > MAX_LITERAL {
            return Self::Id;
        }
        let counts = segment.iter().map(|byte| KINDS[usize::from(*byte)]).sum::<u64>();
        let [digits, lower, upper, other, vowels] =
            [0, 8, 16, 24, 32].map(|at| counts >> at & 0xff);
        let is_name = || {
            !(upper > 0 && is_prefixed(segment)
                || is_locale(segment)
                || is_random(segment, lower, upper, vowels))
        };
        let is_literal = match digits {
            _ if other > 0 => false,
            0 => lower == 0 && upper == 1 || lower > 0 && is_name(),
            _ if is_version(segment, lower, upper) => return Self::Version,
            1 => {
                let is_short = segment.len() <= 10 || ends_in_version(segment);
                lower > 0 && is_short && !is_prefixed(segment) && is_name()
            }
            _ => false,
        };
        if is_literal { Self::Literal } else { Self::Id }
    }
}

fn is_version(segment: &[u8], lower: u64, upper: u64) -> bool {
    let begins = segment.first() == Some(&b'v') && segment.get(1).is_some_and(u8::is_ascii_digit);
    begins && segment.len() <= 8 && upper == 0 && lower <= 6
}

/// A name that ends in a version: `ListObjectsV2`.
fn ends_in_version(segment: &[u8]) -> bool {
    matches!(segment, [.., b'V', digit] if digit.is_ascii_digit())
}

/// A short prefix in lower case, then an id: `ch_3MmlLr`. If the rest is in lower case, the
/// segment is a name.
fn is_prefixed(segment: &[u8]) -> bool {
    let Some(prefix) = segment.iter().position(|byte| *byte == b'_') else { return false };
    let (prefix, rest) = (&segment[..prefix], &segment[prefix + 1..]);
    let is_named = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'_';
    (2..=MAX_PREFIX).contains(&prefix.len())
        && prefix.iter().all(u8::is_ascii_lowercase)
        && rest.len() >= MIN_PREFIXED
        && !rest.iter().all(is_named)
}

/// A locale: `en-US`, `pt_BR`, `zh-Hans`, `en-gb`.
fn is_locale(segment: &[u8]) -> bool {
    let [a, b, b'-' | b'_', region @ ..] = segment else { return false };
    let is_script = |region: &[u8]| {
        matches!(region, [first, rest @ ..] if rest.len() == 3
            && first.is_ascii_uppercase() && rest.iter().all(u8::is_ascii_lowercase))
    };
    let is_region = region.len() == 2 && region.iter().all(u8::is_ascii_alphabetic);
    a.is_ascii_lowercase() && b.is_ascii_lowercase() && (is_region || is_script(region))
}

/// Letters that look random: fewer than one in five is a vowel, or the case changes at two steps
/// in five or more.
fn is_random(segment: &[u8], lower: u64, upper: u64, vowels: u64) -> bool {
    let letters = lower + upper;
    if letters >= MIN_FOR_VOWELS && vowels * 5 < letters {
        return true;
    }
    if letters < MIN_LETTERS || lower < 2 || upper < 2 {
        return false;
    }
    let changes = segment.windows(2).filter(|pair| {
        pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase()
            || pair[0].is_ascii_uppercase() && pair[1].is_ascii_lowercase()
    });
    changes.count() as u64 * 5 >= letters * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_are(kind: Segment, segments: &[&str]) {
        for segment in segments {
            assert_eq!(Segment::of(segment.as_bytes()), kind, "{segment}");
        }
    }

    #[test]
    fn ids_are_recognised_with_and_without_digits() {
        all_are(
            Segment::Id,
            &[
                "4711",
                "cus_9s6XKzkNRiz8",
                "cus_AbQkNRizKd",
                "ch_3MmlLr",
                "BTC-USD",
                "01KE8ZQ7M3N5P6R8S9T0V1W2X3",
                "V1StGXR8_Z5jdHi6B-myT",
                "aGVsbG8gd29ybGQhIQ",
                "ann.lee@example.com",
                "2026-01-05",
                "deadbeef0123456789",
                "pt-BR",
                "zh-Hans",
                "qXzRkLmTvBnW",
                "xkqjzvwmptrb",
                "17:rotate",
                "a%20b",
            ],
        );
    }

    #[test]
    fn names_of_resources_and_operations_are_literals() {
        all_are(
            Segment::Literal,
            &[
                "orders",
                "api-keys",
                "oauth2",
                "s3",
                "pkg.Service",
                "GetThing",
                "CreateAccessKey",
                "ListMFADevices",
                "GetSAMLProvider",
                "ListObjectsV2",
                "line_items",
                "bulk_imports",
                "me",
                "getUserProfile",
                "DescribeDBInstances",
                "payment_intents",
            ],
        );
        all_are(Segment::Version, &["v1", "v2", "v2beta1", "v1.2", "v10"]);
    }
}
