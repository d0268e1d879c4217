//! Joins the selections of a rule to a query.

use super::condition::{self, Condition};
use super::error::{Problem, SigmaError};
use super::fields::{field, searched};
use super::modifiers;
use super::rule::Rule;
use super::sql::test;
use super::yaml::{Entry, Node, Value, shape};
use crate::text::visible_within;

/// ClickHouse reads 256 KiB of a query (`max_query_size`).
const MOST_BYTES: usize = 200_000;
const LONGEST_TITLE: usize = 200;

pub(super) fn query(rule: &Rule, days: u32, limit: u32) -> Result<String, SigmaError> {
    let selections = rule.selections.iter().map(selection).collect::<Result<Vec<_>, _>>()?;
    let conditions = rule.conditions.iter().map(|it| condition(rule, it));
    let conditions = conditions.collect::<Result<Vec<_>, _>>()?;
    // Hidden characters and line ends of the title would end the comment.
    let title = visible_within(&rule.title, LONGEST_TITLE);
    let sql = format!(
        "-- {title}\n\
         WITH\n    {}\n\
         SELECT time, key_id, client_address, asn, as_name, country, method, path, status, user_agent, request_id\n\
         FROM access_events\n\
         WHERE time >= now64(6) - toIntervalDay({days})\n    AND ({})\n\
         ORDER BY time DESC\n\
         LIMIT {limit}\n",
        selections.join(",\n    "),
        conditions.join(" OR "),
    );
    let is_long = sql.len() > MOST_BYTES;
    if is_long { Err(Problem::LongQuery(MOST_BYTES).at(1)) } else { Ok(sql) }
}

fn condition(rule: &Rule, (text, line): &(String, usize)) -> Result<String, SigmaError> {
    let names: Vec<&str> = rule.selections.iter().map(|entry| entry.name.as_str()).collect();
    let condition = condition::parse(text, &names).map_err(|problem| problem.at(*line))?;
    Ok(shown(&condition))
}

fn shown(condition: &Condition) -> String {
    let joined = |parts: &[Condition], word: &str| {
        let parts: Vec<String> = parts.iter().map(shown).collect();
        format!("({})", parts.join(word))
    };
    match condition {
        Condition::Selection(name) => alias(name),
        Condition::Any(parts) => joined(parts, " OR "),
        Condition::All(parts) => joined(parts, " AND "),
        Condition::Not(part) => format!("NOT {}", shown(part)),
    }
}

/// Names are letters, digits, `_` and `-`. They must not be those of columns.
fn alias(name: &str) -> String {
    format!("`is {name}`")
}

fn selection(entry: &Entry) -> Result<String, SigmaError> {
    Ok(format!("({}) AS {}", of_node(&entry.node)?, alias(&entry.name)))
}

/// A map must match as a whole; of a list any element.
fn of_node(node: &Node) -> Result<String, SigmaError> {
    match &node.value {
        Value::Map(entries) => joined(entries.iter().map(of_entry), " AND ", node.line),
        Value::List(nodes) => joined(nodes.iter().map(of_node), " OR ", node.line),
        Value::Scalar(_) => word(node),
        Value::Null => Err(shape("a selection", "fields with values, or words").at(node.line)),
    }
}

/// A word without a field.
fn word(node: &Node) -> Result<String, SigmaError> {
    let (_, contains) = modifiers::parse("|contains").map_err(|problem| problem.at(node.line))?;
    let tests = searched()
        .map(|field| test(field, contains, &node.value).map_err(|problem| problem.at(node.line)));
    joined(tests, " OR ", node.line)
}

fn of_entry(entry: &Entry) -> Result<String, SigmaError> {
    let (name, modifiers) =
        modifiers::parse(&entry.name).map_err(|problem| problem.at(entry.line))?;
    let join = if modifiers.is_all { " AND " } else { " OR " };
    if name.is_empty() {
        let words = entry.node.elements().iter().map(word);
        return joined(words, join, entry.line);
    }
    let field = field(name).ok_or_else(|| Problem::UnknownField(name.to_owned()).at(entry.line))?;
    let tests =
        entry.node.elements().iter().map(|node| {
            test(field, modifiers, &node.value).map_err(|problem| problem.at(node.line))
        });
    joined(tests, join, entry.line)
}

fn joined(
    parts: impl Iterator<Item = Result<String, SigmaError>>,
    join: &str,
    line: usize,
) -> Result<String, SigmaError> {
    let mut parts = parts.collect::<Result<Vec<_>, _>>()?;
    match parts.len() {
        0 => Err(Problem::Missing("a value").at(line)),
        1 => Ok(parts.remove(0)),
        _ => Ok(format!("({})", parts.join(join))),
    }
}
