//! `keywatch drill` sends a marked attack through the real path.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::signal::unix::{SignalKind, signal};

use super::alerts::print;
use super::keys::keys_of_file;
use super::{CommandError, load_config};
use crate::drill::{self, Drill, DrillError, Hop, State};
use crate::store::Store;
use crate::text::{counted, visible, visible_json};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch drill -c keywatch.toml
  keywatch drill -c keywatch.toml --json | jq '.hops[] | select(.state == \"missing\")'

A drill registers a canary key of its own, whose id begins with `drill.key_prefix`, and sends refused
requests that name it to the topic of the log. The alert is critical, goes through all channels, and
its incident is closed as a test. No key can be suspended or revoked by it. However the drill ends,
also after Ctrl-C, its key is a canary no longer. The exit code is 1 if something did not arrive.")]
pub struct Args {
    /// The configuration of the service
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Wait so long for everything to arrive
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let config = load_config(args.config.as_deref())?;
    let strangers = keys_of_file(&config)?;
    let strangers: Vec<String> = strangers.iter().map(|key| key.as_str().to_owned()).collect();
    let store = Store::new(&config.clickhouse);
    let within = Duration::from_secs(args.seconds.into());
    let drill = drill::run(&config, &store, &strangers, within, told_to_stop());
    let drill = super::runtime()?.block_on(drill);
    let drill = drill.map_err(failure)?;
    if args.json {
        let text = serde_json::to_string(&drill).context("the drill as JSON")?;
        print(&(visible_json(&text) + "\n"))?;
    } else {
        print(&in_words(&drill))?;
    }
    conclude(&drill)
}

/// Waits for Ctrl-C, SIGTERM or the end of the terminal. The drill then clears away what it has made.
async fn told_to_stop() {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hang_up)] = kinds.map(signal) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
}

/// The error may name a key that a stranger has chosen.
fn failure(error: DrillError) -> CommandError {
    let said = anyhow!(visible(&error.to_string()));
    if error.is_of_configuration() {
        CommandError::Usage(said)
    } else {
        CommandError::Failure(said)
    }
}

fn in_words(drill: &Drill) -> String {
    let hops: String = drill.hops.iter().map(line).collect();
    format!("Drill with the canary {}:\n{hops}", visible(&drill.key_id))
}

fn line(hop: &Hop) -> String {
    let (sign, time) = match hop.state {
        State::Arrived { milliseconds } if milliseconds < 0.0 => {
            ("ok     ", format!("clocks differ by {:.1} ms", -milliseconds))
        }
        State::Arrived { milliseconds } => ("ok     ", format!("{milliseconds:.0} ms")),
        State::Missing => ("MISSING", String::new()),
    };
    let line = format!("  {sign} {:<20} {time:>9}  {}", visible(&hop.name), visible(&hop.detail));
    format!("{}\n", line.trim_end())
}

fn conclude(drill: &Drill) -> Result<(), CommandError> {
    if drill.has_passed() {
        return Ok(());
    }
    let missing: Vec<String> = drill.missing().map(|hop| visible(&hop.name)).collect();
    let hops = counted(missing.len(), "hop");
    let told = format!("{hops} not reached: {}", missing.join(", "));
    let told = (!missing.is_empty()).then_some(told);
    let left = drill.left.iter().map(|left| visible(left));
    let sentences: Vec<String> = told.into_iter().chain(left).collect();
    Err(CommandError::Failure(anyhow!(sentences.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_is_told_hop_by_hop_and_what_is_missing_stands_out() {
        let mut drill = Drill::new("keywatch-drill-1".into(), vec!["webhook"]);
        drill.registered(Duration::from_millis(24));
        drill.arrive("alert", -0.07);
        drill.say("channel webhook", "failed: \u{202e}500");
        let text = in_words(&drill);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "Drill with the canary keywatch-drill-1:");
        assert_eq!(lines[1], "  ok      registered               24 ms");
        assert_eq!(lines[2], "  MISSING sent");
        assert_eq!(lines[4], "  ok      alert                clocks differ by 70.0 ms");
        assert!(lines[5].starts_with("  MISSING channel webhook"), "{text}");
        assert!(lines[5].ends_with("failed: ⟨U+202E⟩500"), "{text}");
        drill.left.push("the key k may still be a canary".into());
        let failed = conclude(&drill);
        let said =
            "3 hops not reached: sent, stored, channel webhook; the key k may still be a canary";
        assert!(matches!(failed, Err(CommandError::Failure(error)) if error.to_string() == said));
    }

    #[test]
    fn the_key_of_a_stranger_cannot_deceive_who_reads_the_error() {
        let error = failure(DrillError::Taken("keywatch-drill-\u{1b}[2J\u{202e}x".into()));
        let begin = "the key keywatch-drill-⟨U+001B⟩[2J⟨U+202E⟩x is no canary";
        assert!(matches!(error, CommandError::Usage(said) if said.to_string().starts_with(begin)));
    }
}
