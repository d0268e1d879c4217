//! `keywatch report` prints figures of the last days.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, anyhow};

use super::files::check_outputs;
use super::logs::event_bar;
use super::{CommandError, load_config};
use crate::detect::outlier::Model;
use crate::event::EventTime;
use crate::report::{self, page, text};
use crate::store::Store;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch report -c keywatch.toml
  keywatch report -c keywatch.toml --days 30 --html report.html
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
    let outputs = args.html.iter().map(|path| ("--html", path.as_path()));
    check_outputs(outputs, args.config.as_deref())?;
    let config = load_config(args.config.as_deref())?;
    let model = Model::in_use(&config.models).map_err(|error| CommandError::Usage(error.into()))?;
    let store = Store::new(&config.clickhouse);
    let runtime = super::runtime()?;
    let until = EventTime::now();
    let span = (until.plus_seconds(-86_400.0 * args.days), until);
    let bar = event_bar();
    let report = report::measure(&store, &config, &model, span, |read, total| {
        bar.set_length(total);
        bar.set_position(read);
    });
    let report = runtime.block_on(report).map_err(anyhow::Error::from);
    bar.finish_and_clear();
    let report = report?;
    if let Some(path) = &args.html {
        std::fs::write(path, page::render(&report) + "\n")
            .with_context(|| format!("cannot write the page to {}", path.display()))?;
    }
    let text = if args.json {
        serde_json::to_string_pretty(&report).context("the report as JSON")?
    } else {
        text::render(&report)
    };
    writeln!(anstream::stdout(), "{text}").context("cannot write to standard output")?;
    Ok(())
}
