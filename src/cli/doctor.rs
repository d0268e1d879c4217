//! `keywatch doctor` examines a sample of a log: what can be judged, and what is missing.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use comfy_table::Table;

use super::logs::{RegistryArgs, allow_large_records, choose_format};
use super::{CommandError, inputs, load_config};
use crate::doctor::{self, Diagnosis, DoctorError, Extent};
use crate::event::EventTime;
use crate::source::SourceError;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch doctor --input access.jsonl
  keywatch doctor --input /var/log/kong/ --format kong
  keywatch doctor --input trail.json -c keywatch.toml --json
  keywatch doctor --topic api-access -c keywatch.toml

The beginning of each file is read: of all files together 300,000 records or 128 MiB. Of a topic, as
much is read from its end, with the brokers and the credentials of [source.kafka]; the service's
group is not joined, and nothing is committed. Nothing is stored, and secrets are masked. The exit
code is 1 if nothing can be judged, as in a log that names no key.")]
pub struct Args {
    /// Logs; plain, gzip, zstd or bzip2, or .parquet; also directories and patterns
    #[arg(long, required_unless_present = "topic", num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
    /// A Kafka topic instead of files
    #[arg(long, conflicts_with = "input")]
    topic: Option<String>,
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
    let now = EventTime::now();
    let diagnosis = match &args.topic {
        Some(topic) => doctor::examine_topic(topic, Extent::SAMPLE, &config, now)?,
        None => doctor::examine(&inputs::files(&args.input)?, Extent::SAMPLE, &config, now)?,
    };
    let text = if args.json { json(&diagnosis)? } else { doctor::render(&diagnosis, width()) };
    let mut out = anstream::stdout();
    out.write_all(text.as_bytes()).context("cannot write to standard output")?;
    match diagnosis.failure() {
        Some(reason) => Err(CommandError::Failure(anyhow!(reason))),
        None => Ok(()),
    }
}

fn json(diagnosis: &Diagnosis) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(diagnosis).context("cannot write JSON")? + "\n")
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
