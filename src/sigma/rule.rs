//! The parts of a rule, checked as far as they need no field of the log.

use super::error::{Problem, SigmaError};
use super::yaml::{Entry, Node, Value, read, shape};

pub(super) struct Rule {
    pub title: String,
    pub id: String,
    pub level: String,
    pub selections: Vec<Entry>,
    /// Any of them makes the rule match.
    pub conditions: Vec<(String, usize)>,
}

const CATEGORIES: [&str; 3] = ["webserver", "proxy", "api"];
const SERVICES: [&str; 2] = ["cloudtrail", "keywatch"];

impl Rule {
    pub fn read(text: &str) -> Result<Self, SigmaError> {
        let root = read(text)?;
        if let Some(found) =
            ["correlation", "filter", "action"].into_iter().find_map(|it| root.get(it))
        {
            return Err(Problem::Correlation("correlation, filter, action".into()).at(found.line));
        }
        check_source(&root)?;
        let detection =
            root.get("detection").ok_or(Problem::Missing("`detection`").at(root.line))?;
        let text_of =
            |name: &str| root.get(name).and_then(Node::scalar).unwrap_or_default().to_owned();
        Ok(Self {
            title: text_of("title"),
            id: text_of("id"),
            level: text_of("level"),
            selections: selections(detection)?,
            conditions: conditions(detection)?,
        })
    }
}

/// Fields of other logs may have the names of ours and mean something else.
fn check_source(root: &Node) -> Result<(), SigmaError> {
    let Some(source) = root.get("logsource") else { return Ok(()) };
    let of = |name: &str| source.get(name).and_then(Node::scalar).unwrap_or_default();
    let (category, product, service) = (of("category"), of("product"), of("service"));
    let is_ours = match (category, product, service) {
        ("", _, "") => product.is_empty() || product == "keywatch",
        ("", _, service) => SERVICES.contains(&service),
        (category, ..) => CATEGORIES.contains(&category),
    };
    let described = [category, product, service].join(" ").trim().to_owned();
    if is_ours { Ok(()) } else { Err(Problem::OtherLogs(described).at(source.line)) }
}

fn selections(detection: &Node) -> Result<Vec<Entry>, SigmaError> {
    let Value::Map(entries) = &detection.value else {
        return Err(shape("`detection`", "selections by their names").at(detection.line));
    };
    let selections: Vec<Entry> =
        entries.iter().filter(|entry| entry.name != "condition").cloned().collect();
    for Entry { name, line, .. } in &selections {
        if name == "timeframe" {
            return Err(Problem::Correlation(name.clone()).at(*line));
        }
        if !is_name(name) {
            return Err(Problem::Name(name.clone()).at(*line));
        }
    }
    Ok(selections)
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 100
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn conditions(detection: &Node) -> Result<Vec<(String, usize)>, SigmaError> {
    let found = detection.get("condition");
    let found = found.ok_or(Problem::Missing("`condition` in `detection`").at(detection.line))?;
    let text = |node: &Node| {
        let text = node.scalar().map(|text| (text.to_owned(), node.line));
        text.ok_or(shape("`condition`", "text, or a list of texts").at(node.line))
    };
    let texts: Vec<_> = found.elements().iter().map(text).collect::<Result<_, _>>()?;
    if texts.is_empty() { Err(Problem::Missing("the condition").at(found.line)) } else { Ok(texts) }
}
