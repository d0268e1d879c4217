//! Keeps of a path what names a route, and masks what may be a secret: gateways log what clients
//! send, and clients put keys into odd places.

use std::borrow::Cow;

use compact_str::CompactString;

use super::text::{self, PATH_BYTES, bounded};

const MASK: &str = "***";

/// Returns the path without query string and fragment. The values of parameters (`;token=x`), the
/// user of a URL, and segments that are keys are masked. An empty path becomes `/` (RFC 9110 section
/// 4.2.3).
pub(super) fn path(text: &str) -> CompactString {
    let mut is_plain = true;
    let mut segment = 0;
    let mut end = text.len();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'?' | b'#' => {
                end = at;
                break;
            }
            b'/' => segment = 0,
            b';' | b'%' | b'@' => is_plain = false,
            _ => {
                segment += 1;
                // No shorter segment is a key.
                is_plain &= segment < text::LEAST_SECRET_BYTES;
            }
        }
    }
    let path = &text[..end];
    match path {
        "" => CompactString::const_new("/"),
        _ if is_plain => bounded(path, PATH_BYTES),
        _ => bounded(&masked(path), PATH_BYTES),
    }
}

/// The path without an encoded query, and with its secrets masked.
fn masked(path: &str) -> Cow<'_, str> {
    let path = without_encoded_query(path);
    let path = without_user(path);
    let is_masked = |segment: &str| segment.contains(';') || is_key(segment);
    if !path.split('/').any(is_masked) {
        return path;
    }
    let segments: Vec<Cow<'_, str>> = path.split('/').map(segment).collect();
    Cow::Owned(segments.join("/"))
}

/// A client that encodes a whole address sends `/v1/orders%3Fapi_key=...`. A `?` that belongs to a
/// name is followed by no value.
fn without_encoded_query(path: &str) -> &str {
    let is_mark = |at: &usize| path.as_bytes()[at + 1..].get(..2).is_some_and(is_question_mark);
    let mark = path.match_indices('%').map(|(at, _)| at).find(is_mark);
    let has_value = |rest: &str| rest.contains('=') || rest.to_ascii_lowercase().contains("%3d");
    match mark {
        Some(at) if has_value(&path[at..]) => &path[..at],
        _ => path,
    }
}

fn is_question_mark(digits: &[u8]) -> bool {
    digits.eq_ignore_ascii_case(b"3F")
}

/// Masks the user of `http://user:password@host/...`.
fn without_user(path: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = path.split_once("://") else { return Cow::Borrowed(path) };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) => Cow::Owned(format!("{scheme}://{MASK}{}", &rest[at..])),
        None => Cow::Borrowed(path),
    }
}

fn segment(segment: &str) -> Cow<'_, str> {
    if !segment.contains(';') {
        return if is_key(segment) { Cow::Borrowed(MASK) } else { Cow::Borrowed(segment) };
    }
    let mut parts = segment.split(';');
    let name = parts.next().map(self::segment).unwrap_or_default();
    let parameters = parts.map(|part| match part.split_once('=') {
        Some((name, _)) => Cow::Owned(format!("{name}={MASK}")),
        None => self::segment(part),
    });
    Cow::Owned(std::iter::once(name).chain(parameters).collect::<Vec<_>>().join(";"))
}

/// Whether a segment is a key by its beginning and its disorder, or a token in the form of a JWT.
/// Long ids without such a beginning stay: they tell requests apart.
fn is_key(segment: &str) -> bool {
    let is_prefixed =
        || text::is_secret(segment) || marked_secret(segment).is_some_and(|rest| rest.len() >= 16);
    let is_token = || segment.starts_with("eyJ") && segment.matches('.').count() == 2;
    segment.len() >= text::LEAST_SECRET_BYTES && (is_token() || is_prefixed() && is_random(segment))
}

/// What follows `_live_`, `_test_` and the like, as in `acme_live_51Hx...`.
fn marked_secret(segment: &str) -> Option<&str> {
    const MARKS: [&str; 3] = ["_live_", "_test_", "_secret_"];
    let found = MARKS.iter().find_map(|mark| segment.split_once(mark));
    found.filter(|(prefix, _)| prefix.len() <= 12).map(|(_, rest)| rest)
}

/// Whether the last 16 characters are no words: they hold digits, and hardly repeat.
fn is_random(segment: &str) -> bool {
    /// Bits a character; 16 random hexadecimal digits have about 3.3.
    const LEAST_ENTROPY: f64 = 2.8;
    let tail: Vec<u8> = segment.bytes().rev().take(16).collect();
    let count = |byte: u8| tail.iter().filter(|other| **other == byte).count() as f64;
    let bits = |byte: &u8| -(count(*byte) / tail.len() as f64).log2();
    let entropy = tail.iter().map(bits).sum::<f64>() / tail.len() as f64;
    tail.iter().any(u8::is_ascii_digit) && entropy >= LEAST_ENTROPY
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_lose_query_and_fragment() {
        assert_eq!(path("/v1/a?api_key=x#y"), "/v1/a");
        assert_eq!(path("/v1/a#token"), "/v1/a");
        assert_eq!(path("?q"), "/");
        assert_eq!(path("/v1/a"), "/v1/a");
        assert_eq!(path(&"é".repeat(2_000)).len(), 1_024);
    }

    #[test]
    fn secrets_in_odd_places_are_masked() {
        for (given, kept) in [
            ("/v1/orders%3Fapi_key=sk_live_1", "/v1/orders"),
            ("/v1/orders%3fapi_key%3Dsk_live_1&x", "/v1/orders"),
            ("/v1/a;token=secret/b;v=1", "/v1/a;token=***/b;v=***"),
            ("/v1/a;jsessionid=0A1B?x=y", "/v1/a;jsessionid=***"),
            ("http://ann:secret@api.example/v1/a", "http://***@api.example/v1/a"),
            ("http://ann:se@cret@api.example/v1", "http://***@api.example/v1"),
            ("/keys/sk_live_51HxInvented0Example/use", "/keys/***/use"),
            ("/bot/ghp_0123456789abcdefghij", "/bot/***"),
            ("/hook/acme_live_9f8e7d6c5b4a39281706", "/hook/***"),
            ("/t/eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.c2ln", "/t/***"),
        ] {
            assert_eq!(path(given), kept, "{given}");
        }
    }

    #[test]
    fn ids_and_words_stay() {
        for kept in [
            "/v1/orders/3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            "/v1/objects/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "/files/1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms",
            "/docs/sk_live_how_to_rotate_a_secret_key",
            "/wiki/What%3F",
            "/users/ann@example.com/orders",
            "/a:b@c/d",
            "/v1/100%/x",
        ] {
            assert_eq!(path(kept), kept);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_no_query_stays(text in "[/a-c%3fF;=@:?#é.]{0,40}") {
            let kept = path(&text);
            prop_assert!(!kept.contains(['?', '#']), "{}", kept);
        }
    }
}
