//! Reads the values at all paths of a mapping in one pass over the record. What no path leads to is
//! skipped unread.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::path::Path;
use crate::decode::scalar::{Scalar, ScalarVisitor};

/// All paths of a mapping, joined by their common beginnings. The root is node 0.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    slots: usize,
    ignore_case: bool,
}

/// How the values at a path are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    /// A number is kept digit by digit, since it may exceed 64 bits.
    Exact,
    /// The elements of a list are one text.
    Joined,
}

#[derive(Debug, Default)]
struct Node {
    children: Vec<(Box<str>, usize)>,
    slot: Option<usize>,
    is_exact: bool,
    is_first_of_list: bool,
    is_joined: bool,
    /// The value may be a string that holds JSON.
    may_be_text: bool,
    /// The elements of the array here are requests.
    is_exploded: bool,
}

/// The values that one pass found.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub slots: Vec<Scalar<'a>>,
    /// The elements of the exploded array, if the record has it.
    pub elements: Option<Vec<&'a RawValue>>,
    /// The slot of a value that occurs twice.
    pub duplicate: Option<usize>,
    /// Bytes were replaced by U+FFFD.
    pub is_lossy: bool,
}

impl Trie {
    pub fn new(ignore_case: bool) -> Self {
        Self { nodes: vec![Node::default()], slots: 0, ignore_case }
    }

    /// Returns the slot of the values at `path`; equal paths share one.
    pub fn slot(&mut self, path: &Path, form: Form) -> usize {
        let node = self.node(path);
        let next = self.slots;
        let node = &mut self.nodes[node];
        node.is_exact |= form == Form::Exact;
        node.is_joined |= form == Form::Joined;
        let slot = *node.slot.get_or_insert(next);
        self.slots += usize::from(slot == next);
        slot
    }

    /// Returns a slot that no path leads to.
    pub fn reserve(&mut self) -> usize {
        self.slots += 1;
        self.slots - 1
    }

    pub fn explode(&mut self, path: &Path) {
        let node = self.node(path);
        self.nodes[node].is_exploded = true;
    }

    pub fn read_text_as_json(&mut self, path: &Path) {
        let node = self.node(path);
        self.nodes[node].may_be_text = true;
    }

    fn node(&mut self, path: &Path) -> usize {
        let mut at = 0;
        for segment in &path.segments {
            at = match self.child(at, &segment.name) {
                Some(child) => child,
                None => {
                    self.nodes.push(Node::default());
                    let child = self.nodes.len() - 1;
                    self.nodes[at].children.push((segment.name.as_str().into(), child));
                    child
                }
            };
            self.nodes[at].is_first_of_list |= segment.is_first_of_list;
        }
        at
    }

    fn child(&self, node: usize, name: &str) -> Option<usize> {
        let mut children = self.nodes[node].children.iter();
        let child = if self.ignore_case {
            children.find(|(known, _)| known.eq_ignore_ascii_case(name))
        } else {
            children.find(|(known, _)| **known == *name)
        };
        child.map(|(_, child)| *child)
    }

    pub fn empty(&self) -> Found<'static> {
        let slots = vec![Scalar::Absent; self.slots];
        Found { slots, elements: None, duplicate: None, is_lossy: false }
    }

    /// # Errors
    /// The text is not JSON, or not an object.
    pub fn read<'a>(&self, json: &'a str, found: &mut Found<'a>) -> Result<(), serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        deserializer.deserialize_map(Walk { trie: self, node: 0, found })?;
        deserializer.end()
    }

    /// Puts a value that stands by itself, as in a line of `name=value`.
    pub fn put<'a>(&self, name: &str, value: Scalar<'a>, found: &mut Found<'a>) {
        if let Some(slot) = self.child(0, name).and_then(|child| self.nodes[child].slot) {
            put(found, slot, value);
        }
    }
}

fn put<'a>(found: &mut Found<'a>, slot: usize, value: Scalar<'a>) {
    let place = &mut found.slots[slot];
    if matches!(place, Scalar::Absent) {
        *place = value;
    } else {
        found.duplicate = Some(slot);
    }
}

/// Visits the value at one node.
struct Walk<'w, 'a> {
    trie: &'w Trie,
    node: usize,
    found: &'w mut Found<'a>,
}

impl<'a> Walk<'_, 'a> {
    fn node(&self) -> &Node {
        &self.trie.nodes[self.node]
    }

    fn take(self, value: Scalar<'a>) {
        if let Some(slot) = self.node().slot {
            put(self.found, slot, value);
        }
    }

    /// Reads JSON that stands in a string. Text that is not an object has no values.
    fn read_inside(self, text: &str) {
        let mut inside = self.trie.empty();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let walk = Walk { trie: self.trie, node: self.node, found: &mut inside };
        if deserializer.deserialize_map(walk).is_ok() {
            let values = inside.slots.into_iter().map(Scalar::into_owned).enumerate();
            for (slot, value) in values.filter(|(_, value)| *value != Scalar::Absent) {
                put(self.found, slot, value);
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let node = self.node();
        if node.is_joined {
            let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
            self.take(Scalar::joined(raw));
            return Ok(());
        }
        if node.is_exact && !node.is_first_of_list {
            let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
            self.take(Scalar::exact(raw));
            return Ok(());
        }
        if node.is_exact {
            let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
            self.take(first_exactly(raw));
            return Ok(());
        }
        deserializer.deserialize_any(self)
    }
}

/// The first element of a list, or the value itself.
fn first_exactly(raw: &RawValue) -> Scalar<'_> {
    if !raw.get().starts_with('[') {
        return Scalar::exact(raw);
    }
    let elements = serde_json::from_str::<Vec<&RawValue>>(raw.get()).unwrap_or_default();
    elements.first().map_or(Scalar::Absent, |first| Scalar::exact(first))
}

macro_rules! take_scalars {
    ($($method:ident $kind:ty),* $(,)?) => {$(
        fn $method<E: Error>(self, value: $kind) -> Result<(), E> {
            self.take(ScalarVisitor.$method(value)?);
            Ok(())
        }
    )*};
}

impl<'de> Visitor<'de> for Walk<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    take_scalars! { visit_u64 u64, visit_i64 i64, visit_f64 f64, visit_bool bool }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<(), E> {
        if self.node().may_be_text {
            self.read_inside(text);
        } else {
            self.take(ScalarVisitor.visit_borrowed_str(text)?);
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if self.node().may_be_text {
            self.read_inside(text);
        } else {
            self.take(ScalarVisitor.visit_str(text)?);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Walk { trie, node, found } = self;
        while let Some(child) = entries.next_key_seed(Name { trie, node })? {
            match child {
                Some(child) => entries.next_value_seed(Walk { trie, node: child, found })?,
                None => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        if let Some(slot) = trie.nodes[node].slot {
            put(found, slot, Scalar::Other("an object"));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let node = self.node();
        if node.is_exploded {
            let mut elements = Vec::new();
            while let Some(element) = items.next_element::<&RawValue>()? {
                elements.push(element);
            }
            self.found.elements = Some(elements);
            return Ok(());
        }
        if node.is_first_of_list {
            items.next_element_seed(self)?;
        } else {
            self.take(Scalar::Other("an array"));
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// Finds the child that a name leads to.
struct Name<'w> {
    trie: &'w Trie,
    node: usize,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.trie.child(self.node, name))
    }
}
