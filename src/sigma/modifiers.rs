//! The words behind a field: `path|contains|all`.

use super::error::Problem;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    /// Equal to a pattern, with anything before it or behind it.
    Like {
        before: bool,
        behind: bool,
    },
    Cidr,
    Regex {
        flags: Flags,
    },
    Exists,
    /// `<`, `<=`, `>`, `>=`.
    Compare(&'static str),
}

/// The modifiers of `re`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub ignore_case: bool,
    pub multi_line: bool,
    pub dot_all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Modifiers {
    pub operator: Operator,
    /// All values must match, and not any.
    pub is_all: bool,
    pub is_cased: bool,
}

const EQUAL: Operator = Operator::Like { before: false, behind: false };

/// Reads the modifiers of `name|one|another`.
pub(super) fn parse(whole: &str) -> Result<(&str, Modifiers), Problem> {
    let mut words = whole.split('|');
    let name = words.next().unwrap_or_default();
    let mut found = Modifiers { operator: EQUAL, is_all: false, is_cased: false };
    for word in words {
        found.add(word).map_err(|unknown| match unknown {
            true => Problem::UnknownModifier(word.to_owned()),
            false => Problem::Modifiers(whole.to_owned()),
        })?;
    }
    let is_text = matches!(found.operator, Operator::Like { .. });
    let is_possible = is_text || !found.is_cased;
    if is_possible { Ok((name, found)) } else { Err(Problem::Modifiers(whole.to_owned())) }
}

impl Modifiers {
    /// Fails with whether the word is unknown; else it does not go with those before it.
    fn add(&mut self, word: &str) -> Result<(), bool> {
        match word {
            "all" if !self.is_all => self.is_all = true,
            "cased" if !self.is_cased => self.is_cased = true,
            "all" | "cased" => return Err(false),
            "i" | "m" | "s" => return self.add_flag(word),
            _ if self.operator != EQUAL => return Err(operator(word).is_none()),
            _ => self.operator = operator(word).ok_or(true)?,
        }
        Ok(())
    }

    fn add_flag(&mut self, word: &str) -> Result<(), bool> {
        let Operator::Regex { flags } = &mut self.operator else { return Err(false) };
        match word {
            "i" => flags.ignore_case = true,
            "m" => flags.multi_line = true,
            _ => flags.dot_all = true,
        }
        Ok(())
    }
}

fn operator(word: &str) -> Option<Operator> {
    Some(match word {
        "contains" => Operator::Like { before: true, behind: true },
        "startswith" => Operator::Like { before: false, behind: true },
        "endswith" => Operator::Like { before: true, behind: false },
        "cidr" => Operator::Cidr,
        "re" => Operator::Regex { flags: Flags::default() },
        "exists" => Operator::Exists,
        "lt" => Operator::Compare("<"),
        "lte" => Operator::Compare("<="),
        "gt" => Operator::Compare(">"),
        "gte" => Operator::Compare(">="),
        _ => return None,
    })
}
