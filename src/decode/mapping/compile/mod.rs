//! Compiles a mapping from TOML. Mistakes are found here, at the start, and name their key.

mod source;
mod values;

use jiff::tz::Offset;
use toml::{Table, Value};

use self::values::{boolean, closest, list, path, text, texts, zone};
use super::line::Shape;
use super::trie::{Form, Trie};
use super::{Around, Mapping, Rule, Skip};
use crate::decode::raw_event::Field;

/// A mapping that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {message}")]
pub struct MappingError {
    /// The key of the mapping, such as `time.unit`.
    pub key: String,
    pub message: String,
}

type Result<T> = std::result::Result<T, MappingError>;

fn wrong<T>(key: &str, message: impl Into<String>) -> Result<T> {
    Err(MappingError { key: key.to_owned(), message: message.into() })
}

const SETTINGS: [&str; 11] = [
    "about",
    "extends",
    "shape",
    "explode",
    "inside",
    "json_in_text",
    "absent",
    "ignore_case",
    "zone",
    "skip",
    "to_log",
];
/// Fields that an event cannot be without. Either of the last two will do.
const REQUIRED: [Field; 5] =
    [Field::Time, Field::ClientIp, Field::Method, Field::Path, Field::Status];

pub(super) fn compile(table: &Table) -> Result<Mapping> {
    let ignore_case = boolean(table, "ignore_case")?;
    let mut compiler = Compiler {
        trie: Trie::new(ignore_case),
        outer: Trie::new(ignore_case),
        links: Vec::new(),
        absent: match table.get("absent") {
            Some(value) => texts("absent", value)?,
            None => vec!["-".into()],
        },
        zone: table.get("zone").map(|value| zone("zone", value)).transpose()?,
        paths: Vec::new(),
    };
    let shape = match table.get("shape") {
        Some(value) => {
            let name = text("shape", value)?;
            match Shape::named(name) {
                Some(shape) => shape,
                None => return wrong("shape", "use `json`, `logfmt` or `combined`"),
            }
        }
        None => Shape::Json,
    };
    let explode = table.get("explode").map(|value| path("explode", value)).transpose()?;
    if let Some(path) = &explode {
        compiler.outer.explode(path);
    }
    for value in table
        .get("json_in_text")
        .map(|it| list("json_in_text", it))
        .transpose()?
        .unwrap_or_default()
    {
        compiler.trie.read_text_as_json(&path("json_in_text", value)?);
    }
    let inside = match (table.get("inside"), &explode) {
        (Some(value), Some(_)) => {
            let mut trie = Trie::new(ignore_case);
            trie.slot(&path("inside", value)?, Form::Plain);
            Some(trie)
        }
        (Some(_), None) => return wrong("inside", "only elements of `explode` hold text"),
        (None, _) => None,
    };
    let mut skips = Vec::new();
    for value in table.get("skip").map(|it| list("skip", it)).transpose()?.unwrap_or_default() {
        skips.push(compiler.skip(value)?);
    }
    let mut rules = Vec::new();
    for (name, value) in table.iter().filter(|(name, _)| !SETTINGS.contains(&name.as_str())) {
        rules.push(compiler.rule(name, value)?);
    }
    let has = |field: Field| rules.iter().any(|rule: &Rule| rule.field == field);
    if let Some(missing) = REQUIRED.into_iter().find(|field| !has(*field)) {
        return wrong(missing.name(), "the mapping lacks this field, which every event needs");
    }
    if !has(Field::KeyId) && !has(Field::ApiKey) {
        return wrong(
            "key_id",
            "the mapping lacks it and `api_key`; every event needs one of them",
        );
    }
    let Compiler { trie, outer, links, paths, .. } = compiler;
    let around = explode.map(|_| Around { trie: outer, inside, links });
    Ok(Mapping { shape, trie, around, skips, rules, paths })
}

struct Compiler {
    trie: Trie,
    /// Reads the record around an exploded array.
    outer: Trie,
    /// Slots of the outer record with the slots of an element that take their values.
    links: Vec<(usize, usize)>,
    absent: Vec<Box<str>>,
    zone: Option<Offset>,
    /// The path of each slot, as it was written.
    paths: Vec<Box<str>>,
}

impl Compiler {
    fn rule(&mut self, name: &str, value: &Value) -> Result<Rule> {
        let Some(field) = Field::named(name).filter(|field| *field != Field::HasSecret) else {
            return wrong(name, unknown_field(name));
        };
        let sources = match value {
            Value::Array(items) => {
                let sources = items.iter().map(|item| self.source(field, item));
                sources.collect::<Result<Vec<_>>>()?
            }
            value => vec![self.source(field, value)?],
        };
        if sources.is_empty() {
            return wrong(name, "the list of paths is empty");
        }
        Ok(Rule { field, sources })
    }

    fn slot(&mut self, key: &str, value: &Value, form: Form) -> Result<usize> {
        let path = path(key, value)?;
        let slot = if path.is_of_parent {
            let slot = self.trie.reserve();
            self.links.push((self.outer.slot(&path, form), slot));
            slot
        } else {
            self.trie.slot(&path, form)
        };
        if slot == self.paths.len() {
            self.paths.push(value.as_str().unwrap_or_default().into());
        }
        Ok(slot)
    }

    fn skip(&mut self, value: &Value) -> Result<Skip> {
        let patterns = |key: &str| value.get(key).map(|it| texts("skip", it)).transpose();
        let (is, is_not) = (patterns("is")?, patterns("is_not")?);
        let is_missing = value.get("missing").and_then(Value::as_bool).unwrap_or_default();
        let conditions = [is.is_some(), is_not.is_some(), is_missing];
        let known = |key: &String| ["path", "is", "is_not", "missing"].contains(&key.as_str());
        let is_known = value.as_table().is_some_and(|table| table.keys().all(known));
        match value.get("path") {
            Some(path) if is_known && conditions.into_iter().filter(|it| *it).count() == 1 => {
                Ok(Skip { slot: self.slot("skip", path, Form::Plain)?, is, is_not, is_missing })
            }
            _ => wrong(
                "skip",
                "expected `{ path = \"...\", is = [\"pattern\"] }`, or instead of `is` one of \
                 `is_not` and `missing = true`",
            ),
        }
    }
}

fn unknown_field(name: &str) -> String {
    let known = Field::ALL.iter().map(|field| field.name()).chain(SETTINGS);
    format!("neither a field of an event nor a setting of a mapping; {}", closest(name, known))
}
