//! Free text, bounded: no field may grow a row, a mail or a terminal without limit.

use compact_str::CompactString;

/// Bytes kept of each field. Longer text is cut at a character boundary.
pub(super) const METHOD_BYTES: usize = 32;
pub(super) const PATH_BYTES: usize = 1_024;
pub(super) const USER_AGENT_BYTES: usize = 256;
pub(super) const LABEL_BYTES: usize = 128;
/// Longer request ids are replaced by their fingerprint: cut ones could coincide.
pub(super) const REQUEST_ID_BYTES: usize = 128;
/// Longer key ids are rejected: they are not ids.
pub(super) const KEY_ID_BYTES: usize = 256;

/// Cuts `text` to `limit` bytes and replaces control characters by U+FFFD, so that it can
/// be shown on a terminal and in a mail header.
pub(super) fn bounded(text: &str, limit: usize) -> CompactString {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    if has_control(text) {
        text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
    } else {
        CompactString::new(text)
    }
}

/// The path without query string and fragment, which may carry secrets. An empty path is
/// `/` (RFC 9110 section 4.2.3).
pub(super) fn path(text: &str) -> CompactString {
    let end = text.bytes().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(text.len());
    bounded(if end == 0 { "/" } else { &text[..end] }, PATH_BYTES)
}

pub(super) fn has_control(text: &str) -> bool {
    // Bytes first: nearly all text is printable ASCII, and without an early exit this is a
    // vector loop.
    let suspicious = text.bytes().fold(false, |found, byte| found | !(0x20..0x7f).contains(&byte));
    suspicious && text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn text_is_cut_at_a_character_boundary() {
        assert_eq!(bounded("abcdef", 3), "abc");
        assert_eq!(bounded("aé", 2), "a");
        assert_eq!(bounded("é", 9), "é");
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(bounded("a\r\nb\u{1b}[31m\u{85}", 99), "a\u{fffd}\u{fffd}b\u{fffd}[31m\u{fffd}");
    }

    #[test]
    fn paths_lose_query_and_fragment() {
        assert_eq!(path("/v1/a?api_key=x#y"), "/v1/a");
        assert_eq!(path("/v1/a#token"), "/v1/a");
        assert_eq!(path("?q"), "/");
        assert_eq!(path("/v1/a"), "/v1/a");
        assert_eq!(path(&"é".repeat(2_000)).len(), 1_024);
    }
}
