//! Renders a model's card: its training data, its quality and its intended use.

use std::fmt::Write;

use super::Trained;
use super::compare::Comparison;
use super::fit::Criterion;
use crate::detect::priors::Priors;
use crate::profile::behaviour::{FEATURES, PEERS};

/// The card as Markdown. `command` is the command line that trained the model.
pub fn render(trained: &Trained, comparison: Option<&Comparison>, command: &str) -> String {
    let model = &trained.model;
    let history = &trained.history;
    let mut card = format!(
        "# Model `{}`\n\n\
         Version `{}`, features `{}`. Judges `behaviour.outlier`: hours in which keys behave unlike \
         themselves, or, of keys without a past, unlike their peers.\n\n\
         ```\n{command}\n```\n\n",
        model.name,
        model.version(),
        model.features
    );
    let rows = [
        ("requests", history.requests.to_string()),
        ("attempts, which prove no use and teach nothing", history.attempts.to_string()),
        ("rejected records", history.rejections.to_string()),
        ("keys", history.keys.to_string()),
        ("from", history.first.clone()),
        ("to", history.last.clone()),
        ("windows (hours of keys)", history.windows.to_string()),
        ("of these judged against the key's own past", history.own_windows.to_string()),
        ("of these judged against peers", history.peer_windows.to_string()),
        ("left out for a label", history.left_out.labelled.to_string()),
        ("left out for an incident of the key", history.left_out.alerted.to_string()),
        ("left out for failures of the API itself", history.left_out.disturbed.to_string()),
        ("seed", history.seed.to_string()),
    ];
    card.push_str("## Data\n\n| what | figure |\n|---|---|\n");
    for (what, figure) in rows {
        // Writing into a string cannot fail.
        let _ = writeln!(card, "| {what} | {figure} |");
    }
    card.push_str("\n## Fit\n\n| components | BIC, own past | BIC, peers |\n|---|---|---|\n");
    let longest = trained.own_criteria.len().max(trained.peer_criteria.len());
    for row in 0..longest {
        let bic = |criteria: &[Criterion]| {
            criteria.get(row).map_or_else(String::new, |found| format!("{:.0}", found.bic))
        };
        let _ = writeln!(
            card,
            "| {} | {} | {} |",
            row + 1,
            bic(&trained.own_criteria),
            bic(&trained.peer_criteria)
        );
    }
    let _ = writeln!(
        card,
        "\nIn use: {} components for a key's own past, {} for peers; the least likely hundredth \
         of the windows was left out of the last fit.\n\n\
         One key in five was held out of the fit. Mean log density of a window: {:.3} of the \
         keys that did, {:.3} of those that did not. Of the {} windows of the latter, {:.2} in a \
         thousand are called rarer than one in a thousand.",
        model.own.components.len(),
        model.peers.components.len(),
        trained.fitted,
        trained.held_out,
        trained.held_out_windows,
        trained.held_out_beyond,
    );
    if let Some(comparison) = comparison {
        let _ = write!(card, "\n## Compared with the previous model\n\n{}", comparison.table());
    }
    card.push_str(&priors(&model.priors));
    card.push_str("\n## Features\n\nAgainst the key's own past: ");
    let own: Vec<&str> = FEATURES.iter().map(|feature| feature.words).collect();
    let peers: Vec<&str> = PEERS.iter().map(|feature| feature.words).collect();
    let _ = writeln!(card, "{}.\n\nAgainst peers: {}.", own.join("; "), peers.join("; "));
    card.push_str(LIMITS);
    card
}

fn priors(priors: &Priors) -> String {
    let Priors { population, calibration } = priors;
    format!(
        "\n## Priors\n\nA new installation starts with the places and hours of first use of {} keys, \
         separately for {} tenants, and with the tails of the detectors' scores in \
         {:.0} hours of keys.\n",
        population.keys(),
        population.tenants(),
        calibration.key_hours(),
    )
}

const LIMITS: &str = "
## Intended use and limits

- For API keys whose use repeats itself. An alert says that an hour is unusual, not that it is theft.
- A window says nothing below 20 requests; a key is compared with its own past after 12 windows.
- No single feature makes an outlier: what shows in one number has a detector of its own.
- Trained on other traffic than yours, its shares are only roughly right; the service holds its
  p-values against your fleet, and `keywatch train` on your own history makes them yours.
";
