//! Deserializes the tree into the structs. Errors name the key, the expected type and the closest
//! known name, and never quote a value that may be a secret.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::tree::{self, Node, Place, Table, Value};
use crate::config::error::Problem;

/// Reads `T` from the tree; `root` is the place that errors name for keys that are missing
/// everywhere.
///
/// # Errors
/// All unknown keys, and the first value that does not fit.
pub(in crate::config) fn from_table<T: DeserializeOwned>(
    table: Table,
    root: &Place,
) -> Result<T, Vec<Problem>> {
    let unknown = RefCell::default();
    let node = Node { place: root.clone(), value: Value::Table(table) };
    let reader = Reader { node: &node, path: String::new(), unknown: &unknown };
    let outcome = T::deserialize(reader);
    let mut problems = unknown.into_inner();
    match outcome {
        Ok(value) if problems.is_empty() => return Ok(value),
        Ok(_) => {}
        Err(fault) => problems.push(fault.at(&node.place, "").into()),
    }
    Err(problems)
}

/// Reads one node. It notes unknown keys in `unknown` and skips them.
#[derive(Clone)]
struct Reader<'a> {
    node: &'a Node,
    path: String,
    unknown: &'a RefCell<Vec<Problem>>,
}

impl<'a> Reader<'a> {
    fn at(&self, node: &'a Node, name: &str) -> Self {
        let path = match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        Self { node, path, unknown: self.unknown }
    }

    fn entries(&self, table: &'a Table, known: Option<&[&str]>) -> Entries<'a> {
        let is_known = |name: &str| known.is_none_or(|known| known.contains(&name));
        for (name, node) in table.iter().filter(|(name, _)| !is_known(name)) {
            let path = self.at(node, name).path;
            let hint = hint(name, known.unwrap_or_default());
            let message = format!("unknown key `{path}`; {hint}");
            self.unknown.borrow_mut().push(Problem::new(node.place.clone(), message));
        }
        let entries = table.iter().filter(|(name, _)| is_known(name));
        Entries {
            reader: self.clone(),
            entries: entries.collect::<Vec<_>>().into_iter(),
            current: None,
        }
    }

    /// Reads an array or table that an environment variable spells in TOML.
    fn spelled<T>(
        &self,
        text: &str,
        example: &str,
        read: impl FnOnce(Reader<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        match tree::parse_value(text, &self.node.place) {
            Some(node @ Node { value: Value::Array(_) | Value::Table(_), .. }) => {
                read(Reader { node: &node, path: self.path.clone(), unknown: self.unknown })
            }
            _ => Err(Fault::custom(format!("expected TOML such as {example}"))),
        }
    }
}

/// "did you mean" the closest name, or else the list of all names.
pub(in crate::config) fn hint(name: &str, known: &[&str]) -> String {
    const SIMILAR: f64 = 0.6;
    let similarity = |known: &&str| strsim::normalized_damerau_levenshtein(name, known);
    let closest = known.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    match closest {
        Some(closest) if similarity(closest) >= SIMILAR => format!("did you mean `{closest}`?"),
        _ => format!("known here: {}", known.join(", ")),
    }
}

macro_rules! read_numbers {
    ($($method:ident $visit:ident $kind:literal),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match &self.node.value {
                Value::Untyped(text) => match text.trim().parse() {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => Err(Fault::custom(concat!("expected ", $kind))),
                },
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Table(table) => visitor.visit_map(self.entries(table, None)),
            Value::Array(items) => visitor.visit_seq(Items { reader: &self, items: items.iter() }),
            Value::Text(text) | Value::Untyped(text) => visitor.visit_str(text),
            Value::Integer(integer) => visitor.visit_i64(*integer),
            Value::Float(float) => visitor.visit_f64(*float),
            Value::Boolean(boolean) => visitor.visit_bool(*boolean),
            Value::Unusable(kind) => Err(Error::invalid_type(Unexpected::Other(kind), &visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Table(table) => visitor.visit_map(self.entries(table, Some(fields))),
            _ => Err(Fault::custom("expected a section")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            // Compose files pass unset variables as empty strings.
            Value::Untyped(text) if text.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) | Value::Untyped(text) => {
                let variant: StrDeserializer<'_, Fault> = text.as_str().into_deserializer();
                visitor.visit_enum(variant)
            }
            _ => Err(Fault::custom("expected a string")),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Untyped(text) => {
                self.spelled(text, r#"["a", "b"]"#, |reader| reader.deserialize_any(visitor))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Untyped(text) => {
                self.spelled(text, r#"{ a = "b" }"#, |reader| reader.deserialize_any(visitor))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    read_numbers! {
        deserialize_bool visit_bool "true or false",
        deserialize_u16 visit_u16 "a whole number from 0 to 65535",
        deserialize_u32 visit_u32 "a whole number of at least 0",
        deserialize_u64 visit_u64 "a whole number of at least 0",
        deserialize_i32 visit_i32 "a whole number",
        deserialize_i64 visit_i64 "a whole number",
        deserialize_f32 visit_f32 "a number",
        deserialize_f64 visit_f64 "a number",
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i8 i16 u8 char str string bytes byte_buf unit unit_struct tuple tuple_struct
        identifier ignored_any
    }
}

struct Entries<'a> {
    reader: Reader<'a>,
    entries: std::vec::IntoIter<(&'a String, &'a Node)>,
    current: Option<(&'a String, &'a Node)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        self.current = self.entries.next();
        let Some((name, _)) = self.current else { return Ok(None) };
        let name: StrDeserializer<'_, Fault> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((name, node)) = self.current else {
            return Err(Fault::custom("a value was asked for before its key"));
        };
        let reader = self.reader.at(node, name);
        let path = reader.path.clone();
        seed.deserialize(reader).map_err(|fault| fault.at(&node.place, &path))
    }
}

struct Items<'a> {
    reader: &'a Reader<'a>,
    items: std::slice::Iter<'a, Node>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.items.next() else { return Ok(None) };
        let path = &self.reader.path;
        let reader = Reader { node, path: path.clone(), unknown: self.reader.unknown };
        seed.deserialize(reader).map(Some).map_err(|fault| fault.at(&node.place, path))
    }
}

/// A value that does not fit. The place and path are those of the innermost key.
#[derive(Debug)]
pub(in crate::config) struct Fault {
    at: Option<(Place, String)>,
    message: String,
}

impl Fault {
    fn at(mut self, place: &Place, path: &str) -> Self {
        self.at.get_or_insert_with(|| (place.clone(), path.to_owned()));
        self
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let (place, path) = fault.at.unwrap_or_else(|| ("configuration".into(), String::new()));
        Self::new(place, format!("`{path}`: {}", fault.message))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { at: None, message: message.to_string() }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!("expected {expected}, found {}", kind(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!("expected {expected}, found {}", kind(found)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format!("unknown value \"{variant}\"; {}", hint(variant, expected)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format!("the key `{field}` is missing"))
    }
}

/// The kind of a value instead of the value itself. Integers may be shown, as no secret is an
/// integer.
fn kind(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Signed(number) => format!("the integer {number}"),
        Unexpected::Float(number) => format!("the number {number}"),
        Unexpected::Bool(boolean) => format!("{boolean}"),
        Unexpected::Str(_) => "a string".into(),
        Unexpected::Seq => "an array".into(),
        Unexpected::Map => "a table".into(),
        Unexpected::Other(kind) => kind.into(),
        _ => "something else".into(),
    }
}
