//! A value as text, one line a field: `path: type = value`.
//!
//! Postcard writes neither names nor types, so that bytes alone do not show when two fields of
//! one type change places, or when a number becomes wider. Fields stand in the order of their
//! declaration; entries of maps, which have none, are sorted. Names of types are left out: they
//! are not saved.

use std::fmt::{Debug, Display};

use serde::Serialize;
use serde::ser::{
    Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

type Error = serde::de::value::Error;

pub fn image(value: &impl Serialize) -> String {
    let mut text = String::new();
    value.serialize(Imager).unwrap().write("", &mut text);
    text
}

#[derive(Clone)]
enum Node {
    Leaf { kind: &'static str, value: String },
    Branch(Vec<(String, Node)>),
}

impl Node {
    fn leaf(kind: &'static str, value: impl Display) -> Self {
        Self::Leaf { kind, value: value.to_string() }
    }

    fn write(&self, path: &str, text: &mut String) {
        match self {
            Self::Leaf { kind, value } => *text += &format!("{path}: {kind} = {value}\n"),
            Self::Branch(children) if children.is_empty() => *text += &format!("{path}: empty\n"),
            Self::Branch(children) => match numbers(children) {
                Some(line) => *text += &format!("{path}: {line}\n"),
                None => children.iter().for_each(|(name, child)| {
                    let dot = if path.is_empty() { "" } else { "." };
                    child.write(&format!("{path}{dot}{name}"), text);
                }),
            },
        }
    }

    /// In one line, as the key of a map.
    fn as_key(&self) -> String {
        match self {
            Self::Leaf { value, .. } => value.clone(),
            Self::Branch(children) => {
                children.iter().map(|(_, child)| child.as_key()).collect::<Vec<_>>().join("/")
            }
        }
    }
}

/// A list of leaves of one type in one line.
fn numbers(children: &[(String, Node)]) -> Option<String> {
    let mut line = String::new();
    for (place, (name, child)) in children.iter().enumerate() {
        let Node::Leaf { kind, value } = child else { return None };
        if *name != place.to_string() {
            return None;
        }
        match line.is_empty() {
            true => line = format!("[{kind}] = {value}"),
            false if line.starts_with(&format!("[{kind}]")) => line += &format!(" {value}"),
            false => return None,
        }
    }
    Some(line)
}

struct Imager;

/// The children of a branch so far.
struct Children {
    nodes: Vec<(String, Node)>,
    variant: Option<&'static str>,
    key: Option<String>,
    is_map: bool,
}

impl Children {
    fn new(variant: Option<&'static str>) -> Self {
        Self { nodes: Vec::new(), variant, key: None, is_map: false }
    }

    fn push(
        &mut self,
        name: impl Into<String>,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), Error> {
        self.nodes.push((name.into(), value.serialize(Imager)?));
        Ok(())
    }

    fn push_next(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        self.push(self.nodes.len().to_string(), value)
    }

    fn finish(mut self) -> Node {
        if self.is_map {
            self.nodes.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        let branch = Node::Branch(self.nodes);
        match self.variant {
            Some(variant) => Node::Branch(vec![(variant.into(), branch)]),
            None => branch,
        }
    }
}

macro_rules! leaves {
    ($($method:ident $kind:ident)*) => {
        $(fn $method(self, value: $kind) -> Result<Node, Error> {
            Ok(Node::leaf(stringify!($kind), Shown(value)))
        })*
    };
}

/// Floats with all their digits.
struct Shown<T>(T);

impl<T: Debug> Display for Shown<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Serializer for Imager {
    type Ok = Node;
    type Error = Error;
    type SerializeSeq = Children;
    type SerializeTuple = Children;
    type SerializeTupleStruct = Children;
    type SerializeTupleVariant = Children;
    type SerializeMap = Children;
    type SerializeStruct = Children;
    type SerializeStructVariant = Children;

    // As postcard: what is written for people elsewhere is saved in few bytes.
    fn is_human_readable(&self) -> bool {
        false
    }

    leaves! {
        serialize_bool bool
        serialize_i8 i8
        serialize_i16 i16
        serialize_i32 i32
        serialize_i64 i64
        serialize_i128 i128
        serialize_u8 u8
        serialize_u16 u16
        serialize_u32 u32
        serialize_u64 u64
        serialize_u128 u128
        serialize_f32 f32
        serialize_f64 f64
        serialize_char char
    }

    fn serialize_str(self, value: &str) -> Result<Node, Error> {
        Ok(Node::leaf("str", Shown(value)))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Node, Error> {
        Ok(Node::leaf("bytes", hex::encode(value)))
    }

    fn serialize_none(self) -> Result<Node, Error> {
        Ok(Node::leaf("option", "none"))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Node, Error> {
        self.serialize_newtype_variant("", 1, "some", value)
    }

    fn serialize_unit(self) -> Result<Node, Error> {
        Ok(Node::leaf("unit", ""))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Node, Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &str, number: u32, name: &str) -> Result<Node, Error> {
        Ok(Node::leaf("variant", format!("{number} {name}")))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Node, Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Node, Error> {
        Ok(Node::Branch(vec![(variant.into(), value.serialize(self)?)]))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Children, Error> {
        Ok(Children::new(None))
    }

    fn serialize_tuple(self, _: usize) -> Result<Children, Error> {
        Ok(Children::new(None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Children, Error> {
        Ok(Children::new(None))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Children, Error> {
        Ok(Children::new(Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Children, Error> {
        Ok(Children { is_map: true, ..Children::new(None) })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Children, Error> {
        Ok(Children::new(None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Children, Error> {
        Ok(Children::new(Some(variant)))
    }
}

/// Lists: their elements have numbers for names.
macro_rules! lists {
    ($($of:ident $method:ident)*) => {
        $(impl $of for Children {
            type Ok = Node;
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.push_next(value)
            }

            fn end(self) -> Result<Node, Error> {
                Ok(self.finish())
            }
        })*
    };
}

lists! {
    SerializeSeq serialize_element
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

macro_rules! structs {
    ($($of:ident)*) => {
        $(impl $of for Children {
            type Ok = Node;
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Error> {
                self.push(name, value)
            }

            fn end(self) -> Result<Node, Error> {
                Ok(self.finish())
            }
        })*
    };
}

structs!(SerializeStruct SerializeStructVariant);

impl SerializeMap for Children {
    type Ok = Node;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key = Some(key.serialize(Imager)?.as_key());
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let key = self.key.take().ok_or_else(|| Error::custom("a value without a key"))?;
        self.push(key, value)
    }

    fn end(self) -> Result<Node, Error> {
        Ok(self.finish())
    }
}
