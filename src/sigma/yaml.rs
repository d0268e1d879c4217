//! Reads YAML as a tree with line numbers.
//!
//! The events of the parser are read one by one, since its own tree follows aliases (a few lines may
//! stand for gigabytes) and recurses as deep as the file says.

use yaml_rust2::Event;
use yaml_rust2::parser::Parser;
use yaml_rust2::scanner::TScalarStyle;

use super::error::{Problem, SigmaError};

pub const MOST_BYTES: usize = 256 * 1024;
const MOST_LEVELS: usize = 12;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub line: usize,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: String,
    pub line: usize,
    pub node: Node,
}

impl Node {
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|entry| entry.name == name).map(|entry| &entry.node)
    }

    pub fn scalar(&self) -> Option<&str> {
        let Value::Scalar(text) = &self.value else { return None };
        Some(text)
    }

    /// The elements of a list; anything else is a list of one.
    pub fn elements(&self) -> &[Self] {
        match &self.value {
            Value::List(nodes) => nodes,
            _ => std::slice::from_ref(self),
        }
    }
}

/// Reads the only document of `text`.
pub(super) fn read(text: &str) -> Result<Node, SigmaError> {
    if text.len() > MOST_BYTES {
        return Err(Problem::TooLarge(MOST_BYTES).at(1));
    }
    let mut reader = Reader { parser: Parser::new_from_str(text) };
    let (mut event, mut line) = reader.next()?;
    while matches!(event, Event::StreamStart | Event::DocumentStart | Event::Nothing) {
        (event, line) = reader.next()?;
    }
    let root = reader.node(event, line, 0)?;
    match reader.after()? {
        None => Ok(root),
        Some(line) => Err(Problem::SeveralRules.at(line)),
    }
}

struct Reader<'a> {
    parser: Parser<std::str::Chars<'a>>,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<(Event, usize), SigmaError> {
        match self.parser.next_token() {
            Ok((event, marker)) => Ok((event, marker.line())),
            Err(error) => Err(Problem::Yaml(error.info().to_owned()).at(error.marker().line())),
        }
    }

    /// The line of a second document, if there is one.
    fn after(&mut self) -> Result<Option<usize>, SigmaError> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(None),
                (Event::DocumentStart, line) => return Ok(Some(line)),
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event, line: usize, level: usize) -> Result<Node, SigmaError> {
        if level > MOST_LEVELS {
            return Err(Problem::TooDeep(MOST_LEVELS).at(line));
        }
        let value = match event {
            Event::Scalar(text, style, 0, None) => scalar(text, style),
            Event::SequenceStart(0, None) => Value::List(self.list(level)?),
            Event::MappingStart(0, None) => Value::Map(self.map(level)?),
            Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::MappingStart(..) => return Err(Problem::NotPlain.at(line)),
            _ => Value::Null,
        };
        Ok(Node { line, value })
    }

    fn list(&mut self, level: usize) -> Result<Vec<Node>, SigmaError> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(nodes),
                (event, line) => nodes.push(self.node(event, line, level + 1)?),
            }
        }
    }

    fn map(&mut self, level: usize) -> Result<Vec<Entry>, SigmaError> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (name, line) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                (Event::Scalar(name, ..), line) => (name, line),
                (_, line) => return Err(shape("a name before a colon", "plain text").at(line)),
            };
            if entries.iter().any(|entry| entry.name == name) {
                return Err(Problem::Twice(name).at(line));
            }
            let (event, value_line) = self.next()?;
            let node = self.node(event, value_line, level + 1)?;
            entries.push(Entry { name, line, node });
        }
    }
}

pub(super) fn shape(place: &str, wanted: &'static str) -> Problem {
    Problem::Shape { place: place.to_owned(), wanted }
}

fn scalar(text: String, style: TScalarStyle) -> Value {
    let is_null =
        style == TScalarStyle::Plain && ["", "~", "null", "Null", "NULL"].contains(&&*text);
    if is_null { Value::Null } else { Value::Scalar(text) }
}
