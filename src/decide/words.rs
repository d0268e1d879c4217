//! Explains the rules of the policy in words.

use crate::config::{Costs, DetectorPattern, Match, OWNER_CHANNEL, Rule, Rulebook};

/// One sentence for each rule, in order, and for what holds beside them. Empty without rules.
pub fn in_words(book: &Rulebook) -> Vec<String> {
    if *book == Rulebook::default() {
        return Vec::new();
    }
    let rules = book.rules.iter().enumerate();
    let mut sentences: Vec<String> =
        rules.map(|(place, rule)| format!("{}. {}", place + 1, of_rule(rule))).collect();
    if book.rules.iter().all(|rule| rule.matches != Match::default()) {
        sentences.push("Otherwise: whatever the evidence asks for; all channels are told.".into());
    }
    sentences.extend(of_exemptions(book));
    if !book.monitor.channels.is_empty() {
        let channels = book.monitor.channels.join(", ");
        sentences.push(format!("Alerts about Keywatch itself are told through {channels}."));
    }
    sentences.push(of_costs(&book.costs));
    sentences
}

fn of_rule(rule: &Rule) -> String {
    let conditions = conditions(&rule.matches);
    let when = if conditions.is_empty() {
        "every incident".to_owned()
    } else {
        format!("incidents {}", conditions.join(", and "))
    };
    let action = match rule.action {
        Some(action) => format!("at most {action}"),
        None => "whatever the evidence asks for".to_owned(),
    };
    let channels = match rule.channels.as_slice() {
        [] => "all channels are told".to_owned(),
        channels => {
            let asks = channels.iter().any(|name| name == OWNER_CHANNEL);
            let owner = if asks { "the owner of the key is asked \"Was it you?\"; " } else { "" };
            let told = channels.iter().map(String::as_str).filter(|name| *name != OWNER_CHANNEL);
            let channels = told.collect::<Vec<_>>().join(", ");
            let channels = if channels.is_empty() { "nothing else" } else { &channels };
            format!(
                "{owner}told through {channels}, and requests to suspend or revoke through all channels"
            )
        }
    };
    let approval = rule.approval.then(|| "a person approves each suspension and revocation".into());
    let playbook = rule.playbook.as_ref().map(|address| format!("steps: {address}"));
    let what = [Some(action), Some(channels), approval, playbook];
    let what: Vec<String> = what.into_iter().flatten().collect();
    format!("\"{}\": {when}: {}.", rule.name, what.join("; "))
}

fn conditions(rule: &Match) -> Vec<String> {
    let patterns: Vec<&str> = rule.detectors.iter().map(DetectorPattern::as_str).collect();
    let any_of = |words: &str, list: &[String]| {
        (!list.is_empty()).then(|| format!("{words} {}", list.join(" or ")))
    };
    let detectors = (!patterns.is_empty())
        .then(|| format!("with evidence of {} and nothing else", patterns.join(" or ")));
    let severity = rule.min_severity.map(|least| format!("of severity {least} or higher"));
    let confidence = rule.min_confidence.map(|least| format!("of confidence {least} or more"));
    let least =
        rule.min_requests_per_day.map(|least| format!("of keys with {least} or more uses a day"));
    let most =
        rule.max_requests_per_day.map(|most| format!("of keys with {most} or fewer uses a day"));
    [
        detectors,
        severity,
        confidence,
        any_of("of tenant", &rule.tenants),
        any_of("of keys in environment", &rule.environments),
        any_of("of keys of class", &rule.classes),
        any_of("of keys with the tag", &rule.tags),
        least,
        most,
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_exemptions(book: &Rulebook) -> Option<String> {
    let named = |noun: &str, list: &[String]| {
        (!list.is_empty()).then(|| format!("{noun} {}", list.join(", ")))
    };
    let exempt = [named("keys", &book.exempt.keys), named("tenants", &book.exempt.tenants)];
    let exempt: Vec<String> = exempt.into_iter().flatten().collect();
    (!exempt.is_empty()).then(|| {
        format!("Whatever the rules say, nothing but a notice for {}.", exempt.join(" and "))
    })
}

fn of_costs(costs: &Costs) -> String {
    let actions = costs.in_order();
    let steps = costs.steps().into_iter().zip(&actions[1..]);
    let steps = steps.map(|(step, (action, _))| format!("{action} from {:.3}", step));
    format!(
        "By its costs, each action has a least confidence: {}.",
        steps.collect::<Vec<_>>().join(", ")
    )
}
