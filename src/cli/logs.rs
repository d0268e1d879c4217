//! Defines the options that commands which replay logs share.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use indicatif::{ProgressBar, ProgressStyle};

use super::{CommandError, inputs};
use crate::backtest::labels::{self, Label};
use crate::config::{Config, DecodeConfig};

/// The logs, how they are read, and known attacks.
#[derive(clap::Args)]
pub struct LogArgs {
    /// Logs, oldest first; plain, gzip, zstd or bzip2, or .parquet; also directories and patterns
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
    #[command(flatten)]
    reading: ReadingArgs,
}

/// The largest record in a file that is replayed.
const FILE_RECORD_BYTES: usize = 64 << 20;

/// How logs are read, and known attacks.
#[derive(clap::Args)]
pub struct ReadingArgs {
    /// Log format (`keywatch formats list`), instead of the configuration's; `auto` takes for each
    /// log the one that finds most of the required fields
    #[arg(long)]
    format: Option<String>,
    /// City databases (.mmdb), instead of the configuration's
    #[arg(long, num_args = 1.., value_name = "MMDB")]
    geo_city: Vec<PathBuf>,
    /// AS databases (.mmdb or .csv), instead of the configuration's
    #[arg(long, num_args = 1.., value_name = "FILE")]
    geo_asn: Vec<PathBuf>,
    /// Known attacks to measure against
    #[arg(long, value_name = "L.jsonl")]
    labels: Option<PathBuf>,
}

/// Sets the format of files: the named one, or the configured one, or else the one that fits.
pub fn choose_format(decode: &mut DecodeConfig, named: Option<&str>) {
    match named {
        Some(format) => decode.format = format.into(),
        // The format of the default is one of those that `auto` tries, and the first.
        None if decode.format == DecodeConfig::default().format => decode.format = "auto".into(),
        None => {}
    }
}

/// A file of CloudTrail is one record. Lines of a file need no guard against their sender.
pub fn allow_large_records(decode: &mut DecodeConfig) {
    decode.max_record_bytes = decode.max_record_bytes.max(FILE_RECORD_BYTES);
}

impl LogArgs {
    pub fn apply_to(&self, config: &mut Config) {
        self.reading.apply_to(config);
    }

    /// The logs, where directories and patterns are replaced by their files.
    ///
    /// # Errors
    /// A usage error for one that stands for no file.
    pub fn inputs(&self) -> Result<Vec<PathBuf>, CommandError> {
        inputs::files(&self.input)
    }

    /// The other files that are read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.reading.files()
    }

    /// Reads the labels; `None` without the option.
    pub fn read_labels(&self) -> Result<Vec<Label>, CommandError> {
        self.reading.read_labels()
    }
}

impl ReadingArgs {
    pub fn apply_to(&self, config: &mut Config) {
        choose_format(&mut config.decode, self.format.as_deref());
        allow_large_records(&mut config.decode);
        if !self.geo_city.is_empty() {
            config.enrich.city_databases.clone_from(&self.geo_city);
        }
        if !self.geo_asn.is_empty() {
            config.enrich.asn_databases.clone_from(&self.geo_asn);
        }
    }

    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let lists = [&self.geo_city, &self.geo_asn].into_iter().flatten();
        lists.chain(&self.labels).map(PathBuf::as_path)
    }

    /// Reads the labels; `None` without the option.
    pub fn read_labels(&self) -> Result<Vec<Label>, CommandError> {
        let read = |path: &PathBuf| labels::read(path);
        let labels = self.labels.as_ref().map(read).transpose();
        Ok(labels.map_err(|error| CommandError::Usage(anyhow!(error)))?.unwrap_or_default())
    }
}

/// For commands that judge keys.
#[derive(clap::Args)]
pub struct RegistryArgs {
    /// The key registry (.csv, or one JSON object a line), instead of the configuration's
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
}

impl RegistryArgs {
    pub fn apply_to(&self, config: &mut Config) {
        if let Some(path) = &self.keys {
            config.detect.registry_file = Some(path.clone());
        }
    }
}

/// A progress bar that counts bytes; shown on terminals only.
pub fn progress_bar() -> ProgressBar {
    bar_of("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta} left")
}

/// A progress bar that counts events; shown on terminals only.
pub fn event_bar() -> ProgressBar {
    bar_of("{bar:40} {human_pos}/{human_len} events, {per_sec}, {eta} left")
}

fn bar_of(template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Refuses a pipe: this command reads its input twice, and a pipe is empty after the first time.
///
/// # Errors
/// A usage error that names the file.
pub fn check_read_twice(inputs: &[PathBuf]) -> Result<(), CommandError> {
    let is_stream = |path: &&PathBuf| {
        path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
    };
    match inputs.iter().find(is_stream) {
        None => Ok(()),
        Some(path) => Err(CommandError::Usage(anyhow!(
            "--input {}: the log is read twice; give it as a file",
            path.display()
        ))),
    }
}

/// The format of a report file.
#[derive(Clone, Copy)]
pub enum ReportFormat {
    Html,
    Json,
}

impl ReportFormat {
    /// The format that the name's extension asks for. Commands call this before the long work, so
    /// that a mistyped name fails at once.
    ///
    /// # Errors
    /// A usage error for any other name.
    pub fn of(path: &Path) -> Result<Self, CommandError> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("html" | "htm") => Ok(Self::Html),
            Some("json") => Ok(Self::Json),
            _ => Err(CommandError::Usage(anyhow!(
                "--report {}: the name must end in .html (a page to read) or .json (all figures)",
                path.display()
            ))),
        }
    }
}
