//! `keywatch keys list`.

use serde::{Deserialize, Serialize};

use crate::cli::alerts::print;
use crate::cli::{CommandError, listing};
use crate::registry::KeyStatus;
use crate::store::Store;
use crate::text::{visible, visible_json, visible_within};

const SQL: &str = include_str!("../../../sql/queries/keys.sql");

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch keys list --owner payments@example.com
  keywatch keys list --status active --environment production --json | jq -r .key_id
  keywatch keys list --tag partner --expires-within 30
  keywatch keys list --leaked")]
pub struct Args {
    /// Keys whose id begins with this
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    #[arg(long)]
    owner: Option<String>,
    #[arg(long)]
    tenant: Option<String>,
    #[arg(long)]
    environment: Option<String>,
    #[arg(long)]
    class: Option<String>,
    #[arg(long)]
    tag: Option<String>,
    /// active, retired, suspended or revoked
    #[arg(long, value_parser = status)]
    status: Option<KeyStatus>,
    /// Keys that expire within so many days
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    expires_within: Option<u32>,
    /// Keys that were reported leaked
    #[arg(long)]
    leaked: bool,
    /// Keys that nobody may use
    #[arg(long)]
    canary: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Print at most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

fn status(text: &str) -> Result<KeyStatus, String> {
    KeyStatus::named(text).ok_or_else(|| "give active, retired, suspended or revoked".to_owned())
}

/// One line of the list. Times are empty if they are unknown.
#[derive(Debug, Deserialize, Serialize)]
struct Row {
    key_id: String,
    lifecycle: String,
    owner: String,
    tenant: String,
    environment: String,
    class: String,
    tags: Vec<String>,
    scopes: Vec<String>,
    expires_at: Option<String>,
    rotated_to: String,
    is_canary: bool,
    leaked_at: Option<String>,
    last_used: Option<String>,
    /// Keys that match, beyond the limit too.
    #[serde(skip_serializing)]
    matching: u64,
}

pub async fn run(args: &Args, store: &Store) -> Result<(), CommandError> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let flag = |flag: bool| u8::from(flag).to_string();
    let values = [
        ("key", text(&args.key)),
        ("owner", text(&args.owner)),
        ("tenant", text(&args.tenant)),
        ("environment", text(&args.environment)),
        ("class", text(&args.class)),
        ("tag", text(&args.tag)),
        ("status", args.status.map(KeyStatus::as_str).unwrap_or_default().to_owned()),
        ("expires_within_days", args.expires_within.unwrap_or_default().to_string()),
        ("leaked", flag(args.leaked)),
        ("canary", flag(args.canary)),
        ("limit", args.limit.to_string()),
    ];
    let values: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let rows: Vec<Row> = store.query_rows(SQL, &values).await.map_err(anyhow::Error::from)?;
    print(&if args.json {
        rows.iter().map(as_json).collect::<Result<_, _>>().map_err(anyhow::Error::from)?
    } else {
        listing::rows(|width| table(&rows, width), COLUMNS, rows.iter().map(cells))
    })?;
    listing::tell_of_more(rows.len(), rows.first().map_or(0, |row| row.matching), "keys");
    Ok(())
}

fn as_json(row: &Row) -> serde_json::Result<String> {
    Ok(visible_json(&serde_json::to_string(row)?) + "\n")
}

/// Scripts rely on the order: further columns come last.
const COLUMNS: [&str; 10] = [
    "key_id",
    "lifecycle",
    "owner",
    "tenant",
    "environment",
    "class",
    "tags",
    "expires_at",
    "last_used",
    "leaked_at",
];

fn cells(row: &Row) -> [String; 10] {
    let time = |time: &Option<String>| time.clone().unwrap_or_default();
    [
        visible(&row.key_id),
        row.lifecycle.clone(),
        visible(&row.owner),
        visible(&row.tenant),
        visible(&row.environment),
        visible(&row.class),
        visible(&row.tags.join(",")),
        time(&row.expires_at),
        time(&row.last_used),
        time(&row.leaked_at),
    ]
}

/// Longer values are cut in the table; `show` and `--json` have the whole.
const LONGEST_CELL: usize = 80;

/// A table of at most `width` columns.
fn table(rows: &[Row], width: u16) -> String {
    if rows.is_empty() {
        return "No registered key matches.\n".to_owned();
    }
    let header = ["key", "state", "owner", "environment", "expires", "last used"];
    let widest = [(1, 12), (4, 12), (5, 12)];
    listing::text_of(&listing::table(header, rows.iter().map(line), &widest, width))
}

fn line(row: &Row) -> [String; 6] {
    let day = |time: &Option<String>, without: &str| {
        time.as_deref().and_then(|time| time.get(..10)).unwrap_or(without).to_owned()
    };
    let cut = |text: &str| visible_within(text, LONGEST_CELL);
    let mut state = row.lifecycle.clone();
    if row.is_canary {
        state += "\ncanary";
    }
    if row.leaked_at.is_some() {
        state += "\nleaked";
    }
    [
        cut(&row.key_id),
        state,
        cut(&row.owner),
        cut(&row.environment),
        day(&row.expires_at, "never"),
        day(&row.last_used, "never"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_fits_the_terminal_whatever_the_values_are() {
        let row = |key_id: String| Row {
            key_id,
            lifecycle: "active".into(),
            owner: "a\u{202e}\n\u{1b}[2J".repeat(40),
            tenant: "t".into(),
            environment: "production".into(),
            class: String::new(),
            tags: vec!["partner".into()],
            scopes: Vec::new(),
            expires_at: Some("2026-06-01T00:00:00Z".into()),
            rotated_to: String::new(),
            is_canary: true,
            leaked_at: None,
            last_used: None,
            matching: 2,
        };
        let rows = [row("ak_1".into()), row("x".repeat(5_000))];
        for columns in [60, 80, 120] {
            let table = table(&rows, columns);
            for line in table.lines() {
                assert!(line.chars().count() <= usize::from(columns), "{columns}:\n{table}");
            }
            for hidden in ['\u{202e}', '\u{1b}'] {
                assert!(!table.contains(hidden), "{hidden:?}");
            }
        }
        assert!(table(&rows[..1], 120).contains("2026-06-01"));
        let separated = listing::tab_separated(COLUMNS, rows.iter().map(cells));
        assert!(separated.lines().all(|line| line.split('\t').count() == COLUMNS.len()));
    }
}
