//! `keywatch check-config` checks and prints the configuration.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::json;

use super::{CommandError, load_config};
use crate::app::check::warnings;
use crate::decide::in_words;
use crate::text::visible;

#[derive(clap::Args)]
pub struct Args {
    /// Configuration file [default: none, only defaults and the environment]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object with `config`, `rules` and `warnings`
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), CommandError> {
    let config = load_config(args.config.as_deref())?.with_properties_masked();
    let warnings = warnings(&config);
    let rules = in_words(&config.policy.rules);
    let text = if args.json {
        let report = json!({ "config": config, "rules": rules, "warnings": warnings });
        format!("{report:#}\n")
    } else {
        for warning in warnings {
            anstream::eprintln!("warning: {warning}");
        }
        let text = toml::to_string(&config).context("the configuration cannot be shown as TOML")?;
        rules_as_comment(&rules) + &text
    };
    let mut stdout = anstream::stdout();
    stdout.write_all(text.as_bytes()).context("cannot write to standard output")?;
    Ok(())
}

/// The output stays TOML.
fn rules_as_comment(rules: &[String]) -> String {
    if rules.is_empty() {
        return String::new();
    }
    let lines = rules.iter().map(|rule| format!("# {}\n", visible(rule)));
    let lines: String = lines.collect();
    format!("# The rules of the policy. The first that matches an incident applies.\n{lines}\n")
}
