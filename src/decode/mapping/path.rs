//! Reads the paths of a mapping: `request.headers."x-api-key"`, `tags[0].id`, `^.account`.

/// Where a value is in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// The path begins at the record that holds the array, and not at the array's element.
    pub is_of_parent: bool,
    pub segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub name: String,
    /// The value may be a list, of which the first element counts.
    pub is_first_of_list: bool,
}

impl Path {
    /// # Errors
    /// A sentence that says what is wrong with the path.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (is_of_parent, mut rest) = match text.strip_prefix("^.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut segments = Vec::new();
        loop {
            let (name, after) = name(rest).map_err(|wrong| format!("the path `{text}` {wrong}"))?;
            let (is_first_of_list, after) = match after.strip_prefix("[0]") {
                Some(after) => (true, after),
                None => (false, after),
            };
            segments.push(Segment { name, is_first_of_list });
            if after.is_empty() {
                return Ok(Self { is_of_parent, segments });
            }
            let Some(next) = after.strip_prefix('.') else {
                return Err(format!("the path `{text}` has `{after}` where a `.` belongs"));
            };
            rest = next;
        }
    }
}

/// Splits the first name off, which stands in quotes if it holds a `.`, a `[` or a quote.
fn name(text: &str) -> Result<(String, &str), &'static str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(['.', '[', '"']).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        return match name {
            "" => Err("has an empty name; write `\"\"` for one"),
            _ => Ok((name.to_owned(), rest)),
        };
    };
    let mut name = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Ok((name, &quoted[at + 1..])),
            '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => name.push(c),
        }
    }
    Err("has a quote that is not closed")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let path = Path::parse(text).unwrap();
        let mark = |segment: &Segment| if segment.is_first_of_list { "[0]" } else { "" };
        path.segments.iter().map(|it| format!("{}{}", it.name, mark(it))).collect()
    }

    #[test]
    fn names_are_separated_by_dots_and_quoted_where_they_hold_one() {
        assert_eq!(names("a.b_c.X-Api-Key"), ["a", "b_c", "X-Api-Key"]);
        assert_eq!(names(r#"a."b.c"."say \"x\"""#), ["a", "b.c", "say \"x\""]);
        assert_eq!(names(r#"a[0]."b"[0]"#), ["a[0]", "b[0]"]);
        assert!(Path::parse("^.owner").unwrap().is_of_parent);
        assert!(!Path::parse("owner").unwrap().is_of_parent);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_path() {
        for (path, words) in [
            ("", "empty name"),
            ("a..b", "empty name"),
            ("a.", "empty name"),
            (r#"a."b"#, "not closed"),
            ("a[1]", "`[1]`"),
            (r#""a"b"#, "`b`"),
        ] {
            let error = Path::parse(path).unwrap_err();
            assert!(error.contains(words) && error.contains(&format!("`{path}`")), "{error}");
        }
    }
}
