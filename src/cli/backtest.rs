//! `keywatch backtest` replays log files through the detectors.

mod case;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, anyhow};

use super::bundle::{self, Unpacked};
use super::files::check_outputs;
use super::logs::{ReadingArgs, RegistryArgs, ReportFormat, check_read_twice, progress_bar};
use super::{CommandError, inputs, load_config};
use crate::alert::Alert;
use crate::backtest::figures::{Report, Volume};
use crate::backtest::{self, Outcome, page};
use crate::config::Config;
use crate::doctor::{self, Extent};
use crate::event::EventTime;
use crate::text::{counted, plural};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch backtest --input access.jsonl --alerts alerts.jsonl
  keywatch backtest --input trail.json.gz --format cloudtrail
  keywatch backtest --input day1.jsonl.gz day2.jsonl.zst --geo-city city.mmdb --geo-asn asn.csv
  keywatch backtest --input log.jsonl --labels attacks.jsonl --report report.html --report report.json
  keywatch backtest --case case.tar.gz -c keywatch.toml")]
pub struct Args {
    /// Logs, oldest first; plain, gzip, zstd or bzip2, or .parquet; also directories and patterns
    #[arg(long, required_unless_present = "case", num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
    /// An incident that `keywatch alerts export` wrote; its requests are replayed, with the places
    /// and keys as they were known
    #[arg(long, conflicts_with_all = ["input", "format", "geo_city", "geo_asn"], value_name = "CASE.tar.gz")]
    case: Option<PathBuf>,
    #[command(flatten)]
    reading: ReadingArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write alerts to this file, one JSON object a line; `-` for standard output
    #[arg(long, value_name = "OUT.jsonl")]
    alerts: Option<PathBuf>,
    /// Write the figures to this file, as a page (.html) or as JSON (.json); may be given twice
    #[arg(long, value_name = "OUT.{html,json}")]
    report: Vec<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let mut config = load_config(args.config.as_deref())?;
    args.reading.apply_to(&mut config);
    args.registry.apply_to(&mut config);
    let case = args.case.as_deref().map(Unpacked::open).transpose()?;
    if let Some(case) = &case {
        case::apply(case, args.registry.keys.is_some(), &mut config);
    }
    let reports = args.report.iter().map(|path| Ok((path, ReportFormat::of(path)?)));
    let reports: Vec<(&PathBuf, ReportFormat)> = reports.collect::<Result<_, CommandError>>()?;
    let logs = match &case {
        Some(case) => vec![case.path(bundle::REQUESTS)],
        None => inputs::files(&args.input)?,
    };
    let inputs = logs.iter().chain(&args.case).map(PathBuf::as_path).chain(args.reading.files());
    let inputs = inputs.chain(args.registry.keys.as_deref()).chain(args.config.as_deref());
    check_outputs(args.outputs(), inputs)?;
    let labels = args.reading.read_labels()?;
    glance(&logs, &config);
    let begin = Instant::now();
    let bar = progress_bar();
    let outcome = backtest::run(&logs, &config, &labels, |progress| {
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
    check_read(&outcome.report.volume)?;
    case.map_or(Ok(()), |case| case::compare(&case, &outcome.alerts))
}

/// Says in a few lines whether the logs are fit to be judged, before the work begins. Errors are
/// left to the run itself. A pipe could not be read again.
fn glance(inputs: &[PathBuf], config: &Config) {
    if check_read_twice(inputs).is_ok()
        && let Ok(diagnosis) = doctor::examine(inputs, Extent::GLANCE, config, EventTime::now())
    {
        anstream::eprint!("{}", doctor::summary(&diagnosis));
    }
}

impl Args {
    fn outputs(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let alerts = self.alerts.iter().map(|path| ("--alerts", path.as_path()));
        alerts.chain(self.report.iter().map(|path| ("--report", path.as_path())))
    }
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

fn write_report(path: &Path, format: ReportFormat, report: &Report) -> anyhow::Result<()> {
    let context = || format!("cannot write the report to {}", path.display());
    let mut text = match format {
        ReportFormat::Html => page::render(report),
        ReportFormat::Json => serde_json::to_string_pretty(report).with_context(context)?,
    };
    text.push('\n');
    std::fs::write(path, text).with_context(context)
}

/// The consequence of a field that could not be read.
fn blind(field: &str) -> &'static str {
    match field {
        "client_time" => ": stale requests cannot be seen",
        "nonce" | "signature" => ": replays cannot be seen",
        "bytes_out" => ": exports cannot be seen",
        _ => "",
    }
}

/// # Errors
/// Nothing could be judged, which a script must notice.
fn check_read(volume: &Volume) -> Result<(), CommandError> {
    let reason = match volume {
        Volume { events: 1.., .. } => return Ok(()),
        Volume { rejections: 1.., .. } => {
            "not one record could be read; `keywatch formats list` names the formats"
        }
        Volume { skipped: 1.., .. } => "the format leaves out every record of the log",
        _ => "nothing was read: the log is empty",
    };
    Err(CommandError::Failure(anyhow!(reason)))
}

/// Prints a few lines for the person at the terminal, on standard error, so that standard output
/// holds nothing but alerts.
fn summarize(outcome: &Outcome, seconds: f64) {
    let report = &outcome.report;
    let volume = &report.volume;
    anstream::eprintln!(
        "{} {} of {} over {:.1} days in {seconds:.1} s ({:.0} events/s); {} rejected, {} \
         redelivered",
        volume.events,
        plural(volume.events, "event"),
        counted(volume.keys, "key"),
        volume.days,
        volume.events as f64 / seconds.max(1e-9),
        volume.rejections,
        volume.redelivered
    );
    for format in &outcome.formats {
        anstream::eprintln!("  {format}");
    }
    if volume.skipped > 0 {
        anstream::eprintln!("  {} requests that the format leaves out", volume.skipped);
    }
    for warning in &outcome.warnings {
        anstream::eprintln!("  {warning}");
    }
    for rejection in &outcome.rejections {
        anstream::eprintln!("  rejected {rejection}");
    }
    for (field, number) in &volume.fields_left_out {
        anstream::eprintln!(
            "  `{field}` of {number} events could not be read and is absent there{}",
            blind(field)
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
