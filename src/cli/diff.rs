//! `keywatch diff` compares two configurations on one history, or on the alerts that were made.

mod policy;
mod stored;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use comfy_table::{CellAlignment, Table, presets};

use super::CommandError;
use super::files::check_outputs;
use super::logs::{LogArgs, RegistryArgs, ReportFormat, check_read_twice, progress_bar};
use crate::backtest::diff::{self, Candidate, Difference, RevokedKey, page};

#[derive(clap::Args)]
#[command(mut_arg("input", |arg| {
    arg.required(false).required_unless_present_any(["alerts_file", "days"])
}))]
#[command(after_help = "Examples:
  keywatch diff --input access.jsonl.zst --policy now.toml --policy stricter.toml
  keywatch diff --input access.jsonl.zst --policy a.toml --policy b.toml --report diff.html
  keywatch diff --input access.jsonl.zst --policy a.toml --policy b.toml --json | jq .policies
  keywatch diff --days 30 -c keywatch.toml --policy policy.toml --policy proposed.toml
  keywatch diff --alerts alerts.jsonl --policy policy.toml --policy proposed.toml

With --input, the log is scored again under each policy. With --days or --alerts, alerts that were
made are judged again by their evidence, which takes seconds.

A policy is a configuration as `keywatch run -c` reads it, in which only what differs need be
said; or a file of rules (`policy.rules_file`) alone. Both decide as if `policy.dry_run` were false.")]
pub struct Args {
    #[command(flatten)]
    logs: LogArgs,
    #[command(flatten)]
    alerts: stored::Alerts,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Configuration, or file of rules, to compare; given twice: the current one, then the proposed
    /// one
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// Write the difference to this file, as a page (.html) or as JSON (.json); may be given twice
    #[arg(long, value_name = "OUT.{html,json}")]
    report: Vec<PathBuf>,
    /// Print the difference as JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let [a, b] = args.policy.as_slice() else {
        let given = args.policy.len();
        let error = anyhow!("--policy: give exactly two configurations, not {given}");
        return Err(CommandError::Usage(error));
    };
    if args.alerts.are_given() {
        return stored::run(&args.alerts, [a, b], args.json);
    }
    let logs = args.logs.inputs()?;
    check_read_twice(&logs)?;
    let candidates = [candidate(a, args)?, candidate(b, args)?];
    let reports = args.report.iter().map(|path| Ok((path, ReportFormat::of(path)?)));
    let reports: Vec<(&PathBuf, ReportFormat)> = reports.collect::<Result<_, CommandError>>()?;
    let outputs = args.report.iter().map(|path| ("--report", path.as_path()));
    let policies = [a.as_path(), b.as_path()];
    let inputs = logs.iter().map(PathBuf::as_path).chain(args.logs.files());
    let inputs = inputs.chain(args.registry.keys.as_deref()).chain(policies);
    check_outputs(outputs, inputs)?;
    let labels = args.logs.read_labels()?;
    let bar = progress_bar();
    let difference = diff::run(&logs, &candidates, &labels, |read, total| {
        bar.set_length(total);
        bar.set_position(read);
    });
    bar.finish_and_clear();
    let difference = difference?;
    for (path, format) in reports {
        let context = || format!("cannot write the report to {}", path.display());
        let text = match format {
            ReportFormat::Html => page::render(&difference),
            ReportFormat::Json => as_json(&difference)?,
        };
        std::fs::write(path, text + "\n").with_context(context)?;
    }
    let text = if args.json { as_json(&difference)? } else { as_text(&difference) };
    writeln!(anstream::stdout(), "{text}").context("cannot write to standard output")?;
    Ok(())
}

fn candidate(path: &Path, args: &Args) -> Result<Candidate, CommandError> {
    let mut config = policy::load(path, None)?;
    args.logs.apply_to(&mut config);
    args.registry.apply_to(&mut config);
    Ok(Candidate { name: path.display().to_string(), config })
}

fn as_json(difference: &Difference) -> anyhow::Result<String> {
    serde_json::to_string_pretty(difference).context("the difference as JSON")
}

fn as_text(difference: &Difference) -> String {
    let mut lines = vec![format!("{}.", page::headline(difference))];
    for (policy, side) in difference.policies.iter().zip(page::SIDES) {
        let tenants = policy.lost_by_tenant.values().filter(|lost| **lost > 0).count();
        let mut line = format!("  {side} {}: keys revoked: {}", policy.name, policy.revoked);
        if difference.has_labels {
            line += &format!(" (without a known attack: {})", policy.revoked_wrongly);
        }
        let lost = policy.lost;
        line += &format!("; owners' requests lost: {} (tenants: {tenants})", lost.owner);
        lines.push(line + &format!("; others' requests stopped: {}", lost.others));
    }
    let disputed: Vec<&RevokedKey> =
        difference.revoked.iter().filter(|key| key.is_disputed()).collect();
    if !disputed.is_empty() {
        lines.push(String::new());
        lines.push(table(difference, &disputed));
    }
    lines.join("\n")
}

/// A table of the keys that only one of the two configurations revokes.
fn table(difference: &Difference, keys: &[&RevokedKey]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut header =
        vec!["only", "key", "tenant", "revoked at", "because of", "owner lost", "others"];
    if difference.has_labels {
        header.push("attack");
    }
    table.set_header(header);
    for key in keys {
        for (revocation, side) in key.by.iter().zip(page::SIDES) {
            let Some(revocation) = revocation else { continue };
            let detectors = revocation.detectors.iter().map(|detector| detector.as_str());
            let mut row = vec![
                side.to_owned(),
                key.key_id.to_string(),
                key.tenant.clone().unwrap_or_default(),
                format!("{:.19}Z", revocation.time.to_string()),
                detectors.collect::<Vec<_>>().join(", "),
                revocation.lost.owner.to_string(),
                revocation.lost.others.to_string(),
            ];
            if difference.has_labels {
                row.push(key.attack.clone().unwrap_or_else(|| "none known".into()));
            }
            table.add_row(row);
        }
    }
    for column in [5, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
