//! `keywatch train`

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, anyhow};

use super::files::check_outputs;
use super::logs::{LogArgs, progress_bar};
use super::{CommandError, load_config};
use crate::train::samples::{Exclusions, samples};
use crate::train::{TrainError, Trained, card, history, train};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch train --input march.jsonl.zst april.jsonl.zst --out models/mine
  keywatch train --input log.parquet --labels known-attacks.jsonl --geo-asn asn.csv --out models/mine
Then, in keywatch.toml:
  [models]
  judge_behaviour = true
  path = \"models/mine.json\"")]
pub struct Args {
    #[command(flatten)]
    logs: LogArgs,
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The same history and seed give the same bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes NAME.json, the model, and NAME.md, its card
    #[arg(long, value_name = "FOLDER/NAME")]
    out: PathBuf,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let mut config = load_config(args.config.as_deref())?;
    args.logs.apply_to(&mut config);
    let name = args.out.file_name().and_then(|name| name.to_str()).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| {
        CommandError::Usage(anyhow!("--out {}: give a folder and a name", args.out.display()))
    })?;
    let files = [args.out.with_extension("json"), args.out.with_extension("md")];
    let inputs = args.logs.files().chain(args.config.as_deref());
    check_outputs(files.iter().map(|path| ("--out", path.as_path())), inputs)?;
    let exclusions = Exclusions::of_labels(&args.logs.read_labels()?);
    let begin = Instant::now();
    let bar = progress_bar();
    let history = history::read_files(&args.logs.input, &config, |progress| {
        bar.set_length(progress.total_bytes());
        bar.set_position(progress.read_bytes());
    });
    bar.finish_and_clear();
    let history = history?;
    let read = begin.elapsed().as_secs_f64();
    let samples = samples(&history, &exclusions);
    let trained = train(name, &history, &samples, args.seed)?;
    write(&files[0], &(serde_json::to_string_pretty(&trained.model).context("as JSON")? + "\n"))?;
    write(&files[1], &card::render(&trained, &command()))?;
    summarize(&trained, read, begin.elapsed().as_secs_f64());
    Ok(())
}

/// As it was given, with the names of files only: where they lie is nobody's business.
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
        history.excluded
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
            TrainError::App(error) => error.into(),
            error => Self::Failure(error.into()),
        }
    }
}
