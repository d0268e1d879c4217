//! Limits free text, so that no field makes a row, a mail or a terminal line arbitrarily long.

use compact_str::CompactString;

use super::scalar::Scalar;

/// Bytes kept of each field. Longer text is cut at a character boundary.
pub(super) const METHOD_BYTES: usize = 32;
pub(super) const PATH_BYTES: usize = 1_024;
pub(super) const USER_AGENT_BYTES: usize = 256;
pub(super) const LABEL_BYTES: usize = 128;
/// Longer request ids are replaced by their fingerprint, because truncated ids could coincide.
pub(super) const REQUEST_ID_BYTES: usize = 128;
/// Longer key ids are rejected: they are not ids.
pub(super) const KEY_ID_BYTES: usize = 256;

/// Truncates `text` to `limit` bytes and replaces control characters by U+FFFD, so that it is safe
/// on a terminal and in a mail header.
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

/// Returns the HTTP status. Gateways write 0, -1 or `-` for a request that was not answered, and
/// `502, 200` where they tried several servers: the last answer counts.
pub(super) fn status(scalar: &Scalar<'_>) -> Option<u16> {
    if let Scalar::Negative(-1) = scalar {
        return Some(0);
    }
    if let Some(status) = scalar.unsigned() {
        return u16::try_from(status).ok().filter(|it| matches!(it, 0 | 100..=599));
    }
    let Scalar::Text(text) = scalar else { return None };
    let last = text.rsplit([',', ':']).next().unwrap_or_default().trim();
    let status = match last {
        "-" | "-1" | "0" => 0,
        _ => last.strip_suffix(".0").unwrap_or(last).parse().ok()?,
    };
    matches!(status, 0 | 100..=599).then_some(status)
}

/// Beginnings that services give to secret keys, so that scanners find leaked ones (GitHub's list of
/// secret scanning patterns). Their public ids begin otherwise.
const SECRET_PREFIXES: [&str; 12] = [
    "sk_",
    "sk-",
    "rk_live_",
    "rk_test_",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xox",
    "whsec_",
    "SG.",
];
/// Shorter texts with such a beginning are names, or the shown part of a key.
pub(super) const LEAST_SECRET_BYTES: usize = 20;

/// Whether a text is a secret key by its beginning and its length.
pub(super) fn is_secret(text: &str) -> bool {
    text.len() >= LEAST_SECRET_BYTES && SECRET_PREFIXES.iter().any(|it| text.starts_with(it))
}

pub(super) fn has_control(text: &str) -> bool {
    // Bytes are checked first: nearly all text is printable ASCII, and without an early exit this
    // is a vector loop.
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
    fn a_status_is_read_as_gateways_write_it() {
        for (json, status) in [
            ("200", Some(200)),
            ("200.0", Some(200)),
            (r#""200.0""#, Some(200)),
            (r#""502, 200""#, Some(200)),
            (r#""502 : 504""#, Some(504)),
            (r#""502, -""#, Some(0)),
            ("0", Some(0)),
            ("-1", Some(0)),
            (r#""-""#, Some(0)),
            (r#""000""#, Some(0)),
            ("99", None),
            ("600", None),
            ("200.5", None),
            (r#""ok""#, None),
            ("true", None),
            ("null", None),
        ] {
            assert_eq!(super::status(&serde_json::from_str(json).unwrap()), status, "{json}");
        }
    }

    #[test]
    fn secret_keys_are_told_by_their_beginning() {
        for secret in ["sk_live_51HxInvented0Example", "ghp_0123456789abcdefghij"] {
            assert!(is_secret(secret), "{secret}");
        }
        for id in ["sk_live_12ab", "kw_live_0123456789abcdef", "alice@example.com", "AKIAEXAMPLE"] {
            assert!(!is_secret(id), "{id}");
        }
    }
}
