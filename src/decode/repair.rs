//! Repairs JSON of real gateways that the grammar does not allow: escapes such as `\xE9`, lone
//! surrogates, and control characters in strings. Only records that could not be read come here.

/// A repaired record.
pub(super) struct Repaired {
    pub text: String,
    /// Something could not be decoded and became U+FFFD.
    pub is_lossy: bool,
}

/// Returns the record with its strings repaired; `None` if there is nothing to repair.
pub(super) fn repaired(text: &str) -> Option<Repaired> {
    let mut output = Repaired { text: String::with_capacity(text.len()), is_lossy: false };
    let mut is_changed = false;
    let mut in_string = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let fault = if in_string { fault(rest) } else { None };
        if let Some((length, meaning)) = fault {
            is_changed = true;
            output.push_meaning(&meaning);
            rest = &rest[length..];
            continue;
        }
        let length = match c {
            '\\' if in_string && is_pair(rest.as_bytes()) => 12,
            '\\' if in_string => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            _ => c.len_utf8(),
        };
        in_string ^= c == '"';
        output.text.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    is_changed.then_some(output)
}

impl Repaired {
    fn push_meaning(&mut self, meaning: &str) {
        self.is_lossy |= meaning.contains('\u{fffd}');
        // A text can always be written as JSON. The quotes around it are cut off.
        let quoted = serde_json::Value::from(meaning).to_string();
        self.text.push_str(&quoted[1..quoted.len() - 1]);
    }
}

/// The length and the meaning of something in a string that JSON does not allow.
fn fault(text: &str) -> Option<(usize, String)> {
    let bytes = text.as_bytes();
    match bytes {
        [control @ ..0x20, ..] => Some((1, char::from(*control).to_string())),
        [b'\\', b'x', ..] => hexadecimal(bytes),
        [b'\\', b'u', ..] => {
            let is_surrogate = (0xd800..0xe000).contains(&unit(bytes)?);
            (is_surrogate && !is_pair(bytes)).then(|| (6, "\u{fffd}".to_owned()))
        }
        _ => None,
    }
}

/// Whether two escapes that belong together come next: a leading and a trailing surrogate.
fn is_pair(text: &[u8]) -> bool {
    let is_leading = unit(text).is_some_and(|unit| (0xd800..0xdc00).contains(&unit));
    is_leading && unit(&text[6..]).is_some_and(|unit| (0xdc00..0xe000).contains(&unit))
}

/// Reads `\xC3\xA9` and further such escapes as bytes of UTF-8.
fn hexadecimal(text: &[u8]) -> Option<(usize, String)> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let [b'\\', b'x', high, low, after @ ..] = rest {
        let digits = [*high, *low];
        let Some(byte) =
            std::str::from_utf8(&digits).ok().and_then(|it| u8::from_str_radix(it, 16).ok())
        else {
            break;
        };
        bytes.push(byte);
        rest = after;
    }
    let length = text.len() - rest.len();
    (length > 0).then(|| (length, String::from_utf8_lossy(&bytes).into_owned()))
}

/// The UTF-16 unit of an escape such as `\u00e9`.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> (String, bool) {
        let repaired = repaired(json).unwrap();
        (serde_json::from_str(&repaired.text).unwrap(), repaired.is_lossy)
    }

    #[test]
    fn what_gateways_write_becomes_json() {
        for (json, text, is_lossy) in [
            (r#""caf\xE9""#, "caf\u{fffd}", true),
            (r#""caf\xC3\xA9""#, "café", false),
            (r#""say \x22hi\x22\x5C""#, "say \"hi\"\\", false),
            (r#""a\ud800b""#, "a\u{fffd}b", true),
            (r#""\udc00""#, "\u{fffd}", true),
            (r#""\ud800\ud83d\ude00""#, "\u{fffd}😀", true),
            ("\"a\tb\"", "a\tb", false),
        ] {
            assert_eq!(read(json), (text.to_owned(), is_lossy), "{json}");
        }
    }

    #[test]
    fn what_is_right_stays_untouched() {
        for json in
            [r#"{"a":"\\x41"}"#, r#""\ud83d\ude00""#, "{\n\t\"a\": 1}", r#""\xZZ""#, r#""\u12""#]
        {
            assert!(repaired(json).is_none(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn valid_json_is_never_changed(text in any::<String>()) {
            prop_assert!(repaired(&serde_json::Value::from(text).to_string()).is_none());
        }

        #[test]
        fn never_panics(text in r#"[\\"xuUdD8c0-9a-f{}: \u{e9}\u{1}]{0,40}"#) {
            repaired(&text);
        }
    }
}
