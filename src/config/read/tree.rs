//! Represents the configuration as written: values with their places, from the file and the
//! environment.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::error::Problem;

/// Environment variables `KEYWATCH__SECTION__KEY` override keys of the file.
const PREFIX: &str = "KEYWATCH__";

/// `keywatch.toml:12`, or the name of an environment variable.
pub(in crate::config) type Place = Arc<str>;

pub(in crate::config) type Table = BTreeMap<String, Node>;

#[derive(Debug)]
pub(in crate::config) struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Debug)]
pub(in crate::config) enum Value {
    Table(Table),
    Array(Vec<Node>),
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A value from the environment. The key that it belongs to decides how it is read.
    Untyped(String),
    /// A TOML type that no key accepts, such as a date; the name of the type.
    Unusable(&'static str),
}

/// Reads TOML text; `file` names it in places.
pub(in crate::config) fn parse(text: &str, file: &str) -> Result<Table, Vec<Problem>> {
    let place = |offset: usize| -> Place {
        let line = text[..offset.min(text.len())].matches('\n').count() + 1;
        format!("{file}:{line}").into()
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(table(document.get_ref(), &place));
    }
    // The library's own message quotes the line, which may hold a secret.
    let problem = |error: &toml::de::Error| {
        let place = place(error.span().map_or(0, |span| span.start));
        Problem::new(place, format!("not TOML: {}", error.message()))
    };
    Err(errors.iter().map(problem).collect())
}

/// Reads the text of one environment variable as a TOML value: for arrays and tables.
pub(in crate::config) fn parse_value(text: &str, place: &Place) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    Some(node(&value, &|_| place.clone()))
}

fn table(table: &DeTable<'_>, place: &dyn Fn(usize) -> Place) -> Table {
    table
        .iter()
        .map(|(name, value)| {
            let mut node = node(value, place);
            // A section's place is its header, not its contents.
            node.place = place(name.span().start);
            (name.get_ref().to_string(), node)
        })
        .collect()
}

fn node(value: &Spanned<DeValue<'_>>, place: &dyn Fn(usize) -> Place) -> Node {
    let converted = match value.get_ref() {
        DeValue::Table(entries) => Value::Table(table(entries, place)),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| node(item, place)).collect()),
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or(Value::Unusable("an integer beyond 64 bits"), Value::Integer),
        DeValue::Float(float) => {
            float.as_str().parse().map_or(Value::Unusable("an unreadable number"), Value::Float)
        }
        DeValue::Datetime(_) => Value::Unusable("a date"),
    };
    Node { place: place(value.span().start), value: converted }
}

/// Overrides the table with the variables of `environment` that begin with `KEYWATCH__`.
pub(in crate::config) fn apply_environment(
    table: &mut Table,
    environment: impl Iterator<Item = (String, String)>,
) -> Vec<Problem> {
    let overrides: BTreeMap<String, String> =
        environment.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    let problems = overrides.into_iter().filter_map(|(name, text)| {
        let place: Place = name.as_str().into();
        let path = name[PREFIX.len()..].to_lowercase();
        let path: Vec<&str> = path.split("__").collect();
        let message =
            match set(table, &path, Node { place: place.clone(), value: Value::Untyped(text) }) {
                Ok(()) => return None,
                Err(message) => message,
            };
        Some(Problem::new(place, message))
    });
    problems.collect()
}

fn set(table: &mut Table, path: &[&str], node: Node) -> Result<(), String> {
    let (name, rest) = match path {
        [] | [""] | ["", ..] => return Err(format!("name it {PREFIX}SECTION__KEY")),
        [name, rest @ ..] => (*name, rest),
    };
    if rest.is_empty() {
        table.insert(name.into(), node);
        return Ok(());
    }
    let section = table
        .entry(name.into())
        .or_insert_with(|| Node { place: node.place.clone(), value: Value::Table(Table::new()) });
    match &mut section.value {
        Value::Table(section) => set(section, rest, node),
        _ => Err(format!("`{name}` is not a section")),
    }
}
