//! `keywatch report` prints figures of the last days.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::alerts::print;
use super::files::check_outputs;
use super::logs::event_bar;
use super::moment::moment;
use super::{CommandError, load_config};
use crate::config::Config;
use crate::detect::outlier::Model;
use crate::event::EventTime;
use crate::report::{self, compliance, page, text};
use crate::store::Store;
use crate::text::visible_json;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch report -c keywatch.toml
  keywatch report -c keywatch.toml --days 30 --html report.html
  keywatch report -c keywatch.toml --from 2026-10-01 --to 2027-01-01 --html q4.html --csv q4.csv
  keywatch report -c keywatch.toml --from 90d --json | jq .sections.times
  keywatch report -c keywatch.toml --json | jq '.features[] | select(.stability_index > 0.25)'

The stability index compares what windows of keys are like with what they were like when the
model was trained: below 0.1 little has changed, above 0.25 much has. A tail that is measured far
above what is promised says that the model is too sure of itself: p-values of rate, outcome and behaviour
are raised to what was measured.")]
pub struct Args {
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Days to look back, as far as events are kept
    #[arg(long, default_value_t = 7.0, value_name = "DAYS")]
    days: f64,
    /// Report on keys, incidents, times and actions since then: a time (2026-10-01) or a duration (90d)
    #[arg(long, value_name = "TIME", conflicts_with = "days", value_parser = moment)]
    from: Option<EventTime>,
    /// End of that report [default: now]
    #[arg(long, value_name = "TIME", requires = "from", value_parser = moment)]
    to: Option<EventTime>,
    /// Write that report's figures to this file, one a line
    #[arg(long, requires = "from", value_name = "OUT.csv")]
    csv: Option<PathBuf>,
    /// Keys that are older count as overdue
    #[arg(long, requires = "from", default_value_t = 90, value_name = "DAYS")]
    rotate_every_days: u32,
    /// Write the figures to this file as a page
    #[arg(long, value_name = "OUT.html")]
    html: Option<PathBuf>,
    /// Print all figures as JSON instead of tables
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    if !(args.days > 0.0 && args.days.is_finite()) {
        return Err(CommandError::Usage(anyhow!("--days {}: give more than 0", args.days)));
    }
    let html = args.html.iter().map(|path| ("--html", path.as_path()));
    let outputs = html.chain(args.csv.iter().map(|path| ("--csv", path.as_path())));
    check_outputs(outputs, args.config.as_deref())?;
    let config = load_config(args.config.as_deref())?;
    match args.from {
        Some(from) => comply(args, &config, from),
        None => fit(args, &config),
    }
}

/// What became of keys, incidents and actions.
fn comply(args: &Args, config: &Config, from: EventTime) -> Result<(), CommandError> {
    let to = args.to.unwrap_or_else(EventTime::now);
    if from >= to {
        return Err(CommandError::Usage(anyhow!("--from {from}: give a time before {to}")));
    }
    let store = Store::new(&config.clickhouse);
    let report = compliance::measure(&store, (from, to), args.rotate_every_days);
    let report = super::runtime()?.block_on(report).map_err(anyhow::Error::from)?;
    if let Some(path) = &args.html {
        write(path, compliance::page::render(&report) + "\n")?;
    }
    if let Some(path) = &args.csv {
        write(path, compliance::csv::render(&report).context("the report as CSV")?)?;
    }
    print(&if args.json {
        let json = serde_json::to_string_pretty(&report).context("the report as JSON")?;
        visible_json(&json) + "\n"
    } else {
        compliance::text::render(&report)
    })
}

fn write(path: &Path, text: String) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Whether promises were kept and the models still fit.
fn fit(args: &Args, config: &Config) -> Result<(), CommandError> {
    let model = Model::in_use(&config.models).map_err(|error| CommandError::Usage(error.into()))?;
    let store = Store::new(&config.clickhouse);
    let runtime = super::runtime()?;
    let until = EventTime::now();
    let span = (until.plus_seconds(-86_400.0 * args.days), until);
    let bar = event_bar();
    let report = report::measure(&store, config, &model, span, |read, total| {
        bar.set_length(total);
        bar.set_position(read);
    });
    let report = runtime.block_on(report).map_err(anyhow::Error::from);
    bar.finish_and_clear();
    let report = report?;
    if let Some(path) = &args.html {
        write(path, page::render(&report) + "\n")?;
    }
    let text = if args.json {
        serde_json::to_string_pretty(&report).context("the report as JSON")?
    } else {
        text::render(&report)
    };
    print(&(text + "\n"))
}
