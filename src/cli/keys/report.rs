//! `keywatch keys report`.

use std::io::{self, IsTerminal};

use anyhow::anyhow;
use clap::ValueEnum;
use comfy_table::{ContentArrangement, presets};
use serde_json::{Map, Value};

use crate::cli::CommandError;
use crate::cli::alerts::print;
use crate::store::{AnalystQuery, Store, Table, analyst_query};
use crate::text::{visible_json, visible_within};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch keys report
  keywatch keys report scopes --json | jq '.rows[] | {key_id, proposed}'
  keywatch keys report rotations

Each report is a query of sql/queries/, which analysts can run with other parameters. Keys of a
registry file are not in them: import the file.")]
pub struct Args {
    /// One of the reports; without it, all
    report: Option<Report>,
    /// Print one JSON object for each report
    #[arg(long)]
    json: bool,
    /// Print at most so many keys for each report
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Report {
    /// Valid keys that were not used for 90 days
    Unused,
    /// Granted scopes that are not used, and the least set that would have done
    Scopes,
    /// Keys that should have been rotated, by 30, 60, 90 and 180 days
    Overdue,
    /// Keys that are used from many networks
    Shared,
    /// Keys that never expire
    WithoutExpiry,
    /// Test keys in production, and the reverse
    Environments,
    /// Rotations under way: who still uses the old key
    Rotations,
}

impl Report {
    const fn query(self) -> &'static str {
        match self {
            Self::Unused => "keys_unused",
            Self::Scopes => "keys_scopes",
            Self::Overdue => "keys_overdue",
            Self::Shared => "keys_shared",
            Self::WithoutExpiry => "keys_without_expiry",
            Self::Environments => "keys_in_wrong_environment",
            Self::Rotations => "keys_rotations",
        }
    }
}

pub async fn run(args: &Args, store: &Store) -> Result<(), CommandError> {
    let reports = match &args.report {
        Some(report) => std::slice::from_ref(report),
        None => Report::value_variants(),
    };
    let is_table = io::stdout().is_terminal() && !args.json;
    for (place, report) in reports.iter().enumerate() {
        let query = analyst_query(report.query())
            .ok_or_else(|| anyhow!("the query {} is missing", report.query()))?;
        let limit = args.limit.to_string();
        let table = store.query_table(query.sql, &[("limit", &limit)]).await;
        let table = table.map_err(anyhow::Error::from)?;
        let space = if place > 0 && !args.json { "\n" } else { "" };
        let text = match (args.json, is_table) {
            (true, _) => as_json(*report, query, &table),
            (false, true) => {
                in_words(query, &table, comfy_table::Table::new().width().unwrap_or(80))
            }
            (false, false) => tab_separated(query, &table),
        };
        print(&format!("{space}{text}"))?;
    }
    Ok(())
}

/// Longer values are cut in the table.
const LONGEST_CELL: usize = 80;
/// ClickHouse writes an unknown value so.
const NULL: &str = "ᴺᵁᴸᴸ";

fn value(cell: &str) -> Value {
    if cell == NULL { Value::Null } else { cell.into() }
}

fn shown(cell: &str, most: usize) -> String {
    if cell == NULL { String::new() } else { visible_within(cell, most) }
}

fn as_json(report: Report, query: &AnalystQuery, table: &Table) -> String {
    let row = |row: &Vec<String>| -> Value {
        let fields = table.columns.iter().zip(row);
        fields.map(|(name, value)| (name.clone(), self::value(value))).collect::<Map<_, _>>().into()
    };
    let name = report.to_possible_value().map(|value| value.get_name().to_owned());
    let json = serde_json::json!({
        "report": name, "question": query.question(),
        "rows": table.rows.iter().map(row).collect::<Vec<_>>(),
    });
    visible_json(&json.to_string()) + "\n"
}

fn tab_separated(query: &AnalystQuery, table: &Table) -> String {
    let line = |row: &Vec<String>| {
        let cells = row.iter().map(|cell| shown(cell, usize::MAX));
        cells.collect::<Vec<_>>().join("\t") + "\n"
    };
    let head = format!("# {}\n{}", query.question(), line(&table.columns));
    table.rows.iter().fold(head, |text, row| text + &line(row))
}

fn in_words(query: &AnalystQuery, table: &Table, width: u16) -> String {
    let title = format!("{}\n", query.question());
    if table.rows.is_empty() {
        return title + "  none\n";
    }
    let cells = |row: &Vec<String>| -> Vec<String> {
        row.iter().map(|cell| shown(cell, LONGEST_CELL)).collect()
    };
    let mut text = comfy_table::Table::new();
    text.load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(table.columns.iter().map(|name| name.replace('_', " ")))
        .add_rows(table.rows.iter().map(cells));
    text.lines().fold(title, |text, line| text + line.trim_end() + "\n")
}
