//! `keywatch generate` writes labelled traffic.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp};

use super::CommandError;
use super::files::check_outputs;
use crate::event::EventTime;
use crate::generate::{
    AttackKind, Character, ConfuserKind, GeneratedEvent, Generator, JsonLines, Kind, Label, Plan,
    Selection,
};

const EXAMPLES: &str = "\
Examples:
  Three days of 400 keys with every attack and every confuser:
    keywatch generate --keys 400 --hours 72 --seed 7 \\
      --out traffic.jsonl.zst --labels labels.jsonl --keys-out keys.jsonl
  Crowds alone, and what every key plays:
    keywatch generate --keys 40 --hours 72 --characters app_crowd,web_crowd --attacks none \
      --out crowds.jsonl.zst --cast cast.jsonl
  Only replays, nothing confusing, to standard output:
    keywatch generate --keys 50 --hours 6 --seed 1 \\
      --attacks nonce_replay,delayed_replay --confusers none --out -
  A load of 5,000 requests a second:
    keywatch generate --keys 10000 --hours 0.5 --seed 3 --rate 5000 --attacks none --out load.jsonl
  The same as it happens, into another program:
    keywatch generate --live --keys 200 --hours 720 --out - | keywatch run -c stdin.toml";

/// Events between two updates of the progress bar.
const PROGRESS_STEP: u64 = 10_000;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Number of keys
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
    keys: u32,
    /// Hours of traffic; may be a fraction
    #[arg(long, default_value_t = 24.0, value_parser = parse_hours)]
    hours: f64,
    /// The same seed gives the same bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Characters of the keys: `all`, or names with commas
    #[arg(long, default_value = "all", long_help = characters_help())]
    characters: Selection<Character>,
    /// `all`, `none`, or attack names with commas
    #[arg(long, default_value = "all", long_help = attacks_help())]
    attacks: Selection<AttackKind>,
    /// `all`, `none`, or names of confusers with commas
    #[arg(long, default_value = "all", long_help = confusers_help())]
    confusers: Selection<ConfuserKind>,
    /// Mean requests a second of all keys, without the attacks [default: the sum of the keys' own
    /// rates]
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    rate: Option<f64>,
    /// Event time of the first request, RFC 3339
    #[arg(long, value_name = "TIME", default_value = "2026-01-05T00:00:00Z")]
    start: Timestamp,
    /// Start now, and write each event at its event time
    #[arg(long, conflicts_with = "start")]
    live: bool,
    /// Write the events to this file: JSON lines, compressed if the name ends in .gz or .zst; `-`
    /// for standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write the labels of the attacks to this file
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Write the key registry to this file
    #[arg(long, value_name = "FILE")]
    keys_out: Option<PathBuf>,
    /// Write the role of every key to this file: its character, its confuser, its attacks
    #[arg(long, value_name = "FILE")]
    cast: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let began = Instant::now();
    let plan = plan(args)?;
    let mut generator = Generator::new(&plan);
    let labels = generator.labels();
    if let Some(path) = &args.labels {
        write_lines(path, labels.iter().map(AsRef::as_ref))?;
    }
    if let Some(path) = &args.keys_out {
        write_lines(path, generator.registry())?;
    }
    if let Some(path) = &args.cast {
        write_lines(path, generator.cast().iter())?;
    }
    let events = write_events(&args.out, &plan, &mut generator, args.live)?;
    let seconds = began.elapsed().as_secs_f64();
    let attacks = attack_summary(&labels, generator.unplaced());
    anstream::eprintln!("{events} events of {} keys in {seconds:.1} s; {attacks}", plan.keys);
    Ok(())
}

fn plan(args: &Args) -> Result<Plan, CommandError> {
    let files =
        [("--labels", &args.labels), ("--keys-out", &args.keys_out), ("--cast", &args.cast)];
    let paths = files.iter().filter_map(|(_, path)| path.as_ref()).chain([&args.out]);
    if paths.filter(|path| *path == Path::new("-")).count() > 1 {
        return Err(CommandError::Usage(anyhow!(
            "only one of --out, --labels, --keys-out and --cast can be `-`"
        )));
    }
    if args.characters.0.is_empty() {
        return Err(CommandError::Usage(anyhow!("--characters: name at least one character")));
    }
    let files = files.iter().filter_map(|(option, path)| Some((*option, path.as_deref()?)));
    check_outputs([("--out", args.out.as_path())].into_iter().chain(files), [])?;
    let span = SignedDuration::from_secs_f64(args.hours * 3_600.0);
    if args.start.checked_add(span).is_err() {
        return Err(CommandError::Usage(anyhow!(
            "--start {} and --hours {} reach beyond the year 9999",
            args.start,
            args.hours
        )));
    }
    let mut plan = Plan::new(args.keys, args.hours * 3_600.0, args.seed);
    plan.start = if args.live {
        EventTime::now()
    } else {
        EventTime::from_micros(args.start.as_microsecond())
    };
    plan.characters = args.characters.clone();
    plan.attacks = args.attacks.clone();
    plan.confusers = args.confusers.clone();
    plan.requests_per_second = args.rate;
    Ok(plan)
}

fn write_lines<T: serde::Serialize>(
    path: &Path,
    values: impl Iterator<Item = T>,
) -> anyhow::Result<()> {
    let mut lines = create(path)?;
    let written = values.into_iter().try_for_each(|value| lines.write(&value));
    written.and_then(|()| lines.finish()).with_context(|| cannot_write(path))
}

/// Returns the number of events written. A reader that closes the pipe ends the command without an
/// error.
fn write_events(
    path: &Path,
    plan: &Plan,
    generator: &mut Generator,
    live: bool,
) -> anyhow::Result<u64> {
    let mut lines = create(path)?;
    let bar = progress_bar();
    let mut count = 0;
    let write_all = || -> io::Result<()> {
        for GeneratedEvent { arrival, record, .. } in generator {
            if live {
                wait_for(arrival, &mut lines)?;
            }
            lines.write(&record)?;
            count += 1;
            if count % PROGRESS_STEP == 0 {
                let share = arrival.seconds_since(plan.start) / plan.seconds;
                bar.set_position((share * 1_000.0) as u64);
                bar.set_message(format!("{count} events"));
            }
        }
        Ok(())
    };
    let written = write_all().and_then(|()| lines.finish());
    bar.finish_and_clear();
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(count),
        written => written.map(|()| count).with_context(|| cannot_write(path)),
    }
}

/// Flushes the lines written so far, then sleeps until `arrival`.
fn wait_for(arrival: EventTime, lines: &mut JsonLines) -> io::Result<()> {
    let ahead = arrival.seconds_since(EventTime::now());
    if ahead > 0.0 {
        lines.flush()?;
        std::thread::sleep(Duration::from_secs_f64(ahead));
    }
    Ok(())
}

fn create(path: &Path) -> anyhow::Result<JsonLines> {
    JsonLines::create(path).with_context(|| {
        format!("cannot create {}: check the folder and your rights", path.display())
    })
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write to {}: it is not complete", path.display())
}

/// A progress bar; shown on a terminal only.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(1_000);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent}% {msg}, {eta} left") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn attack_summary(labels: &[impl AsRef<Label>], unplaced: &[AttackKind]) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for label in labels {
        *counts.entry(label.as_ref().kind.as_str()).or_default() += 1;
    }
    let listed: Vec<_> = counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let mut summary = match labels.len() {
        0 => "no attacks".to_owned(),
        count => format!("{count} attacks: {}", listed.join(", ")),
    };
    if !unplaced.is_empty() {
        let names: Vec<_> = unplaced.iter().map(|kind| kind.name()).collect();
        summary +=
            &format!("; left out for lack of suitable keys or of hours: {}", names.join(", "));
    }
    summary
}

fn characters_help() -> String {
    format!("`all`, or names of characters with commas, of: {}", names::<Character>())
}

fn attacks_help() -> String {
    format!(
        "`all` (but mimicry, which shows in no single request, and knocking, which comes with \
         knocked_theft), `none`, or attack names with commas, of: {}",
        names::<AttackKind>()
    )
}

fn confusers_help() -> String {
    format!("`all`, `none`, or names of confusers with commas, of: {}", names::<ConfuserKind>())
}

fn names<K: Kind>() -> String {
    K::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}

fn parse_hours(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(hours) if hours > 0.0 && hours <= 87_600.0 => Ok(hours),
        _ => Err("give a number of hours above 0 and at most 87600".into()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e7 => Ok(rate),
        _ => Err("give a number of requests a second above 0 and at most 10000000".into()),
    }
}
