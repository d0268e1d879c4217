//! Compiles a mapping from TOML. Mistakes are found here, at the start, and name their key.

use jiff::tz::Offset;
use strsim::normalized_damerau_levenshtein;
use toml::{Table, Value};

use super::line::Shape;
use super::path::Path;
use super::trie::{Form, Trie};
use super::value::{Map, Origin, Part, Piece, Reading, Source, TimeRule};
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
const SOURCE_KEYS: [&str; 15] = [
    "path", "template", "constant", "absent", "only", "except", "strip", "part", "query", "map",
    "default", "unit", "strptime", "zone", "minus",
];

/// Fields whose values are measured in milliseconds.
const DURATIONS: [Field; 2] = [Field::LatencyMs, Field::ValidityMs];
const TIMES: [Field; 2] = [Field::Time, Field::ClientTime];
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

    fn source(&mut self, field: Field, value: &Value) -> Result<Source> {
        let name = field.name();
        let empty = Table::new();
        let table = match value {
            Value::Table(table) => table,
            _ => &empty,
        };
        if let Some(key) =
            table.keys().find(|key| !SOURCE_KEYS.contains(&key.as_str()) && *key != "secret")
        {
            let hint = closest(key, SOURCE_KEYS.into_iter().chain(["secret"]));
            return wrong(&format!("{name}.{key}"), format!("this key is unknown; {hint}"));
        }
        let key = |key: &str| format!("{name}.{key}");
        let list_at = |at: &str| match table.get(at) {
            Some(value) => texts(&key(at), value),
            None => Ok(Vec::new()),
        };
        let form = match field {
            Field::Nonce => Form::Exact,
            Field::ForwardedFor => Form::Joined,
            _ => Form::Plain,
        };
        let origin = match (value, table.get("path"), table.get("template"), table.get("constant"))
        {
            (Value::String(_), None, None, None) => Origin::Slot(self.slot(name, value, form)?),
            (_, Some(path), None, None) => Origin::Slot(self.slot(&key("path"), path, form)?),
            (_, None, Some(template), None) => self.template(&key("template"), template)?,
            (_, None, None, Some(constant)) => {
                Origin::Constant(scalar(&key("constant"), constant)?)
            }
            _ => {
                return wrong(
                    name,
                    "expected a path, a list, or a table with one of `path`, `template` and `constant`",
                );
            }
        };
        // A gateway that had nothing to answer logs `-`, which is a status and not a missing field.
        let absent = if field == Field::Status { Vec::new() } else { self.absent.clone() };
        Ok(Source {
            origin,
            absent: absent.into_iter().chain(list_at("absent")?).collect(),
            only: list_at("only")?,
            except: list_at("except")?,
            strip: table
                .get("strip")
                .map(|value| text(&key("strip"), value))
                .transpose()?
                .map(Into::into),
            part: part(name, table)?,
            map: map(name, table)?,
            reading: self.reading(field, table)?,
            is_secret: boolean(table, "secret")?,
        })
    }

    fn reading(&mut self, field: Field, table: &Table) -> Result<Reading> {
        let key = |key: &str| format!("{}.{key}", field.name());
        let given = |name: &str| table.contains_key(name);
        if TIMES.contains(&field) {
            let own = table.get("zone").map(|value| zone(&key("zone"), value)).transpose()?;
            return Ok(Reading::Time(TimeRule {
                unit: table.get("unit").map(|value| micros(&key("unit"), value)).transpose()?,
                strptime: table
                    .get("strptime")
                    .map(|value| text(&key("strptime"), value))
                    .transpose()?
                    .map(Into::into),
                zone: own.or(self.zone),
                minus: table
                    .get("minus")
                    .map(|value| self.duration(&key("minus"), value))
                    .transpose()?,
            }));
        }
        if let Some(name) = ["strptime", "zone", "minus"].into_iter().find(|name| given(name)) {
            return wrong(&key(name), "only `time` and `client_time` are times");
        }
        match table.get("unit") {
            None => Ok(Reading::AsIs),
            Some(unit) if DURATIONS.contains(&field) => {
                Ok(Reading::Milliseconds(micros(&key("unit"), unit)? / 1e3))
            }
            Some(_) => wrong(&key("unit"), "this field is not measured in time"),
        }
    }

    /// `{ path = "...", unit = "s" }`: the slot, and the microseconds in the unit.
    fn duration(&mut self, key: &str, value: &Value) -> Result<(usize, f64)> {
        let (Some(path), Some(unit)) = (value.get("path"), value.get("unit")) else {
            return wrong(key, "expected `{ path = \"...\", unit = \"s\" }`");
        };
        Ok((self.slot(key, path, Form::Plain)?, micros(key, unit)?))
    }

    fn template(&mut self, key: &str, value: &Value) -> Result<Origin> {
        let mut rest = text(key, value)?;
        let mut pieces = Vec::new();
        while let Some((before, after)) = rest.split_once("${") {
            let Some((inside, after)) = after.split_once('}') else {
                return wrong(key, "a `${` is not closed by `}`");
            };
            pieces.push(Piece::Text(before.into()));
            pieces.push(Piece::Slot(self.slot(
                key,
                &Value::String(inside.to_owned()),
                Form::Plain,
            )?));
            rest = after;
        }
        pieces.push(Piece::Text(rest.into()));
        Ok(Origin::Template(pieces))
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

fn closest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> String {
    let similarity = |known: &&str| normalized_damerau_levenshtein(name, known);
    match known.max_by(|a, b| similarity(a).total_cmp(&similarity(b))) {
        Some(closest) => format!("did you mean `{closest}`?"),
        None => String::new(),
    }
}

fn part(name: &str, table: &Table) -> Result<Option<Part>> {
    let query =
        table.get("query").map(|value| text(&format!("{name}.query"), value)).transpose()?;
    let key = format!("{name}.part");
    let part = match table.get("part").map(|value| text(&key, value)).transpose()? {
        None => None,
        Some("path") => Some(Part::Path),
        Some("method") => Some(Part::Method),
        Some("target") => Some(Part::Target),
        Some(_) => return wrong(&key, "use `path`, or of a request line `method` or `target`"),
    };
    match (part, query) {
        (Some(_), Some(_)) => wrong(&key, "`part` and `query` exclude each other"),
        (part, None) => Ok(part),
        (None, Some(query)) => Ok(Some(Part::Query(query.into()))),
    }
}

fn map(name: &str, table: &Table) -> Result<Option<Map>> {
    let key = format!("{name}.map");
    let default =
        table.get("default").map(|value| scalar(&format!("{name}.default"), value)).transpose()?;
    let mut entries: Vec<(Box<str>, Box<str>)> = match table.get("map") {
        None if default.is_none() => return Ok(None),
        None => Vec::new(),
        Some(Value::Table(map)) => {
            let entries =
                map.iter().map(|(pattern, new)| Ok((pattern.as_str().into(), scalar(&key, new)?)));
            entries.collect::<Result<_>>()?
        }
        Some(_) => return wrong(&key, "expected a table such as `{ \"Throttl*\" = 429 }`"),
    };
    entries.sort_by_key(|(pattern, _)| (pattern.contains('*'), usize::MAX - pattern.len()));
    Ok(Some(Map { entries, default }))
}

fn path(key: &str, value: &Value) -> Result<Path> {
    Path::parse(text(key, value)?).or_else(|message| wrong(key, message))
}

/// The number of microseconds in a unit.
fn micros(key: &str, value: &Value) -> Result<f64> {
    match value.as_str() {
        Some("s") => Ok(1e6),
        Some("ms") => Ok(1e3),
        Some("us") => Ok(1.0),
        Some("ns") => Ok(1e-3),
        _ => wrong(key, "expected a unit: `s`, `ms`, `us` or `ns`"),
    }
}

/// `UTC`, `+02:00` or `-0500`.
pub(super) fn zone(key: &str, value: &Value) -> Result<Offset> {
    let text = text(key, value)?;
    if text == "UTC" || text == "Z" {
        return Ok(Offset::UTC);
    }
    match jiff::fmt::strtime::parse("%:z", text).or_else(|_| jiff::fmt::strtime::parse("%z", text))
    {
        Ok(parsed) if let Some(offset) = parsed.offset() => Ok(offset),
        _ => wrong(key, "expected `UTC` or an offset such as `+02:00`"),
    }
}

fn boolean(table: &Table, key: &str) -> Result<bool> {
    match table.get(key) {
        None => Ok(false),
        Some(Value::Boolean(boolean)) => Ok(*boolean),
        Some(_) => wrong(key, "expected true or false"),
    }
}

fn text<'v>(key: &str, value: &'v Value) -> Result<&'v str> {
    match value {
        Value::String(text) => Ok(text),
        other => wrong(key, format!("expected a string, found {}", other.type_str())),
    }
}

/// A text, number or boolean as text.
fn scalar(key: &str, value: &Value) -> Result<Box<str>> {
    match value {
        Value::String(text) => Ok(text.as_str().into()),
        Value::Integer(number) => Ok(number.to_string().into()),
        Value::Boolean(boolean) => Ok(boolean.to_string().into()),
        other => wrong(
            key,
            format!("expected a string, a whole number or a boolean, found {}", other.type_str()),
        ),
    }
}

fn list<'v>(key: &str, value: &'v Value) -> Result<Vec<&'v Value>> {
    match value {
        Value::Array(items) => Ok(items.iter().collect()),
        other => wrong(key, format!("expected a list, found {}", other.type_str())),
    }
}

fn texts(key: &str, value: &Value) -> Result<Vec<Box<str>>> {
    let items = match value {
        Value::String(_) => vec![value],
        value => list(key, value)?,
    };
    items.into_iter().map(|item| scalar(key, item)).collect()
}
