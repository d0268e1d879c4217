//! Makes values from the log safe to show. An attacker with a stolen key chooses many values in an
//! alert, so no value may look like Keywatch's own words, reach a header or become a link.

use serde_json::Value;

use crate::facts;
use crate::text::is_deceptive;

/// Returns one line of at most `limit` characters, without control characters, without characters
/// that change the writing direction, and without links that a mail program would make clickable.
pub(super) fn one_line(text: &str, limit: usize) -> String {
    let visible: String = text.chars().map(|c| if is_deceptive(c) { ' ' } else { c }).collect();
    let words = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    let unlinked = words.replace("://", "[:]//");
    match unlinked.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &unlinked[..end]),
        None => unlinked,
    }
}

/// The name of a field of evidence.
pub(super) fn label(field: &str) -> String {
    facts::label(field, &|text| one_line(text, 40))
}

/// The value of a field of evidence.
pub(super) fn value(field: &str, value: &Value) -> String {
    facts::value(field, value, &|text| one_line(text, 300))
}

/// `a***@example.com`: enough to recognise the recipient, too little to write to them.
pub(super) fn mask_address(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => {
            format!("{}***@{domain}", local.chars().next().map(String::from).unwrap_or_default())
        }
        None => "***".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_carry_no_control_characters_no_links_and_no_more_than_the_limit() {
        assert_eq!(one_line("a\r\nBcc: x\t\0b", 100), "a Bcc: x b");
        assert_eq!(one_line("exe.\u{202e}gnp", 100), "exe. gnp");
        assert_eq!(one_line("see https://evil.example", 100), "see https[:]//evil.example");
        assert_eq!(one_line("äöüß", 2), "äö…");
    }

    #[test]
    fn addresses_are_masked() {
        assert_eq!(mask_address("alice@example.com"), "a***@example.com");
        assert_eq!(mask_address("nonsense"), "***");
    }
}
