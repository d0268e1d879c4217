//! `keywatch score-series` scores a CSV with the rate model alone.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use csv::StringRecord;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::CommandError;
use super::files::check_outputs;
use crate::rate::SeriesScorer;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch score-series --input requests.csv --out scored.csv
  keywatch score-series --input - < requests.csv | sort -t, -k3 -g | tail")]
pub struct Args {
    /// A CSV with the columns `timestamp` and `value`, oldest row first; `-` for standard input
    #[arg(long, value_name = "SERIES.csv")]
    input: PathBuf,
    /// Write the rows with their scores to this file instead of standard output
    #[arg(long, value_name = "SCORED.csv")]
    out: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    check_outputs(args.out.iter().map(|path| ("--out", path.as_path())), [args.input.as_path()])?;
    let name = args.input.display().to_string();
    let input: Box<dyn Read> = if name == "-" {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(&args.input).with_context(|| format!("{name}: cannot be opened"));
        Box::new(file.map_err(CommandError::Usage)?)
    };
    // The whole input is scored before anything is written, so that a bad row leaves no partial
    // file.
    let mut scored = Vec::new();
    score(input, &name, &mut scored)?;
    match &args.out {
        Some(path) => std::fs::write(path, scored)
            .with_context(|| format!("{}: cannot be written", path.display()))?,
        None => io::stdout().write_all(&scored).context("standard output")?,
    }
    Ok(())
}

/// Reads `timestamp,value` rows and writes them with `score,expected,lower,upper`.
fn score(input: impl Read, name: &str, output: impl Write) -> anyhow::Result<()> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
    let mut writer = csv::Writer::from_writer(output);
    let header = reader.headers().with_context(|| name.to_owned())?;
    let columns = Columns::find(header).with_context(|| format!("{name}:1"))?;
    writer.write_record(["timestamp", "value", "score", "expected", "lower", "upper"])?;
    let mut scorer = SeriesScorer::default();
    for row in reader.records() {
        // The csv crate's own message already names the line.
        let row = row.with_context(|| name.to_owned())?;
        let line = row.position().map_or(0, csv::Position::line);
        let (time, value) = columns.read(&row).with_context(|| format!("{name}:{line}"))?;
        let scored = scorer.push(time, value);
        let figures = [scored.score, scored.expected, scored.lower, scored.upper];
        let figures = figures.map(|figure| figure.to_string());
        let original = [columns.timestamp, columns.value].map(|column| &row[column]);
        writer.write_record(original.into_iter().chain(figures.iter().map(String::as_str)))?;
    }
    writer.flush()?;
    Ok(())
}

/// The positions of the two columns.
struct Columns {
    timestamp: usize,
    value: usize,
}

impl Columns {
    fn find(header: &StringRecord) -> anyhow::Result<Self> {
        let find = |name: &str| {
            header
                .iter()
                .position(|column| column.trim_start_matches('\u{feff}') == name)
                .ok_or_else(|| {
                    anyhow!(
                        "no column `{name}`; the first line must name the columns timestamp,value"
                    )
                })
        };
        Ok(Self { timestamp: find("timestamp")?, value: find("value")? })
    }

    fn read(&self, row: &StringRecord) -> anyhow::Result<(f64, f64)> {
        let timestamp = &row[self.timestamp];
        let time = parse_time(timestamp).ok_or_else(|| {
            anyhow!(
                "timestamp `{timestamp}` cannot be read; \
                 use `YYYY-MM-DD HH:MM:SS`, RFC 3339 or epoch seconds"
            )
        })?;
        let value = &row[self.value];
        let number = value.parse().ok().filter(|number: &f64| number.is_finite());
        Ok((time, number.ok_or_else(|| anyhow!("value `{value}` is not a finite number"))?))
    }
}

/// Seconds since the epoch. Epoch numbers may be in s, ms, us or ns; their size decides, as for
/// access events. A date without a zone is UTC.
fn parse_time(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then(|| seconds(number));
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.as_microsecond() as f64 / 1e6);
    }
    let civil: DateTime = text.parse().ok()?;
    let timestamp = TimeZone::UTC.to_timestamp(civil).ok()?;
    Some(timestamp.as_microsecond() as f64 / 1e6)
}

fn seconds(number: f64) -> f64 {
    match number.abs() {
        size if size < 1e11 => number,
        size if size < 1e14 => number / 1e3,
        size if size < 1e17 => number / 1e6,
        _ => number / 1e9,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn scored(input: &str) -> anyhow::Result<String> {
        let mut output = Vec::new();
        score(input.as_bytes(), "series.csv", &mut output)?;
        Ok(String::from_utf8(output)?)
    }

    fn refusal(input: &str) -> String {
        format!("{:#}", scored(input).unwrap_err())
    }

    #[test]
    fn every_row_keeps_its_place_and_gains_four_figures() {
        let output = scored("timestamp,value\n2015-02-26 21:42:53,104\n2015-02-26 21:47:53,0.5\n");
        let output = output.unwrap();
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines[0], "timestamp,value,score,expected,lower,upper");
        assert!(lines[1].starts_with("2015-02-26 21:42:53,104,0,104,"), "{output}");
        assert!(lines[2].starts_with("2015-02-26 21:47:53,0.5,"), "{output}");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn the_same_moment_is_read_from_every_notation() {
        for text in [
            "2015-02-26 21:42:53",
            "2015-02-26 21:42:53.000",
            "2015-02-26T21:42:53Z",
            "2015-02-26T22:42:53+01:00",
            "1424986973",
            "1424986973000",
            "1424986973000000000",
        ] {
            assert_eq!(parse_time(text), Some(1_424_986_973.0), "{text}");
        }
    }

    #[test]
    fn a_bad_row_is_named_by_file_and_line() {
        let rows = "timestamp,value\n1424986973,1\n";
        assert!(
            refusal(&format!("{rows}yesterday,1\n")).starts_with("series.csv:3: timestamp `yes")
        );
        assert!(
            refusal(&format!("{rows}1424986974,NaN\n")).starts_with("series.csv:3: value `NaN`")
        );
        assert!(refusal(&format!("{rows}1424986974\n")).contains("line: 3"));
        assert!(refusal("time,count\n").starts_with("series.csv:1: no column `timestamp`"));
    }

    #[test]
    fn repeated_and_backward_times_are_scored_like_others() {
        let rows = "timestamp,value\n100,1\n100,2\n50,3\n99999999,4\n";
        assert_eq!(scored(rows).unwrap().lines().count(), 5);
    }
}
