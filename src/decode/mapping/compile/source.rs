//! Compiles where a field's value comes from, and how it is read.

use toml::{Table, Value};

use super::values::{boolean, closest, micros, scalar, text, texts, zone};
use super::{Compiler, Result, wrong};
use crate::decode::mapping::trie::Form;
use crate::decode::mapping::value::{Map, Origin, Part, Piece, Reading, Source, TimeRule};
use crate::decode::raw_event::Field;

const SOURCE_KEYS: [&str; 15] = [
    "path", "template", "constant", "absent", "only", "except", "strip", "part", "query", "map",
    "default", "unit", "strptime", "zone", "minus",
];

/// Fields whose values are measured in milliseconds.
const DURATIONS: [Field; 2] = [Field::LatencyMs, Field::ValidityMs];
const TIMES: [Field; 2] = [Field::Time, Field::ClientTime];
impl Compiler {
    pub(super) fn source(&mut self, field: Field, value: &Value) -> Result<Source> {
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
