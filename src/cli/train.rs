//! `keywatch train` trains the model of hourly behaviour.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, anyhow};
use tokio::runtime::Runtime;

use super::files::check_outputs;
use super::logs::{ReadingArgs, check_read_twice, event_bar, progress_bar};
use super::{CommandError, inputs, load_config};
use crate::alert::Alert;
use crate::backtest::labels;
use crate::config::Config;
use crate::detect::outlier::Model;
use crate::event::EventTime;
use crate::store::Store;
use crate::train::compare::Comparison;
use crate::train::exclusions::Exclusions;
use crate::train::samples::samples;
use crate::train::source::Source;
use crate::train::{TrainError, Trained, card, history, priors, train};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch train --clickhouse -c keywatch.toml --out models/mine
  keywatch train --input march.jsonl.zst april.jsonl.zst --out models/mine
  keywatch train --input 'logs/2026/*/access.jsonl.gz' --out models/mine
  keywatch train --clickhouse -c keywatch.toml --compare models/mine.json --out models/mine
  keywatch train --input log.parquet --labels known-attacks.jsonl --geo-asn asn.csv --out models/mine
  keywatch backtest --input log.jsonl --alerts alerts.jsonl
  keywatch train --input log.jsonl --alerts alerts.jsonl --out models/mine
Then, in keywatch.toml:
  [models]
  path = \"models/mine.json\"")]
pub struct Args {
    /// Logs, oldest first; plain, gzip, zstd or bzip2, or .parquet; also directories and patterns
    #[arg(long, required_unless_present = "clickhouse", num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
    /// Train from the events in ClickHouse instead of files, without the hours in which their keys
    /// had an open incident
    #[arg(long, conflicts_with_all = ["input", "alerts", "format", "geo_city", "geo_asn"])]
    clickhouse: bool,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Incidents of these logs, as `backtest --alerts` writes them; hours in which a key had one
    /// are left out
    #[arg(long, value_name = "ALERTS.jsonl")]
    alerts: Option<PathBuf>,
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The same history and seed give the same bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The current model: nothing is written if the new one is worse on windows of keys that its
    /// fit did not see
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
    /// Write the model even if it is worse
    #[arg(long, requires = "compare")]
    force: bool,
    /// Write the model to NAME.json and its card to NAME.md
    #[arg(long, value_name = "FOLDER/NAME")]
    out: PathBuf,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let mut config = load_config(args.config.as_deref())?;
    args.reading.apply_to(&mut config);
    let name = args.out.file_name().and_then(|name| name.to_str()).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| {
        CommandError::Usage(anyhow!("--out {}: give a folder and a name", args.out.display()))
    })?;
    let files = [args.out.with_extension("json"), args.out.with_extension("md")];
    let input = inputs::files(&args.input)?;
    check_outputs(files.iter().map(|path| ("--out", path.as_path())), args.inputs(&input))?;
    check_read_twice(&input)?;
    let begin = Instant::now();
    let old = args.compare.as_deref().map(Model::read).transpose();
    let old = old.map_err(|error| CommandError::Usage(error.into()))?;
    let past = Past::open(args, &config)?;
    let (source, exclusions) = (past.source(&input, &config)?, past.exclusions(args)?);
    let history = args.with_progress(|progress| history::read(&source, progress))?;
    let read = begin.elapsed().as_secs_f64();
    let samples = samples(&history, &exclusions);
    let mut trained = train(name, &history, &samples, args.seed)?;
    let priors = args.with_progress(|progress| {
        priors::learn(&source, &config, &trained.model, &exclusions, progress)
    })?;
    trained.set_priors(priors)?;
    let comparison = old.map(|old| Comparison::new(&old, &trained.model, &samples));
    if let Some(comparison) = &comparison {
        args.judge(comparison)?;
    }
    write(&files[0], &(serde_json::to_string_pretty(&trained.model).context("as JSON")? + "\n"))?;
    write(&files[1], &card::render(&trained, comparison.as_ref(), &command()))?;
    summarize(&trained, read, begin.elapsed().as_secs_f64());
    Ok(())
}

impl Args {
    /// Reads the history once, with a progress bar for this reading.
    fn with_progress<T>(&self, work: impl FnOnce(&mut dyn FnMut(u64, u64)) -> T) -> T {
        let bar = if self.clickhouse { event_bar() } else { progress_bar() };
        let outcome = work(&mut |read, total| {
            bar.set_length(total);
            bar.set_position(read);
        });
        bar.finish_and_clear();
        outcome
    }

    /// # Errors
    /// A new model that is worse, unless it is forced.
    fn judge(&self, comparison: &Comparison) -> anyhow::Result<()> {
        anstream::eprintln!("{}", comparison.table());
        let faults = comparison.faults().join("; ");
        if faults.is_empty() || self.force {
            return Ok(());
        }
        Err(anyhow!(
            "the new model is worse than the current one: {faults}. Nothing was written; \
             give more history, or --force"
        ))
    }

    fn inputs<'a>(&'a self, input: &'a [PathBuf]) -> impl Iterator<Item = &'a Path> {
        let named = [&self.alerts, &self.config].into_iter().flatten();
        input.iter().chain(named).map(PathBuf::as_path).chain(self.reading.files())
    }
}

/// The store that holds the history; `None` when files hold it.
struct Past(Option<(Store, Runtime)>);

impl Past {
    fn open(args: &Args, config: &Config) -> Result<Self, CommandError> {
        if !args.clickhouse {
            return Ok(Self(None));
        }
        let runtime = super::runtime()?;
        Ok(Self(Some((Store::new(&config.clickhouse), runtime))))
    }

    fn source<'a>(
        &'a self,
        paths: &'a [PathBuf],
        config: &'a Config,
    ) -> Result<Source<'a>, TrainError> {
        match &self.0 {
            None => Ok(Source::Files { paths, config }),
            Some((store, runtime)) => Source::stored(store, runtime),
        }
    }

    fn exclusions(&self, args: &Args) -> Result<Exclusions, CommandError> {
        let mut exclusions = Exclusions::default();
        exclusions.add_labels(&args.reading.read_labels()?);
        let alerts: Option<Vec<Alert>> = match &self.0 {
            None => args.alerts.as_deref().map(labels::read).transpose().map_err(usage)?,
            Some((store, runtime)) => {
                let incidents = store.incidents(EventTime::from_micros(0));
                Some(runtime.block_on(incidents).map_err(TrainError::from)?)
            }
        };
        exclusions.add_incidents(&alerts.unwrap_or_default());
        Ok(exclusions)
    }
}

fn usage(error: labels::LineError) -> CommandError {
    CommandError::Usage(error.into())
}

/// The command line for the model card. Paths are cut to file names, so that the card does not
/// reveal the directories of this machine.
fn command() -> String {
    let words = std::env::args().map(|word| {
        let path = Path::new(&word);
        let name = path.file_name().filter(|_| path.is_absolute());
        name.map_or(word.clone(), |name| name.to_string_lossy().into_owned())
    });
    words.collect::<Vec<_>>().join(" ")
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write to {}", path.display()))
}

fn summarize(trained: &Trained, read_seconds: f64, seconds: f64) {
    let history = &trained.history;
    anstream::eprintln!(
        "{}: {} requests of {} keys read in {read_seconds:.1} s, trained in {:.1} s",
        trained.model.version(),
        history.requests,
        history.keys,
        seconds - read_seconds
    );
    anstream::eprintln!(
        "  {} windows, {} against their own past; {} and {} components; {} windows left out",
        history.windows,
        history.own_windows,
        trained.model.own.components.len(),
        trained.model.peers.components.len(),
        history.left_out.total()
    );
    anstream::eprintln!(
        "  keys that the fit did not see: {:.2} in a thousand windows are called rarer than one \
         in a thousand",
        trained.held_out_beyond
    );
}

impl From<TrainError> for CommandError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Decode(_) | TrainError::Enrich(_) => Self::Usage(error.into()),
            error => Self::Failure(error.into()),
        }
    }
}
