//! Checks the texts that people give.

use crate::text::is_deceptive;

const LONGEST_NAME: usize = 64;
const LONGEST_COMMENT: usize = 4_000;

/// Checks the name of a person.
///
/// # Errors
/// A sentence that says which names are accepted.
pub fn person(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.contains(is_deceptive) {
        return Err(format!("a name has 1 to {LONGEST_NAME} visible characters, such as alice"));
    }
    Ok(name.to_owned())
}

/// Checks a comment.
///
/// # Errors
/// A sentence that says which comments are accepted.
pub fn comment(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > LONGEST_COMMENT {
        return Err(format!("a comment has 1 to {LONGEST_COMMENT} characters"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_visible() {
        assert_eq!(person(" alice ").as_deref(), Ok("alice"));
        for bad in ["", " ", "a\u{202e}b", "a\nb", &"x".repeat(65)] {
            let said = person(bad).err().unwrap_or_default();
            assert!(said.starts_with("a name has"), "{bad:?}: {said}");
        }
        assert!(comment(" \n").is_err() && comment(&"x".repeat(4_001)).is_err());
    }
}
