//! What became of keys, incidents and actions in a stretch of time, for auditors and managers.
//!
//! Each section is a query of `sql/report/`. All forms show the same figures.

pub mod csv;
pub mod page;
pub mod text;

use serde::Serialize;
use serde::ser::SerializeMap;

use crate::audit::Head;
use crate::event::EventTime;
use crate::store::{Store, StoreError, Table};

/// ClickHouse writes an unknown value so.
const NULL: &str = "ᴺᵁᴸᴸ";

#[derive(Debug, Serialize)]
pub struct Compliance {
    pub from: EventTime,
    pub to: EventTime,
    pub made_at: EventTime,
    /// Keys that are older count as overdue.
    pub rotate_every_days: u32,
    /// `NUMBER:HASH`: the end of the audit log when the report was made.
    pub audit_head: Option<String>,
    #[serde(serialize_with = "by_name")]
    pub sections: Vec<Section>,
}

/// One table of the report.
#[derive(Debug)]
pub struct Section {
    pub name: &'static str,
    pub title: &'static str,
    pub explanation: &'static str,
    table: Table,
}

/// A figure, a word, or nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    Number(f64),
    Text(String),
    Unknown,
}

struct Question {
    name: &'static str,
    title: &'static str,
    explanation: &'static str,
    sql: &'static str,
}

macro_rules! question {
    ($name:literal, $title:literal, $explanation:literal) => {
        Question {
            name: $name,
            title: $title,
            explanation: $explanation,
            sql: include_str!(concat!("../../../sql/report/", $name, ".sql")),
        }
    };
}

const QUESTIONS: [Question; 8] = [
    question!(
        "keys",
        "Keys",
        "By environment, as registered now. A key counts once in each column. Overdue are active keys \
         that were older than the time for a rotation at the end of the report."
    ),
    question!(
        "incidents",
        "Incidents",
        "Opened in this time, by their strongest sign. Confirmed: theft or misuse. Dismissed: a false \
         alert. Set aside: a test or a duplicate. Ended: the evidence ended and nobody had decided."
    ),
    question!(
        "times",
        "Times",
        "From the opening of an incident. Contained: the key was suspended, revoked or rotated, as its \
         key store or a person has told. Incidents that did not reach a step are not in its times."
    ),
    question!(
        "actions",
        "Actions",
        "Proposed: the evidence asked for it. Requested: within budget and approval. Sent: the receiver \
         accepted the message. Withdrawn: people or the end of the evidence came first."
    ),
    question!(
        "restraints",
        "Restraints",
        "Why an action was milder than the evidence asked, or waited. An incident may have several."
    ),
    question!("deliveries", "Deliveries", "Of revisions of alerts, by channel."),
    question!("people", "Decisions of people", "Acts on incidents, and suppressions."),
    question!(
        "settings",
        "Versions and settings",
        "Of each start of the service. The configuration is named by the beginning of its SHA-256."
    ),
];

/// Reads the figures of the time from `from` until before `to`.
///
/// # Errors
/// [`StoreError`].
pub async fn measure(
    store: &Store,
    (from, to): (EventTime, EventTime),
    rotate_every_days: u32,
) -> Result<Compliance, StoreError> {
    let [since, until] = [from, to].map(|time| time.as_micros().to_string());
    let days = rotate_every_days.to_string();
    let mut sections = Vec::new();
    for question in QUESTIONS {
        let Question { name, title, explanation, sql } = question;
        let mut values = vec![("since", since.as_str()), ("until", &until)];
        values.extend((name == "keys").then_some(("rotate_every_days", days.as_str())));
        let table = store.query_table(sql, &values).await?;
        sections.push(Section { name, title, explanation, table });
    }
    let head = store.audit_head().await?;
    let audit_head = (head != Head::default()).then(|| head.to_string());
    Ok(Compliance { from, to, made_at: EventTime::now(), rotate_every_days, audit_head, sections })
}

impl Compliance {
    /// The sum of a column; 0 without it.
    pub fn sum(&self, section: &str, column: &str) -> f64 {
        let section = self.sections.iter().find(|it| it.name == section);
        let rows = section.into_iter().flat_map(Section::rows);
        let figures = rows.filter_map(|row| {
            row.into_iter().find_map(|(name, value)| match value {
                Value::Number(number) if name == column => Some(number),
                _ => None,
            })
        });
        figures.sum()
    }
}

impl Section {
    pub fn columns(&self) -> &[String] {
        &self.table.columns
    }

    /// Each row as pairs of column and value.
    pub fn rows(&self) -> impl Iterator<Item = Vec<(&str, Value)>> {
        let columns = self.table.columns.iter().map(String::as_str);
        self.table
            .rows
            .iter()
            .map(move |row| columns.clone().zip(row.iter().map(|cell| Value::read(cell))).collect())
    }
}

impl Value {
    fn read(cell: &str) -> Self {
        let is_number = cell.starts_with(|c: char| c.is_ascii_digit());
        match cell.parse() {
            _ if cell == NULL => Self::Unknown,
            Ok(number) if is_number => Self::Number(number),
            _ => Self::Text(cell.to_owned()),
        }
    }

    /// Whole numbers without a point.
    pub fn shown(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::Unknown => String::new(),
        }
    }
}

/// An object with one array of rows for each section.
fn by_name<S: serde::Serializer>(sections: &[Section], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(sections.len()))?;
    for section in sections {
        map.serialize_entry(section.name, &section.rows().map(Row).collect::<Vec<_>>())?;
    }
    map.end()
}

struct Row<'a>(Vec<(&'a str, Value)>);

impl Serialize for Row<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests;
