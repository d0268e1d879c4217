//! Compares two policies on the alerts that were made: those of a file, or of the last days.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use comfy_table::{Table, presets};
use serde::Deserialize;

use super::policy;
use crate::alert::Alert;
use crate::cli::{CommandError, load_config, runtime};
use crate::respond::{Comparison, Outcome, Totals, compare};
use crate::store::Store;
use crate::text::{count, counted, visible, visible_json, visible_within};

const ALERTS: &str = "SELECT alert FROM alerts FINAL \
    WHERE detected_at >= now() - toIntervalDay({days:UInt32}) \
    ORDER BY detected_event_time, id, revision";

/// Changes that are shown in words; JSON has all of them.
const MOST_SHOWN: usize = 200;

/// Options that say how a log is read and scored, or what is written of it.
const ONLY_OF_LOGS: [&str; 7] =
    ["input", "format", "geo_city", "geo_asn", "keys", "labels", "report"];

#[derive(clap::Args)]
pub struct Alerts {
    /// Judge the alerts of this file again (`backtest --alerts`, one JSON object a line)
    #[arg(long = "alerts", value_name = "FILE", conflicts_with = "days",
        conflicts_with_all = ONLY_OF_LOGS)]
    alerts_file: Option<PathBuf>,
    /// Judge the stored alerts of so many days again
    #[arg(long, value_name = "N", conflicts_with_all = ONLY_OF_LOGS,
        value_parser = clap::value_parser!(u32).range(1..))]
    days: Option<u32>,
    /// With --days or files of rules: the configuration of the service
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Alerts {
    pub fn are_given(&self) -> bool {
        self.alerts_file.is_some() || self.days.is_some()
    }

    fn read(&self) -> Result<Vec<Alert>, CommandError> {
        match (&self.alerts_file, self.days) {
            (Some(path), _) => read_file(path),
            (None, days) => self.read_stored(days.unwrap_or_default()),
        }
    }

    fn read_stored(&self, days: u32) -> Result<Vec<Alert>, CommandError> {
        #[derive(Deserialize)]
        struct Row {
            alert: String,
        }
        let config = load_config(self.config.as_deref())?;
        let days = days.to_string();
        let rows: Vec<Row> = runtime()?
            .block_on(Store::new(&config.clickhouse).query_rows(ALERTS, &[("days", &days)]))
            .map_err(anyhow::Error::from)?;
        let parse = |row: Row| serde_json::from_str(&row.alert).context("a stored alert");
        Ok(rows.into_iter().map(parse).collect::<Result<_, _>>()?)
    }
}

fn read_file(path: &Path) -> Result<Vec<Alert>, CommandError> {
    let context = || format!("cannot read the alerts of {}", path.display());
    let text = fs::read_to_string(path).with_context(context).map_err(CommandError::Usage)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            let place = format!("{}:{}", path.display(), number + 1);
            CommandError::Usage(anyhow!("{place}: not an alert: {error}"))
        })
    };
    lines.map(parse).collect()
}

pub fn run(args: &Alerts, policies: [&Path; 2], json: bool) -> Result<(), CommandError> {
    let base = args.config.as_deref();
    let [before, after] = policies;
    let (before, after) = (policy::load(before, base)?, policy::load(after, base)?);
    let alerts = args.read()?;
    let comparison = compare(&alerts, [&before.policy, &after.policy]);
    let text = if json {
        let text = serde_json::to_string_pretty(&comparison).context("the comparison as JSON")?;
        visible_json(&text)
    } else {
        let names = policies.map(|path| path.display().to_string());
        in_words(&comparison, &names)
    };
    crate::cli::alerts::print(&(text + "\n"))
}

fn in_words(comparison: &Comparison, names: &[String; 2]) -> String {
    let incidents = counted(comparison.incidents, "incident");
    let changed = comparison.changed.len();
    let mut lines =
        vec![format!("{incidents} judged again; {} treated differently.", count(changed))];
    for ((name, totals), side) in names.iter().zip(&comparison.policies).zip(["before", "after"]) {
        lines.push(format!("  {side:<6} {}: {}", visible(name), in_total(totals)));
    }
    if changed > 0 {
        lines.push(String::new());
        lines.push(table(comparison));
    }
    if changed > MOST_SHOWN {
        lines.push(format!("... and {} more: --json has all", count(changed - MOST_SHOWN)));
    }
    lines.join("\n")
}

fn in_total(totals: &Totals) -> String {
    let actions = totals.actions.iter().map(|(action, incidents)| format!("{action} {incidents}"));
    let actions = actions.collect::<Vec<_>>().join(", ");
    format!(
        "{actions}; requested within the budgets: {}, {}",
        counted(totals.revocations, "revocation"),
        counted(totals.suspensions, "suspension")
    )
}

fn table(comparison: &Comparison) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "incident", "about", "tenant", "action", "severity", "rule", "channels", "approval",
    ]);
    for change in comparison.changed.iter().take(MOST_SHOWN) {
        let about = change.key_id.as_deref().map_or_else(|| change.title.clone(), str::to_owned);
        let differs = |of: fn(&Outcome) -> String| {
            let [before, after] = change.outcomes.each_ref().map(of);
            if before == after {
                visible(&before)
            } else {
                visible(&format!("{before} -> {after}"))
            }
        };
        table.add_row([
            visible(&change.id),
            visible_within(&about, 60),
            visible_within(change.tenant.as_deref().unwrap_or_default(), 40),
            differs(|it| it.action.to_string()),
            differs(|it| it.severity.to_string()),
            differs(|it| it.rule.clone().unwrap_or_else(|| "none".into())),
            differs(channels),
            differs(|it| if it.approval { "by a person" } else { "" }.into()),
        ]);
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn channels(outcome: &Outcome) -> String {
    if outcome.channels.is_empty() { "all".into() } else { outcome.channels.join(", ") }
}
