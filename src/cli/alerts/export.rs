//! `keywatch alerts export`: an incident with everything that belongs to it, in one archive.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use serde_json::json;

use super::acting::unknown_incident;
use super::print;
use crate::alert::Alert;
use crate::casework::{self, Case};
use crate::cli::CommandError;
use crate::cli::bundle::{self, Manifest, Writer};
use crate::cli::files::check_outputs;
use crate::cli::moment::seconds;
use crate::event::{EventTime, SitePrefix};
use crate::facts::plain_id;
use crate::store::Store;
use crate::text::counted;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch alerts export inc_9c0f6a1b2d3e4f5061728394 --out case.tar.gz
  keywatch alerts export inc_9c0f6a1b2d3e4f5061728394 --out case.tar.gz --past 30d
  keywatch backtest --case case.tar.gz -c keywatch.toml

The archive holds personal data (addresses, paths, owners of keys, names of colleagues), and no raw key:
docs/RESPONSE.md lists it. Only you may read the file.")]
pub struct Args {
    /// The id, as the mail, the webhook and `alerts list` show it
    id: String,
    /// The archive, a .tar.gz
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Requests before the incident that the replay learns from
    #[arg(long, default_value = "14d", value_name = "DURATION", value_parser = duration)]
    past: f64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const REQUESTS: &str = include_str!("../../../sql/case/requests.sql");
const PLACES: &str = include_str!("../../../sql/case/places.sql");
const KEYS: &str = include_str!("../../../sql/case/keys.sql");

/// What people and the service did, each as a file.
const DECISIONS: [(&str, &str); 4] = [
    ("acts.jsonl", "SELECT * FROM incident_acts WHERE incident = {id:String} ORDER BY time, id"),
    (
        "deliveries.jsonl",
        "SELECT * FROM deliveries FINAL WHERE alert_id = {id:String} \
            ORDER BY time, channel, revision, attempt",
    ),
    (
        "requests_to_act.jsonl",
        "SELECT * EXCEPT (alert) FROM revocation_requests WHERE incident = {id:String} \
            ORDER BY number",
    ),
    (
        "key_events.jsonl",
        "SELECT * FROM key_events WHERE {key:String} != '' AND key_id = {key:String} \
            ORDER BY number",
    ),
];

pub async fn run(args: &Args, store: &Store) -> Result<(), CommandError> {
    check_outputs([("--out", args.out.as_path())], [])?;
    let cases = casework::load(store, &[&args.id]).await.map_err(anyhow::Error::from)?;
    let case = cases.get(&args.id).ok_or_else(|| unknown_incident(&args.id))?;
    let manifest = write(args, case, store).await?;
    let (count, id) = (manifest.requests, plain_id(case.latest()));
    print(&if args.json {
        json!({ "id": id, "out": args.out, "case": manifest }).to_string() + "\n"
    } else {
        let requests = counted(count as usize, "request");
        format!(
            "{id}: {requests} since {:.19}Z in {}\n",
            manifest.since.to_string(),
            args.out.display()
        )
    })
}

async fn write(args: &Args, case: &Case, store: &Store) -> anyhow::Result<Manifest> {
    let scope = Scope::of(case, args.past);
    let cannot = || format!("cannot write {}", args.out.display());
    let (requests, count) = scope.requests(store).await?;
    let manifest = Manifest::new(&args.id, (scope.since, scope.until), count);
    let mut writer = Writer::create(&args.out).with_context(cannot)?;
    writer.add(bundle::MANIFEST, &serde_json::to_vec_pretty(&manifest)?).with_context(cannot)?;
    writer.add(bundle::ALERTS, &lines(&case.revisions)?).with_context(cannot)?;
    writer.add_file(bundle::REQUESTS, &requests).with_context(cannot)?;
    for (name, sql) in [(bundle::PLACES, PLACES), (bundle::KEYS, KEYS)] {
        let rows =
            if scope.is_empty() { Vec::new() } else { rows(store, sql, &scope.values()).await? };
        writer.add(name, &rows).with_context(cannot)?;
    }
    let key = scope.key.as_str();
    for (name, sql) in DECISIONS {
        let rows = rows(store, sql, &[("id", args.id.as_str()), ("key", key)]).await?;
        writer.add(name, &rows).with_context(cannot)?;
    }
    writer.finish().with_context(cannot)?;
    Ok(manifest)
}

async fn rows(store: &Store, sql: &str, values: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
    let mut rows = Vec::new();
    store.copy_query(sql, values, "JSONEachRow", &mut rows).await?;
    Ok(rows)
}

fn lines(alerts: &[Alert]) -> serde_json::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for alert in alerts {
        serde_json::to_writer(&mut lines, alert)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// The requests that belong to an incident: those that name its key, or come from its source.
struct Scope {
    key: String,
    network: String,
    since: EventTime,
    until: EventTime,
    bounds: [String; 2],
}

impl Scope {
    fn of(case: &Case, past: f64) -> Self {
        let alerts = &case.revisions;
        let first = alerts.iter().map(|alert| alert.first_event_time).min().unwrap_or_default();
        let until = alerts.iter().map(|alert| alert.last_event_time).max().unwrap_or_default();
        let latest = case.latest();
        let network = latest.source_ip.map(|ip| SitePrefix::of(ip).net().to_string());
        let since = first.plus_seconds(-past);
        Self {
            key: latest.key_id.as_deref().unwrap_or_default().to_owned(),
            network: network.filter(|_| latest.key_id.is_none()).unwrap_or_default(),
            bounds: [since, until].map(|time| time.as_micros().to_string()),
            since,
            until,
        }
    }

    /// An incident about the monitor or the whole fleet has no requests of its own.
    fn is_empty(&self) -> bool {
        self.key.is_empty() && self.network.is_empty()
    }

    fn values(&self) -> [(&'static str, &str); 4] {
        let [since, until] = &self.bounds;
        [("key", &self.key), ("network", &self.network), ("since", since), ("until", until)]
    }

    /// The requests in a file without a name, and their number.
    async fn requests(&self, store: &Store) -> anyhow::Result<(File, u64)> {
        let mut out = Counted { file: tempfile::tempfile()?, lines: 0 };
        if !self.is_empty() {
            store.copy_query(REQUESTS, &self.values(), "JSONEachRow", &mut out).await?;
        }
        let mut file = out.file;
        std::io::Seek::rewind(&mut file)?;
        Ok((file, out.lines))
    }
}

/// Counts the lines that are written.
struct Counted {
    file: File,
    lines: u64,
}

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.lines += bytes[..written].iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

fn duration(text: &str) -> Result<f64, String> {
    let read = seconds(text).ok_or_else(|| anyhow!("give a duration (24h, 14d)"));
    read.map_err(|error| error.to_string())
}
