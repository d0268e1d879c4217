//! A value of a rule as a pattern: `*` is any text, `?` one character, `\` takes that from them.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Char(char),
    AnyText,
    AnyChar,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Piece>);

impl Pattern {
    /// A backslash before any other character is one.
    pub fn read(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            let piece = match char {
                '*' => Piece::AnyText,
                '?' => Piece::AnyChar,
                '\\' => Piece::Char(chars.next_if(|next| "*?\\".contains(*next)).unwrap_or('\\')),
                char => Piece::Char(char),
            };
            pieces.push(piece);
        }
        Self(pieces)
    }

    /// Matches more: texts with anything before this, or behind it.
    pub fn open(mut self, before: bool, behind: bool) -> Self {
        if before {
            self.0.insert(0, Piece::AnyText);
        }
        if behind {
            self.0.push(Piece::AnyText);
        }
        self
    }

    /// The text, if the pattern stands for one alone.
    pub fn plain(&self) -> Option<String> {
        let char = |piece: &Piece| match piece {
            Piece::Char(char) => Some(*char),
            Piece::AnyText | Piece::AnyChar => None,
        };
        self.0.iter().map(char).collect()
    }

    /// As `LIKE` reads it.
    pub fn like(&self) -> String {
        let mut like = String::new();
        for piece in &self.0 {
            match piece {
                Piece::AnyText => like.push('%'),
                Piece::AnyChar => like.push('_'),
                Piece::Char(char) => {
                    if matches!(char, '%' | '_' | '\\') {
                        like.push('\\');
                    }
                    like.push(*char);
                }
            }
        }
        like
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_becomes_a_pattern_of_like() {
        for (value, like) in [
            ("/v1/*", "/v1/%"),
            ("a?c", "a_c"),
            (r"100%_\x", r"100\%\_\\x"),
            (r"\*\?\\*", r"*?\\%"),
            (r"C:\Windows\", r"C:\\Windows\\"),
        ] {
            assert_eq!(Pattern::read(value).like(), like, "{value}");
        }
        assert_eq!(Pattern::read("a").open(true, true).like(), "%a%");
        assert_eq!(Pattern::read(r"\*x").plain().as_deref(), Some("*x"));
        assert_eq!(Pattern::read("*x").plain(), None);
    }
}
