//! Maps the records of other formats to the fields of an event. A mapping is data: TOML, compiled
//! at the start into one trie of paths, which one pass over the record walks.

mod compile;
mod line;
mod path;
#[cfg(test)]
mod tests;
mod text;
mod trie;
mod value;

use std::borrow::Cow;

use serde_json::value::RawValue;
use toml::Table;

pub use self::compile::MappingError;
use self::line::Shape;
use self::trie::{Found, Trie};
use self::value::{Origin, Piece, Source};
use super::raw_event::{Field, RawEvent};
use super::repair::{Repaired, repaired};
use super::scalar::Scalar;

/// Paths that a sentence names; a key may be in a dozen.
const SHOWN_PATHS: usize = 3;

/// A compiled mapping.
#[derive(Debug)]
pub(super) struct Mapping {
    shape: Shape,
    trie: Trie,
    /// Set when records hold arrays of requests.
    around: Option<Around>,
    skips: Vec<Skip>,
    rules: Vec<Rule>,
    /// The path of each slot of `trie`, as it was written.
    paths: Vec<Box<str>>,
}

/// Reads what stands around an array of requests.
#[derive(Debug)]
struct Around {
    trie: Trie,
    /// Finds the text in an element that holds the request as JSON.
    inside: Option<Trie>,
    /// Slots of this trie, and the slots of an element that take their values.
    links: Vec<(usize, usize)>,
}

/// Records that are no requests of keys: one of the conditions is set, and decides.
#[derive(Debug)]
struct Skip {
    slot: usize,
    is: Option<Vec<Box<str>>>,
    is_not: Option<Vec<Box<str>>>,
    is_missing: bool,
}

/// A field with the places it may be taken from. The first that has a value counts.
#[derive(Debug)]
struct Rule {
    field: Field,
    sources: Vec<Source>,
}

/// The result of reading one part of a record.
#[derive(Debug)]
pub(super) enum Part<'e, 'a> {
    Request(&'e RawEvent<'a>),
    /// A skip rule applies. It is certain that the format is right if the rule asks for a value
    /// that is there.
    Skipped {
        is_certain: bool,
    },
    Unread(Unread),
}

/// Takes the parts of a record, each with its text.
pub(super) type Each<'e> = &'e mut dyn FnMut(&str, Part<'_, '_>);

/// A line that does not have the shape of the format.
#[derive(Debug)]
pub(super) enum Unread {
    Json(serde_json::Error),
    Shape(&'static str),
}

impl From<serde_json::Error> for Unread {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl Mapping {
    /// # Errors
    /// The first mistake, with its key.
    pub fn compile(table: &Table) -> Result<Self, MappingError> {
        compile::compile(table)
    }

    /// Whether records are JSON.
    pub fn is_json(&self) -> bool {
        self.shape == Shape::Json
    }

    /// Reads a record, which may hold an array of requests.
    pub fn read(&self, text: &str, is_lossy: bool, each: Each<'_>) -> Result<(), Unread> {
        if let Some(around) = &self.around {
            let mut outside = around.trie.empty();
            around.trie.read(text, &mut outside)?;
            if let Some(elements) = outside.elements.take() {
                let outside = Found { is_lossy, ..outside };
                self.read_elements(around, &outside, &elements, each);
                return Ok(());
            }
        }
        let mut found = self.trie.empty();
        if self.is_json() {
            self.trie.read(text, &mut found)?;
        } else if !self.shape.read_line(&self.trie, text, &mut found) {
            return Err(Unread::Shape(self.shape.words()));
        }
        found.is_lossy |= is_lossy;
        self.pass_on(text, &found, each);
        Ok(())
    }

    fn read_elements(
        &self,
        around: &Around,
        outside: &Found<'_>,
        elements: &[&RawValue],
        each: Each<'_>,
    ) {
        for element in elements {
            let inside = around.inside.as_ref().and_then(|trie| text_inside(trie, element.get()));
            let text = inside.as_deref().unwrap_or(element.get());
            let Err(error) = self.read_element(around, outside, text, each) else { continue };
            let Some(Repaired { text: better, is_lossy }) = repaired(text) else {
                each(text, Part::Unread(error.into()));
                continue;
            };
            let is_lossy = outside.is_lossy || is_lossy;
            let outside = Found { slots: outside.slots.clone(), is_lossy, ..Found::default() };
            if let Err(error) = self.read_element(around, &outside, &better, each) {
                each(&better, Part::Unread(error.into()));
            }
        }
    }

    fn read_element(
        &self,
        around: &Around,
        outside: &Found<'_>,
        text: &str,
        each: Each<'_>,
    ) -> Result<(), serde_json::Error> {
        let mut found = self.trie.empty();
        self.trie.read(text, &mut found)?;
        found.is_lossy = outside.is_lossy;
        for (outer, inner) in &around.links {
            found.slots[*inner] = outside.slots[*outer].clone().into_owned();
        }
        self.pass_on(text, &found, each);
        Ok(())
    }

    fn pass_on(&self, text: &str, found: &Found<'_>, each: Each<'_>) {
        if let Some(skip) = self.skips.iter().find(|skip| skip.applies_to(&found.slots)) {
            return each(text, Part::Skipped { is_certain: !skip.is_missing });
        }
        let mut event = RawEvent::default();
        self.fill(&mut event, found);
        each(text, Part::Request(&event));
    }

    fn fill<'a>(&self, event: &mut RawEvent<'a>, found: &Found<'a>) {
        for rule in &self.rules {
            let taken = rule.sources.iter().find_map(|source| {
                source.take(&found.slots).filter(|value| rule.accepts(value)).map(|it| (source, it))
            });
            let Some((source, value)) = taken else { continue };
            let field = match rule.field {
                Field::KeyId if source.is_secret => Field::ApiKey,
                field => field,
            };
            *event.slot(field) = value;
        }
        let is_used = |slot: usize| self.rules.iter().find(|rule| rule.uses(slot));
        event.duplicate = found.duplicate.and_then(is_used).map(|rule| rule.field);
        event.is_lossy = found.is_lossy;
    }

    /// The name of a field in the log: the paths that lead to it.
    pub fn name(&self, field: Field) -> Option<String> {
        let rule = self.rules.iter().find(|rule| rule.field == field)?;
        let mut paths: Vec<String> = Vec::new();
        for slot in rule.slots() {
            let path = format!("`{}`", self.paths[slot]);
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        if paths.len() > SHOWN_PATHS {
            let more = paths.len() - SHOWN_PATHS;
            paths.truncate(SHOWN_PATHS);
            paths.push(format!("{more} others"));
        }
        (!paths.is_empty()).then(|| paths.join(" or "))
    }

    /// The field that a name on the first level of a record leads to, if the value may be shown
    /// like this field's. A name that may lead to a secret leads to none.
    pub fn shown_field(&self, name: &str) -> Option<&'static str> {
        let slot = self.paths.iter().position(|path| **path == *name)?;
        let mut users = self.rules.iter().filter(|rule| rule.uses(slot));
        let field = users.next()?.field;
        let hides = |rule: &Rule| {
            matches!(rule.field, Field::ApiKey | Field::Nonce | Field::Signature)
                || rule.sources.iter().any(|source| source.is_secret)
        };
        let is_hidden = self.rules.iter().any(|rule| rule.uses(slot) && hides(rule));
        (!is_hidden && users.next().is_none()).then(|| field.name())
    }
}

/// The JSON that stands as text at the only path of `trie`.
fn text_inside<'a>(trie: &Trie, element: &'a str) -> Option<Cow<'a, str>> {
    let mut found = trie.empty();
    trie.read(element, &mut found).ok()?;
    match found.slots.into_iter().next() {
        Some(Scalar::Text(text)) if text.trim_start().starts_with('{') => Some(text),
        _ => None,
    }
}

impl Skip {
    fn applies_to(&self, slots: &[Scalar<'_>]) -> bool {
        let value = &slots[self.slot];
        if value.is_absent() {
            return self.is_missing;
        }
        let text = value::shown(value);
        let matches = |patterns: &[Box<str>]| patterns.iter().any(|it| text::matches(it, &text));
        self.is.as_deref().is_some_and(matches)
            || self.is_not.as_deref().is_some_and(|patterns| !matches(patterns))
    }
}

impl Rule {
    /// Whether a value ends the search. The empty string means something as a path only.
    fn accepts(&self, value: &Scalar<'_>) -> bool {
        !value.is_absent() || self.field == Field::Path
    }

    fn uses(&self, slot: usize) -> bool {
        self.slots().any(|used| used == slot)
    }

    fn slots(&self) -> impl Iterator<Item = usize> {
        self.sources.iter().flat_map(|source| match &source.origin {
            Origin::Slot(slot) => vec![*slot],
            Origin::Constant(_) => Vec::new(),
            Origin::Template(pieces) => {
                let slots = pieces.iter().filter_map(|piece| match piece {
                    Piece::Slot(slot) => Some(*slot),
                    Piece::Text(_) => None,
                });
                slots.collect()
            }
        })
    }
}
