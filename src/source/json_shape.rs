//! Follows the shape of a JSON value over lines (RFC 8259 section 2), to tell a value that goes on
//! in the next line from a torn line. Does not check the insides of strings, numbers and words.

/// Deeper values are not read by the decoder either.
const MAX_DEPTH: usize = 128;

/// What is known of a value after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The value goes on.
    Open,
    /// The value ends in this line.
    Closed,
    /// No value has this shape.
    Broken,
}

/// The value so far.
#[derive(Default)]
pub(super) struct JsonShape {
    /// The brackets that are open.
    open: Vec<u8>,
    last: Token,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Token {
    #[default]
    Start,
    Open,
    Comma,
    Name,
    Colon,
    Value,
}

impl JsonShape {
    /// Reads the next line. What follows the value in its last line is not looked at.
    pub(super) fn read(&mut self, line: &[u8]) -> Progress {
        let mut rest = line.trim_ascii_start();
        while let Some(first) = rest.first() {
            if !self.accepts(*first) {
                return Progress::Broken;
            }
            let Some(length) = length(rest) else { return Progress::Broken };
            self.take(*first);
            if self.open.is_empty() {
                return Progress::Closed;
            }
            if self.open.len() > MAX_DEPTH {
                return Progress::Broken;
            }
            rest = rest[length..].trim_ascii_start();
        }
        Progress::Open
    }

    fn is_object(&self) -> bool {
        self.open.last() == Some(&b'{')
    }

    fn accepts(&self, first: u8) -> bool {
        let begins_value = !matches!(first, b'}' | b']' | b',' | b':');
        match (self.last, self.is_object()) {
            (Token::Start, _) => matches!(first, b'{' | b'['),
            (Token::Open, true) => matches!(first, b'"' | b'}'),
            (Token::Open, false) => begins_value || first == b']',
            (Token::Comma, true) => first == b'"',
            (Token::Comma, false) | (Token::Colon, _) => begins_value,
            (Token::Name, _) => first == b':',
            (Token::Value, true) => matches!(first, b',' | b'}'),
            (Token::Value, false) => matches!(first, b',' | b']'),
        }
    }

    fn take(&mut self, first: u8) {
        let is_name = self.is_object() && matches!(self.last, Token::Open | Token::Comma);
        self.last = match first {
            b'{' | b'[' => {
                self.open.push(first);
                Token::Open
            }
            b'}' | b']' => {
                self.open.pop();
                Token::Value
            }
            b',' => Token::Comma,
            b':' => Token::Colon,
            b'"' if is_name => Token::Name,
            _ => Token::Value,
        };
    }
}

/// The length of the first token; `None` for a string that does not end in this line, and for what
/// begins no token.
fn length(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'{' | b'}' | b'[' | b']' | b',' | b':' => Some(1),
        b'"' => {
            let mut is_escaped = false;
            let end = text[1..].iter().position(|byte| {
                let closes = *byte == b'"' && !is_escaped;
                is_escaped = *byte == b'\\' && !is_escaped;
                closes
            });
            end.map(|end| end + 2)
        }
        _ => {
            let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
            let length = text.iter().take_while(|byte| is_word(byte)).count();
            (length > 0).then_some(length)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn progress(text: &str) -> Progress {
        let mut shape = JsonShape::default();
        let mut progress = Progress::Open;
        for line in text.lines() {
            progress = shape.read(line.as_bytes());
            if progress != Progress::Open {
                break;
            }
        }
        progress
    }

    #[test]
    fn a_value_that_may_go_on_is_open() {
        for text in ["{", "[", "[{},", "{\"a\": [1,", "{\"a\":{\"}\":\"\\\"]\",\n", "{\"a\":\n-"] {
            assert_eq!(progress(text), Progress::Open, "{text}");
        }
    }

    #[test]
    fn what_cannot_go_on_is_broken() {
        for text in [
            "{\"a\":{\n{\"b\":1}",
            "{\"a\":1,\n{\"b\":1}",
            "{\"a\":[1,\n{\"b\":1}\n{\"c\":1}",
            "[Fri Nov 27] [error] no page, referer: http://a/[x,",
            "{\"a\":\"torn",
            "[1}",
            "word",
        ] {
            assert_eq!(progress(text), Progress::Broken, "{text}");
        }
        assert_eq!(progress(&"[".repeat(MAX_DEPTH + 1)), Progress::Broken);
    }

    #[test]
    fn what_follows_a_value_is_not_looked_at() {
        assert_eq!(progress("[error] ["), Progress::Closed);
        assert_eq!(progress("{\"a\":1},"), Progress::Closed);
    }

    proptest! {
        #[test]
        fn every_value_closes_at_its_end(texts in prop::collection::vec(any::<String>(), 0..4)) {
            let value = serde_json::json!({ "a": { "b": [texts, {}, [], -1.5e-3, null] } });
            let pretty = format!("{value:#}");
            prop_assert_eq!(progress(&pretty), Progress::Closed);
            let (torn, _) = pretty.rsplit_once('\n').unwrap_or_default();
            prop_assert_eq!(progress(torn), Progress::Open);
        }
    }
}
