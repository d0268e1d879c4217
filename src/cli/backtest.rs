//! `keywatch backtest`

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};

use super::files::check_outputs;
use super::{CommandError, load_config};
use crate::alert::Alert;
use crate::backtest::{self, Outcome, labels, page, report::Report};
use crate::config::Config;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch backtest --input access.jsonl --alerts alerts.jsonl
  keywatch backtest --input day1.jsonl.gz day2.jsonl.zst --geo-city city.mmdb --geo-asn asn.csv
  keywatch backtest --input log.jsonl --labels attacks.jsonl --report report.html --report report.json")]
pub struct Args {
    /// Logs, oldest first: .jsonl, .jsonl.gz, .jsonl.zst, .parquet
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
    /// Log format, instead of the configuration's
    #[arg(long)]
    format: Option<String>,
    /// City databases (.mmdb), instead of the configuration's
    #[arg(long, num_args = 1.., value_name = "MMDB")]
    geo_city: Vec<PathBuf>,
    /// AS databases (.mmdb or .csv), instead of the configuration's
    #[arg(long, num_args = 1.., value_name = "FILE")]
    geo_asn: Vec<PathBuf>,
    /// The key registry (.csv, else one JSON object a line), instead of the configuration's
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write alerts here, one JSON object a line; `-` for standard output
    #[arg(long, value_name = "OUT.jsonl")]
    alerts: Option<PathBuf>,
    /// Known attacks to measure against
    #[arg(long, value_name = "L.jsonl")]
    labels: Option<PathBuf>,
    /// Write the figures here, as a page or as JSON by the name's end; may be given twice
    #[arg(long, value_name = "OUT.{html,json}")]
    report: Vec<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let config = configure(args)?;
    let reports = args.report.iter().map(|path| Ok((path, format_of(path)?)));
    let reports: Vec<(&PathBuf, Format)> = reports.collect::<Result<_, CommandError>>()?;
    check_outputs(args.outputs(), args.inputs())?;
    let labels = match &args.labels {
        Some(path) => labels::read(path).map_err(|error| CommandError::Usage(anyhow!(error)))?,
        None => Vec::new(),
    };
    let begin = Instant::now();
    let bar = progress_bar();
    let outcome = backtest::run(&args.input, &config, &labels, |progress| {
        bar.set_length(progress.total_bytes());
        bar.set_position(progress.read_bytes());
    });
    bar.finish_and_clear();
    let outcome = outcome?;
    if let Some(path) = &args.alerts {
        write_alerts(path, &outcome.alerts)?;
    }
    for (path, format) in reports {
        write_report(path, format, &outcome.report)?;
    }
    summarize(&outcome, begin.elapsed().as_secs_f64());
    Ok(())
}

impl Args {
    fn outputs(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let alerts = self.alerts.iter().map(|path| ("--alerts", path.as_path()));
        alerts.chain(self.report.iter().map(|path| ("--report", path.as_path())))
    }

    fn inputs(&self) -> impl Iterator<Item = &Path> {
        let lists = [&self.input, &self.geo_city, &self.geo_asn].into_iter().flatten();
        let files = [&self.labels, &self.keys, &self.config].into_iter().flatten();
        lists.chain(files).map(PathBuf::as_path)
    }
}

fn configure(args: &Args) -> Result<Config, CommandError> {
    let mut config = load_config(args.config.as_deref())?;
    if let Some(format) = &args.format {
        config.decode.format.clone_from(format);
    }
    if let Some(path) = &args.keys {
        config.detect.registry_file = Some(path.clone());
    }
    if !args.geo_city.is_empty() {
        config.enrich.city_databases.clone_from(&args.geo_city);
    }
    if !args.geo_asn.is_empty() {
        config.enrich.asn_databases.clone_from(&args.geo_asn);
    }
    Ok(config)
}

pub(super) fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn write_alerts(path: &Path, alerts: &[Alert]) -> anyhow::Result<()> {
    let context = || format!("cannot write alerts to {}", path.display());
    let target: Box<dyn Write> = if path == Path::new("-") {
        Box::new(std::io::stdout().lock())
    } else {
        Box::new(File::create(path).with_context(context)?)
    };
    let mut out = BufWriter::new(target);
    for alert in alerts {
        serde_json::to_writer(&mut out, alert).with_context(context)?;
        out.write_all(b"\n").with_context(context)?;
    }
    out.flush().with_context(context)
}

#[derive(Clone, Copy)]
enum Format {
    Html,
    Json,
}

/// Asked before the long work, so that a mistyped name costs nothing.
fn format_of(path: &Path) -> Result<Format, CommandError> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("html" | "htm") => Ok(Format::Html),
        Some("json") => Ok(Format::Json),
        _ => Err(CommandError::Usage(anyhow!(
            "--report {}: the name must end in .html (a page to read) or .json (all figures)",
            path.display()
        ))),
    }
}

fn write_report(path: &Path, format: Format, report: &Report) -> anyhow::Result<()> {
    let context = || format!("cannot write the report to {}", path.display());
    let mut text = match format {
        Format::Html => page::render(report),
        Format::Json => serde_json::to_string_pretty(report).with_context(context)?,
    };
    text.push('\n');
    std::fs::write(path, text).with_context(context)
}

/// A few lines for the person at the terminal; on standard error, so that alerts on
/// standard output stay clean.
fn summarize(outcome: &Outcome, seconds: f64) {
    let report = &outcome.report;
    let volume = &report.volume;
    anstream::eprintln!(
        "{} events of {} keys over {:.1} days in {seconds:.1} s ({:.0} events/s); {} rejected, \
         {} redelivered",
        volume.events,
        volume.keys,
        volume.days,
        volume.events as f64 / seconds.max(1e-9),
        volume.rejections,
        volume.redelivered
    );
    for rejection in &outcome.rejections {
        anstream::eprintln!("  rejected {rejection}");
    }
    if volume.events == 0 && volume.rejections > 0 {
        anstream::eprintln!(
            "Not one line could be read. Is it the right `--format`? The README shows a line."
        );
    }
    let severities: Vec<String> = report
        .incidents_by_severity
        .iter()
        .rev()
        .map(|(severity, count)| format!("{count} {severity}"))
        .collect();
    let by_severity = if severities.is_empty() { "" } else { ": " };
    anstream::eprintln!("{} incidents{by_severity}{}", report.incidents, severities.join(", "));
    for at in report.at_severity.iter().filter(|at| at.labels > 0) {
        anstream::eprintln!(
            "  {:>8} and above: {} of {} attacks found, {} false incidents \
             ({:.2} per 1,000 key-days)",
            at.severity,
            at.found,
            at.labels,
            at.false_incidents,
            at.false_alerts_per_1000_key_days
        );
    }
}
