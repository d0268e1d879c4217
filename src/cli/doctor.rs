//! `keywatch doctor` examines a sample of a log: what can be judged, and what is missing.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use comfy_table::Table;
use serde::Serialize;

use super::logs::{RegistryArgs, allow_large_records, choose_format};
use super::{CommandError, inputs, load_config};
use crate::config::Config;
use crate::doctor::{self, ClusterHealth, Diagnosis, DoctorError, Extent};
use crate::event::EventTime;
use crate::source::SourceError;
use crate::store::Store;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch doctor --input access.jsonl
  keywatch doctor --input /var/log/kong/ --format kong
  keywatch doctor --input trail.json -c keywatch.toml --json
  keywatch doctor --topic api-access -c keywatch.toml
  keywatch doctor --cluster -c keywatch.toml

The beginning of each file is read: of all files together 300,000 records or 128 MiB. Of a topic, as
much is read from its end, with the brokers and the credentials of [source.kafka]; the service's
group is not joined, and nothing is committed. Nothing is stored, and secrets are masked.

If the configuration names a cluster of ClickHouse, each of its nodes is asked: whether it answers,
has the same tables and all migrations, how late it is, and whether there is a quorum.

The exit code is 1 if nothing can be judged, as in a log that names no key, or nothing stored.")]
pub struct Args {
    /// Logs; plain, gzip, zstd or bzip2, or .parquet; also directories and patterns
    #[arg(long, required_unless_present_any = ["topic", "cluster"], num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
    /// A Kafka topic instead of files
    #[arg(long, conflicts_with = "input")]
    topic: Option<String>,
    /// The cluster of ClickHouse alone
    #[arg(long, conflicts_with_all = ["input", "topic"])]
    cluster: bool,
    /// Log format (`keywatch formats list`), instead of the configuration's; `auto` takes for each
    /// log the one that finds most of the required fields
    #[arg(long)]
    format: Option<String>,
    #[command(flatten)]
    registry: RegistryArgs,
    /// The configuration that the log is meant for
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print all figures as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let mut config = load_config(args.config.as_deref())?;
    choose_format(&mut config.decode, args.format.as_deref());
    args.registry.apply_to(&mut config);
    if args.topic.is_none() {
        allow_large_records(&mut config.decode);
    }
    let examined =
        Examined { log: examine_log(args, &config)?, cluster: examine_cluster(args, &config)? };
    let text = if args.json { json(&examined)? } else { examined.render(width()) };
    let mut out = anstream::stdout();
    out.write_all(text.as_bytes()).context("cannot write to standard output")?;
    match examined.failure() {
        Some(reason) => Err(CommandError::Failure(anyhow!(reason))),
        None => Ok(()),
    }
}

/// What was examined.
#[derive(Serialize)]
struct Examined {
    #[serde(flatten)]
    log: Option<Diagnosis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<ClusterHealth>,
}

impl Examined {
    fn render(&self, width: usize) -> String {
        let log = self.log.as_ref().map(|log| doctor::render(log, width));
        let cluster = self.cluster.as_ref().map(|it| doctor::render_cluster(it, width));
        log.unwrap_or_default() + &cluster.unwrap_or_default()
    }

    fn failure(&self) -> Option<String> {
        let of_log = self.log.as_ref().and_then(Diagnosis::failure);
        of_log.or_else(|| self.cluster.as_ref()?.failure())
    }
}

fn examine_log(args: &Args, config: &Config) -> Result<Option<Diagnosis>, CommandError> {
    if args.cluster {
        return Ok(None);
    }
    let now = EventTime::now();
    Ok(Some(match &args.topic {
        Some(topic) => doctor::examine_topic(topic, Extent::SAMPLE, config, now)?,
        None => doctor::examine(&inputs::files(&args.input)?, Extent::SAMPLE, config, now)?,
    }))
}

fn examine_cluster(args: &Args, config: &Config) -> Result<Option<ClusterHealth>, CommandError> {
    let Some(name) = &config.clickhouse.cluster else {
        let advice = "--cluster needs a cluster: name it in `cluster` in [clickhouse]";
        return if args.cluster { Err(CommandError::Usage(anyhow!(advice))) } else { Ok(None) };
    };
    let store = Store::new(&config.clickhouse);
    // A log is judged though the database is away.
    Ok(Some(match super::runtime()?.block_on(store.cluster_nodes()) {
        Ok(nodes) => ClusterHealth::of(name, &nodes),
        Err(error) => ClusterHealth::unknown(name, error.to_string()),
    }))
}

fn json(examined: &Examined) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(examined).context("cannot write JSON")? + "\n")
}

/// The width of the terminal, and of a page where there is none.
fn width() -> usize {
    const PAGE: usize = 100;
    let terminal = Table::new().width().filter(|_| std::io::stdout().is_terminal());
    terminal.map_or(PAGE, usize::from)
}

impl From<DoctorError> for CommandError {
    fn from(error: DoctorError) -> Self {
        match error {
            DoctorError::Decode(_) | DoctorError::Source(SourceError::KafkaSettings(_)) => {
                Self::Usage(error.into())
            }
            DoctorError::Source(_) => Self::Failure(error.into()),
        }
    }
}
