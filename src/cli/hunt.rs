//! `keywatch hunt` finds stored requests.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::ArgGroup;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use ipnet::IpNet;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::files::check_outputs;
use super::moment::moment;
use super::{CommandError, load_config};
use crate::event::EventTime;
use crate::store::Store;
use crate::text::{visible, visible_json, visible_within};

/// A hunt without any of these would print everything.
const FILTERS: [&str; 5] = ["key", "address", "asn", "client", "route"];

const SQL: &str = include_str!("../../sql/queries/hunt.sql");

#[derive(clap::Args)]
#[command(
    group = ArgGroup::new("filter").required(true).multiple(true).args(FILTERS),
    after_help = "Examples:
  keywatch hunt --key ak_9f2c --since 2026-03-14T02:47:00Z
  keywatch hunt --address 203.0.113.0/24 --since 30d --json | jq -r .key_id | sort | uniq -c
  keywatch hunt --asn 14061 --client python-requests
  keywatch hunt --route 'POST /v1/withdrawals*' --out withdrawals.parquet

Filters narrow each other. The latest requests come first. `docs/ANALYSTS.md` has further questions."
)]
pub struct Args {
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Requests of this key
    #[arg(long, value_name = "KEY_ID")]
    key: Option<String>,
    /// Requests from an address or a network (CIDR)
    #[arg(long, value_name = "ADDRESS", value_parser = place)]
    address: Option<IpNet>,
    /// Requests from this autonomous system
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    asn: Option<u32>,
    /// Requests whose user agent has this part, or with this TLS fingerprint
    #[arg(long, value_name = "TEXT")]
    client: Option<String>,
    /// Requests to a path, with its method or without; `*` stands for any text
    #[arg(long, value_name = "[METHOD ]PATH")]
    route: Option<String>,
    /// Requests since then: a time, or a duration before now (30m, 24h, 7d)
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = moment)]
    since: EventTime,
    /// Requests before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<EventTime>,
    /// Print at most so many; `--out` writes all
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print one JSON object a line
    #[arg(long, conflicts_with = "out")]
    json: bool,
    /// Write all requests to this file: .parquet, .jsonl or .csv
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let format = args.out.as_deref().map(format_of).transpose()?;
    check_outputs(args.out.iter().map(|out| ("--out", out.as_path())), args.config.as_deref())?;
    let store = Store::new(&load_config(args.config.as_deref())?.clickhouse);
    let runtime = super::runtime()?;
    let values = args.values();
    let values: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
    match (&args.out, format) {
        (Some(out), Some(format)) => runtime.block_on(write_file(&store, &values, out, format)),
        _ => runtime.block_on(print(&store, &values, args)),
    }
}

impl Args {
    /// The values of the query's parameters.
    fn values(&self) -> Vec<(&'static str, String)> {
        let (method, path) = self.route.as_deref().map_or_else(Default::default, route);
        let single = self.address.filter(|net| net.prefix_len() == net.max_prefix_len());
        let network = self.address.filter(|_| single.is_none());
        let limit = if self.out.is_some() { u64::MAX } else { self.limit.into() };
        let mut values = vec![
            ("key", self.key.clone().unwrap_or_default()),
            ("address", single.map(|net| net.addr().to_string()).unwrap_or_default()),
            ("network", network.map(|net| net.trunc().to_string()).unwrap_or_default()),
            ("asn", self.asn.unwrap_or_default().to_string()),
            ("client", self.client.clone().unwrap_or_default()),
            ("method", method),
            ("since", self.since.as_micros().to_string()),
            ("limit", limit.to_string()),
        ];
        values.extend(self.route.is_some().then_some(("route", path)));
        values.extend(self.until.map(|until| ("until", until.as_micros().to_string())));
        values
    }
}

/// ClickHouse's format of a file.
fn format_of(path: &Path) -> Result<&'static str, CommandError> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("parquet") => Ok("Parquet"),
        Some("jsonl") => Ok("JSONEachRow"),
        Some("csv") => Ok("CSVWithNames"),
        _ => Err(CommandError::Usage(anyhow!(
            "--out {}: give a file that ends in .parquet, .jsonl or .csv",
            path.display()
        ))),
    }
}

async fn write_file(
    store: &Store,
    values: &[(&str, &str)],
    path: &Path,
    format: &str,
) -> Result<(), CommandError> {
    let cannot = || format!("cannot write to {}", path.display());
    let mut file = BufWriter::new(File::create(path).with_context(cannot)?);
    let bytes = store.copy_query(SQL, values, format, &mut file).await.with_context(cannot)?;
    file.flush().with_context(cannot)?;
    anstream::eprintln!("{}: {bytes} bytes", path.display());
    Ok(())
}

async fn print(store: &Store, values: &[(&str, &str)], args: &Args) -> Result<(), CommandError> {
    let text = if args.json {
        let rows: Vec<serde_json::Value> = load(store, values).await?;
        rows.iter().map(|row| visible_json(&row.to_string()) + "\n").collect()
    } else {
        let rows: Vec<Row> = load(store, values).await?;
        if rows.len() == args.limit as usize {
            anstream::eprintln!(
                "the latest {} requests are shown; --limit shows more, --out writes all",
                args.limit
            );
        }
        if io::stdout().is_terminal() {
            // A terminal that does not know its size says 0.
            table(&rows, Table::new().width().filter(|width| *width > 0).unwrap_or(80))
        } else {
            tab_separated(&rows)
        }
    };
    anstream::stdout().write_all(text.as_bytes()).context("cannot write to standard output")?;
    Ok(())
}

async fn load<T: DeserializeOwned>(
    store: &Store,
    values: &[(&str, &str)],
) -> anyhow::Result<Vec<T>> {
    Ok(store.query_rows(SQL, values).await?)
}

/// The columns that are printed. `--json` and `--out` have all.
#[derive(Clone, Debug, Default, Deserialize)]
struct Row {
    time: String,
    key_id: String,
    address: String,
    asn: u32,
    as_name: String,
    country: String,
    method: String,
    path: String,
    status: u16,
    user_agent: String,
}

impl Row {
    fn network(&self) -> String {
        let parts = [
            if self.asn == 0 { String::new() } else { format!("AS{}", self.asn) },
            visible_within(&self.as_name, LONGEST_CELL),
            self.country.clone(),
        ];
        parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" ")
    }

    fn request(&self) -> String {
        visible_within(&format!("{} {}", self.method, self.path), LONGEST_CELL)
    }

    fn cells(&self) -> [String; 7] {
        [
            self.time.clone(),
            visible(&self.key_id),
            self.address.clone(),
            self.network(),
            visible(&format!("{} {}", self.method, self.path)),
            self.status.to_string(),
            visible(&self.user_agent),
        ]
    }
}

/// Longer values are cut in the table.
const LONGEST_CELL: usize = 80;

/// The tab-separated form. Scripts rely on the order: further columns come last.
const COLUMNS: [&str; 7] =
    ["time", "key_id", "address", "network", "request", "status", "user_agent"];

fn tab_separated(rows: &[Row]) -> String {
    let header = COLUMNS.join("\t") + "\n";
    rows.iter().fold(header, |text, row| text + &row.cells().join("\t") + "\n")
}

/// A table of at most `width` columns.
fn table(rows: &[Row], width: u16) -> String {
    if rows.is_empty() {
        return "No stored request matches.\n".to_owned();
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(["time", "key", "from", "request", "status"])
        .add_rows(rows.iter().map(line));
    // Words that are compared down the column stay whole; the request takes what is left.
    for (column, widest) in [(0, 21), (4, 8)] {
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(widest)));
        }
    }
    table.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

fn line(row: &Row) -> [String; 5] {
    let client = visible_within(&row.user_agent, LONGEST_CELL);
    [
        row.time.get(..19).unwrap_or(&row.time).to_owned(),
        visible_within(&row.key_id, LONGEST_CELL),
        format!("{}\n{}", row.address, row.network()),
        format!("{}\n{client}", row.request()),
        row.status.to_string(),
    ]
}

/// An address is a network of its own.
fn place(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address.or_else(|_| text.parse()).map_err(|_| {
        "give an address (203.0.113.7, 2001:db8::1) or a network (203.0.113.0/24)".to_owned()
    })
}

/// Splits a route into its method, if it has one, and its path as a pattern of `LIKE`.
fn route(text: &str) -> (String, String) {
    let (method, path) = match text.split_once(' ') {
        Some((method, path)) => (method.to_ascii_uppercase(), path),
        None => (String::new(), text),
    };
    let pattern = path.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    (method, pattern.replace('*', "%"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_a_method_and_a_pattern_whose_only_wildcard_is_the_star() {
        assert_eq!(route("get /v1/a_b*"), ("GET".into(), "/v1/a\\_b%".into()));
        assert_eq!(route("/100%"), (String::new(), "/100\\%".into()));
    }

    #[test]
    fn an_address_is_read_as_a_network_of_one() {
        assert_eq!(place("203.0.113.7").unwrap().to_string(), "203.0.113.7/32");
        assert_eq!(place("2001:db8::/32").unwrap().to_string(), "2001:db8::/32");
        assert!(place("203.0.113").is_err());
    }

    #[test]
    fn the_table_fits_the_terminal_whatever_the_values_are() {
        let long = "x".repeat(3_000);
        let rows = [
            Row { key_id: long.clone(), path: long, ..Row::default() },
            Row { user_agent: "a\u{202e}\u{1b}[2J\n".into(), ..Row::default() },
        ];
        for columns in [60, 80, 160] {
            let table = table(&rows, columns);
            let widest = table.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= usize::from(columns), "{table}");
            assert!(!table.contains(['\u{202e}', '\u{1b}']), "{table}");
        }
        assert_eq!(tab_separated(&rows).lines().count(), 3);
    }
}
