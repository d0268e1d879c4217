//! Finds faults of rules that their types cannot express.

use super::read::hint;
use super::rules::{Match, Rule, Rulebook};

/// A fault with the path of its key. The path of a rule's key has the number of the rule, counted
/// from 0: `rule.2.channels`.
pub(super) type Fault = (String, String);

/// All faults. `channels` are the names that exist, as far as they are known.
pub(super) fn faults(book: &Rulebook, channels: Option<&[&str]>) -> Vec<Fault> {
    let costs = book.costs.fault().map(|fault| ("costs".to_owned(), fault));
    let monitor = unknown_channels("monitor.channels", &book.monitor.channels, channels);
    let rules = book.rules.iter().enumerate();
    let rules = rules.flat_map(|(number, rule)| {
        let earlier = &book.rules[..number];
        rule_faults(&format!("rule.{number}"), rule, earlier, channels)
    });
    costs.into_iter().chain(monitor).chain(rules).collect()
}

fn rule_faults(path: &str, rule: &Rule, earlier: &[Rule], channels: Option<&[&str]>) -> Vec<Fault> {
    let mut faults = unknown_channels(&format!("{path}.channels"), &rule.channels, channels);
    faults.extend(playbook_fault(&format!("{path}.playbook"), rule.playbook.as_deref()));
    let mut require = |holds: bool, field: &str, message: &str| {
        if !holds {
            faults.push((format!("{path}{field}"), message.to_owned()));
        }
    };
    let is_new = earlier.iter().all(|it| it.name != rule.name);
    require(!rule.name.trim().is_empty(), ".name", "is empty");
    require(is_new, ".name", "is the name of an earlier rule too");
    let share = rule.matches.min_confidence;
    let is_share = share.is_none_or(|share| (0.0..=1.0).contains(&share));
    require(is_share, ".match.min_confidence", "must be between 0 and 1");
    let Match { min_requests_per_day, max_requests_per_day, .. } = &rule.matches;
    let is_range = match (min_requests_per_day, max_requests_per_day) {
        (Some(least), Some(most)) => least <= most,
        _ => true,
    };
    require(is_range, ".match.max_requests_per_day", "is less than `min_requests_per_day`");
    if let Some(all) = earlier.iter().find(|it| it.matches == Match::default()) {
        let message = format!("is never reached: \"{}\" before it matches everything", all.name);
        require(false, "", &message);
    }
    faults
}

fn unknown_channels(path: &str, named: &[String], known: Option<&[&str]>) -> Vec<Fault> {
    let Some(known) = known else { return Vec::new() };
    let fault = |name: &String| {
        let hint = match known {
            [] => "the configuration sets up none".to_owned(),
            known => hint(name, known),
        };
        (path.to_owned(), format!("no channel is named \"{name}\"; {hint}"))
    };
    named.iter().filter(|name| !known.contains(&name.as_str())).map(fault).collect()
}

fn playbook_fault(path: &str, address: Option<&str>) -> Option<Fault> {
    let is_web = |text: &str| text.starts_with("https://") || text.starts_with("http://");
    let fault = || (path.to_owned(), "must begin with https:// or http://".to_owned());
    address.is_some_and(|address| !is_web(address)).then(fault)
}
