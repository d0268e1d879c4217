//! The condition of a rule: selections joined by `and`, `or`, `not`, `1 of` and `all of`.

use super::error::Problem;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Selection(String),
    /// Never empty.
    Any(Vec<Self>),
    All(Vec<Self>),
    Not(Box<Self>),
}

const MOST_WORDS: usize = 500;
const MOST_LEVELS: usize = 50;

/// Reads a condition over selections with these names.
pub(super) fn parse(text: &str, names: &[&str]) -> Result<Condition, Problem> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    if words.len() > MOST_WORDS {
        return Err(Problem::LongCondition(MOST_WORDS));
    }
    if let Some(word) = words.iter().find(|word| word.contains('|') || is("near", word)) {
        return Err(Problem::Correlation((*word).to_owned()));
    }
    let mut parser = Parser { words: &words, names, levels: 0 };
    let condition = parser.any()?;
    parser.words.first().map_or(Ok(condition), |word| Err(Problem::Condition((*word).to_owned())))
}

struct Parser<'a> {
    words: &'a [&'a str],
    names: &'a [&'a str],
    levels: usize,
}

fn is(keyword: &str, word: &str) -> bool {
    word.eq_ignore_ascii_case(keyword)
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    /// Takes the next word if it is this one.
    fn take(&mut self, keyword: &str) -> bool {
        let is_next = self.words.first().is_some_and(|word| is(keyword, word));
        if is_next {
            self.words = &self.words[1..];
        }
        is_next
    }

    fn any(&mut self) -> Result<Condition, Problem> {
        let mut parts = vec![self.all()?];
        while self.take("or") {
            parts.push(self.all()?);
        }
        Ok(joined(parts, Condition::Any))
    }

    fn all(&mut self) -> Result<Condition, Problem> {
        let mut parts = vec![self.one()?];
        while self.take("and") {
            parts.push(self.one()?);
        }
        Ok(joined(parts, Condition::All))
    }

    fn one(&mut self) -> Result<Condition, Problem> {
        self.levels += 1;
        if self.levels > MOST_LEVELS {
            return Err(Problem::LongCondition(MOST_LEVELS));
        }
        let condition = self.operand();
        self.levels -= 1;
        condition
    }

    fn operand(&mut self) -> Result<Condition, Problem> {
        if self.take("not") {
            return Ok(Condition::Not(Box::new(self.one()?)));
        }
        if self.take("(") {
            let inner = self.any()?;
            return self.take(")").then_some(inner).ok_or(self.unexpected());
        }
        let word = self.next().ok_or(self.unexpected())?;
        match word {
            _ if !self.words.first().is_some_and(|next| is("of", next)) => self.selection(word),
            _ if word == "1" || is("any", word) => Ok(joined(self.several()?, Condition::Any)),
            _ if is("all", word) => Ok(joined(self.several()?, Condition::All)),
            _ => Err(Problem::Condition(format!("{word} of"))),
        }
    }

    fn selection(&self, word: &str) -> Result<Condition, Problem> {
        if [")", "and", "or", "of"].iter().any(|keyword| is(keyword, word)) {
            return Err(Problem::Condition(word.to_owned()));
        }
        let known = self.names.contains(&word);
        known
            .then(|| Condition::Selection(word.to_owned()))
            .ok_or_else(|| Problem::UnknownSelection(word.to_owned()))
    }

    /// The selections after `1` or `all`: `of them`, or `of` a name that may have stars.
    fn several(&mut self) -> Result<Vec<Condition>, Problem> {
        self.take("of");
        let pattern = self.next().ok_or(self.unexpected())?;
        let is_meant = |name: &&&str| match is("them", pattern) {
            true => !name.starts_with('_'),
            false => matches(pattern, name),
        };
        let found: Vec<_> = self.names.iter().filter(is_meant).collect();
        if found.is_empty() {
            return Err(Problem::UnknownSelection(pattern.to_owned()));
        }
        Ok(found.into_iter().map(|name| Condition::Selection((*name).to_owned())).collect())
    }

    fn unexpected(&self) -> Problem {
        Problem::Condition(self.words.first().map_or("its end", |word| word).to_owned())
    }
}

fn joined(mut parts: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    if parts.len() == 1 { parts.remove(0) } else { join(parts) }
}

/// Whether the name is of this pattern, in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = rest.split('*').collect();
    let Some((last, middle)) = parts.split_last() else { return true };
    for part in middle {
        let Some(found) = name.find(part) else { return false };
        name = &name[found + part.len()..];
    }
    name.ends_with(last)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["selection_a", "selection_b", "filter", "_hidden"];

    fn read(text: &str) -> Result<String, Problem> {
        parse(text, &NAMES).map(|condition| shown(&condition))
    }

    fn shown(condition: &Condition) -> String {
        let all = |parts: &[Condition]| parts.iter().map(shown).collect::<Vec<_>>().join(" ");
        match condition {
            Condition::Selection(name) => name.clone(),
            Condition::Any(parts) => format!("(or {})", all(parts)),
            Condition::All(parts) => format!("(and {})", all(parts)),
            Condition::Not(part) => format!("(not {})", shown(part)),
        }
    }

    #[test]
    fn not_binds_closer_than_and_and_closer_than_or() {
        for (text, meaning) in [
            ("filter", "filter"),
            (
                "filter or selection_a and not selection_b",
                "(or filter (and selection_a (not selection_b)))",
            ),
            (
                "(filter OR selection_a)AND NOT(selection_b)",
                "(and (or filter selection_a) (not selection_b))",
            ),
            ("not not filter", "(not (not filter))"),
            ("1 of selection_*", "(or selection_a selection_b)"),
            ("all of sel*_*", "(and selection_a selection_b)"),
            ("any of *ter and 1 of filter", "(and filter filter)"),
            ("1 of them", "(or selection_a selection_b filter)"),
            ("all of _*", "_hidden"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(meaning), "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_an_error() {
        for text in
            ["", "and", "filter filter", "(filter", "filter)", "not", "1 of", "2 of them", "of"]
        {
            assert!(matches!(read(text), Err(Problem::Condition(_))), "{text}: {:?}", read(text));
        }
        for text in ["nothing", "1 of nothing*", "filter and Filter"] {
            assert!(matches!(read(text), Err(Problem::UnknownSelection(_))), "{text}");
        }
        for text in ["filter | count() > 5", "filter|count(x)", "filter near selection_a"] {
            assert!(matches!(read(text), Err(Problem::Correlation(_))), "{text}");
        }
        let deep = "(".repeat(200) + "filter" + &")".repeat(200);
        let long = "filter or ".repeat(600) + "filter";
        for text in [deep, long, "not ".repeat(400) + "filter"] {
            assert!(matches!(read(&text), Err(Problem::LongCondition(_))), "{text}");
        }
    }
}
