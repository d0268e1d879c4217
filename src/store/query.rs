//! Runs the analysts' queries in `sql/queries/` and returns their results as text.

use std::io::{self, Write};

use serde::de::DeserializeOwned;

use super::{Store, StoreError};

/// A file of `sql/queries/`.
#[derive(Clone, Copy, Debug)]
pub struct AnalystQuery {
    /// The file name without `.sql`.
    pub name: &'static str,
    pub sql: &'static str,
}

/// A parameter of a query: `-- name Type = default` in the comment at its top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    pub name: &'a str,
    pub default: &'a str,
}

macro_rules! queries {
    ($($name:literal),* $(,)?) => {
        &[$(AnalystQuery {
            name: $name,
            sql: include_str!(concat!("../../sql/queries/", $name, ".sql")),
        }),*]
    };
}

pub const ANALYST_QUERIES: &[AnalystQuery] = queries![
    "alert_timeline",
    "completeness",
    "detectors",
    "error_share",
    "failed_deliveries",
    "guessed_then_used",
    "hunt",
    "incidents",
    "key_addresses",
    "key_clients",
    "key_countries",
    "key_hours",
    "key_routes",
    "key_timeline",
    "keys",
    "keys_in_wrong_environment",
    "keys_overdue",
    "keys_rotations",
    "keys_scopes",
    "keys_shared",
    "keys_unused",
    "keys_without_expiry",
    "large_exports",
    "latency_by_route",
    "named_keys",
    "new_networks",
    "open_alerts",
    "people_timeline",
    "progress",
    "quarantined",
    "rare_routes",
    "rejections",
    "repeated_nonces",
    "response_times",
    "revocations",
    "shared_addresses",
    "silent_keys",
    "source_abuse",
    "top_keys",
    "top_sources",
    "two_countries",
];

/// Returns the query of that name.
pub fn analyst_query(name: &str) -> Option<&'static AnalystQuery> {
    ANALYST_QUERIES.iter().find(|query| query.name == name)
}

impl AnalystQuery {
    /// Returns the question that the query answers: the first line of the comment at its top.
    pub fn question(&self) -> &'static str {
        self.sql.lines().next().unwrap_or_default().trim_start_matches("-- ")
    }

    pub fn parameters(&self) -> Vec<Parameter<'static>> {
        parameters(self.sql)
    }
}

/// The result of a query: column names, and rows of values as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Store {
    /// Runs `sql` with its parameters (`{name:Type}`) set to `values`. A parameter that `values`
    /// does not name gets the default of the comment.
    ///
    /// # Errors
    /// [`StoreError`]; a parameter without value or default is rejected by ClickHouse.
    pub async fn query_table(
        &self,
        sql: &str,
        values: &[(&str, &str)],
    ) -> Result<Table, StoreError> {
        let fetched = async { self.with_values(sql, values).fetch_bytes(FORMAT)?.collect().await };
        let bytes = fetched.await.map_err(|error| self.error("answering a query", &error))?;
        parse_table(&bytes).map_err(|reason| self.error("answering a query", &bad_answer(&reason)))
    }

    /// Runs `sql` like [`Self::query_table`] and writes the answer to `out` in a format of
    /// ClickHouse, as it arrives. Returns the number of bytes.
    ///
    /// # Errors
    /// [`CopyError`]; `out` then holds a part of the answer.
    pub async fn copy_query(
        &self,
        sql: &str,
        values: &[(&str, &str)],
        format: &str,
        out: &mut impl Write,
    ) -> Result<u64, CopyError> {
        let failed = |error: &clickhouse::error::Error| self.error("answering a query", error);
        let fetched = read_only(self.with_values(sql, values)).fetch_bytes(format);
        let mut answer = fetched.map_err(|error| failed(&error))?;
        let mut copied = 0;
        while let Some(bytes) = answer.next().await.map_err(|error| failed(&error))? {
            out.write_all(&bytes)?;
            copied += bytes.len() as u64;
        }
        Ok(copied)
    }

    /// The query. Parameters that `values` does not name have the defaults of the comment.
    fn with_values(&self, sql: &str, values: &[(&str, &str)]) -> clickhouse::query::Query {
        let defaults = parameters(sql);
        let set = defaults.iter().map(|parameter| (parameter.name, parameter.default));
        let mut query = self.client.query_raw(sql);
        for (name, value) in set.chain(values.iter().copied()) {
            query = query.param(name, value);
        }
        query
    }

    /// Runs `sql` without permission to write, with its parameters (`{name:Type}`) set to `values`,
    /// and reads each row by its column names. Settings at the end of `sql` limit what it may read.
    /// A parameter that `values` does not name gets the default of the comment.
    ///
    /// # Errors
    /// [`StoreError`], also when a row does not have the columns of `T`.
    pub async fn query_rows<T: DeserializeOwned>(
        &self,
        sql: &str,
        values: &[(&str, &str)],
    ) -> Result<Vec<T>, StoreError> {
        let query = read_only(self.with_values(sql, values));
        let query = query.with_setting("output_format_json_quote_64bit_integers", "0");
        let fetched = async { query.fetch_bytes("JSONEachRow")?.collect().await };
        let bytes = fetched.await.map_err(|error| self.error("answering a query", &error))?;
        let rows = serde_json::Deserializer::from_slice(&bytes).into_iter::<T>();
        rows.collect::<Result<_, _>>().map_err(|reason| {
            let reason = clickhouse::error::Error::Custom(format!("unexpected columns: {reason}"));
            self.error("answering a query", &reason)
        })
    }
}

/// 2: the query may still set its own limits.
fn read_only(query: clickhouse::query::Query) -> clickhouse::query::Query {
    query.with_setting("readonly", "2")
}

/// An answer could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// One array of strings per line; the first line has the names.
const FORMAT: &str = "JSONCompactStringsEachRowWithNames";

fn parse_table(bytes: &[u8]) -> serde_json::Result<Table> {
    let mut lines = serde_json::Deserializer::from_slice(bytes).into_iter::<Vec<String>>();
    let columns = lines.next().transpose()?.unwrap_or_default();
    Ok(Table { columns, rows: lines.collect::<Result<_, _>>()? })
}

fn bad_answer(reason: &serde_json::Error) -> clickhouse::error::Error {
    clickhouse::error::Error::Custom(format!("no {FORMAT}: {reason}"))
}

/// Reads the lines `-- name Type = default` of the comment at the top.
fn parameters(sql: &str) -> Vec<Parameter<'_>> {
    sql.lines().map_while(|line| line.strip_prefix("--")).filter_map(parameter).collect()
}

fn parameter(comment: &str) -> Option<Parameter<'_>> {
    let (declaration, default) = comment.split_once(" =")?;
    let (name, _type) = declaration.trim().split_once(' ')?;
    Some(Parameter { name, default: default.trim() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn parameters_are_read_from_the_comment_at_the_top_only() {
        let sql =
            "-- Which keys?\n-- hours UInt32 = 24\n-- key_id String =\nSELECT 1\n-- x UInt8 = 3\n";
        let expected =
            [Parameter { name: "hours", default: "24" }, Parameter { name: "key_id", default: "" }];
        assert_eq!(parameters(sql), expected);
    }

    #[test]
    fn every_parameter_of_every_query_has_a_default_and_the_reverse() {
        for query in ANALYST_QUERIES {
            for parameter in query.parameters() {
                let used = query.sql.contains(&format!("{{{}:", parameter.name));
                assert!(used, "{} of {}", parameter.name, query.name);
            }
            let body = query.sql.lines().filter(|line| !line.starts_with("--"));
            let used = body.flat_map(|line| line.split('{').skip(1));
            // Braces also repeat a part of a regular expression.
            let is_name = |text: &&str| text.chars().all(|c| c.is_alphanumeric() || c == '_');
            let names = used.filter_map(|rest| Some(rest.split_once(':')?.0));
            for name in names.filter(is_name) {
                assert!(
                    query.parameters().iter().any(|parameter| parameter.name == name),
                    "{name} of {}",
                    query.name
                );
            }
        }
    }

    #[test]
    fn every_file_is_listed_and_begins_with_its_question() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/queries");
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let listed: Vec<String> =
            ANALYST_QUERIES.iter().map(|query| format!("{}.sql", query.name)).collect();
        assert_eq!(files, listed);
        for query in ANALYST_QUERIES {
            assert!(query.question().ends_with('?'), "{}: {}", query.name, query.question());
        }
    }

    #[test]
    fn an_answer_is_its_columns_and_rows() {
        let table = parse_table(b"[\"key\",\"n\"]\n[\"a\",\"1\"]\n[\"b\\n\",\"2\"]\n").unwrap();
        assert_eq!(table.columns, ["key", "n"]);
        assert_eq!(table.rows, [["a", "1"], ["b\n", "2"]]);
    }
}
