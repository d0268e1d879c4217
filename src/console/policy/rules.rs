//! Says the rules in words, with the incidents to which each applied.

use maud::{Markup, html};

use super::load::{DAYS, Outcome};
use crate::alert::Action;
use crate::config::{PolicyConfig, Rulebook};
use crate::console::visible::shown;
use crate::decide::in_words;
use crate::page::draw;
use crate::text::{count, counted};

/// Mildest first.
const ACTIONS: [Action; 5] =
    [Action::Observe, Action::Notify, Action::Throttle, Action::Suspend, Action::Revoke];

/// A line of the list, with the incidents to which it applied.
struct Line<'a> {
    sentence: String,
    outcomes: Vec<&'a Outcome>,
}

pub(super) fn rules(policy: &PolicyConfig, outcomes: Option<&[Outcome]>) -> Markup {
    let lines = lines(&policy.rules, outcomes.unwrap_or_default());
    let most = lines.iter().map(|line| incidents(&line.outcomes)).max().unwrap_or(1).max(1);
    html! {
        @if outcomes.is_none() { p { "The incidents of the rules could not be counted in the time of a page." } }
        ul.facet { @for line in &lines { (item(line, most)) } }
        @for sentence in in_words(&policy.rules).iter().skip(policy.rules.rules.len()) {
            p.note { (shown(sentence)) }
        }
    }
}

/// The rules in order, then incidents of no rule and of rules that the policy no longer has.
fn lines<'a>(book: &Rulebook, outcomes: &'a [Outcome]) -> Vec<Line<'a>> {
    let of = |fits: &dyn Fn(&str) -> bool| outcomes.iter().filter(|it| fits(&it.rule)).collect();
    let sentences = in_words(book).into_iter().take(book.rules.len());
    let mut lines: Vec<Line<'_>> = sentences
        .zip(&book.rules)
        .map(|(sentence, rule)| Line { sentence, outcomes: of(&|name| name == rule.name) })
        .collect();
    let none = if book.rules.is_empty() {
        "No rules: whatever the evidence asks for; all channels are told."
    } else {
        "No rule applied."
    };
    lines.push(Line { sentence: none.to_owned(), outcomes: of(&str::is_empty) });
    let gone = of(&|name| !name.is_empty() && book.named(name).is_none());
    if !gone.is_empty() {
        let sentence = "Rules of another policy, which this one does not have.".to_owned();
        lines.push(Line { sentence, outcomes: gone });
    }
    lines
}

fn incidents(outcomes: &[&Outcome]) -> u64 {
    outcomes.iter().map(|it| it.incidents).sum()
}

fn item(line: &Line<'_>, most: u64) -> Markup {
    let all = incidents(&line.outcomes);
    let words = counted(all as usize, "incident");
    html! {
        li {
            div.name { (shown(&line.sentence)) span.figure { (count(all as usize)) } }
            (draw::bar(all as f64 / most as f64, "fill", &words))
            div.faint { (words) " in " (DAYS) " days" @if all > 0 { ": " (by_action(&line.outcomes)) } }
        }
    }
}

/// `2 suspend, 9 notify`, the strongest first.
fn by_action(outcomes: &[&Outcome]) -> String {
    let of = |action: Action| -> u64 {
        outcomes.iter().filter(|it| it.action == action).map(|it| it.incidents).sum()
    };
    let given = ACTIONS.iter().rev().map(|action| (of(*action), action)).filter(|(n, _)| *n > 0);
    let words = given.map(|(incidents, action)| format!("{} {action}", count(incidents as usize)));
    words.collect::<Vec<_>>().join(", ")
}

/// From which probability of theft on each action costs least.
pub(super) fn ladder(policy: &PolicyConfig) -> Markup {
    let steps = std::iter::once(0.0).chain(policy.rules.costs.steps());
    html! {
        table.plain {
            thead { tr { th { "Action" } th.number { "From" } th.number { "If honest" } th.number { "If stolen" } } }
            tbody {
                @for ((action, cost), from) in policy.rules.costs.in_order().into_iter().zip(steps) {
                    tr {
                        td.action { (action) }
                        td.number { (format!("{from:.3}")) }
                        td.number { (crate::text::number(cost.honest)) }
                        td.number { (crate::text::number(cost.stolen)) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn outcome(rule: &str, action: &str, incidents: u64) -> Outcome {
        let row = serde_json::json!({
            "rule": rule, "action": action, "restraint": "", "incidents": incidents,
        });
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn incidents_are_counted_for_the_rule_that_applied() {
        let book = "[[rule]]\nname = \"a\"\n[[rule]]\nname = \"b\"\naction = \"notify\"";
        let book: Rulebook = toml::from_str(book).unwrap();
        let outcomes = [
            outcome("b", "notify", 9),
            outcome("", "revoke", 1),
            outcome("b", "suspend", 2),
            outcome("gone", "observe", 5),
        ];
        let lines = lines(&book, &outcomes);
        let counts: Vec<_> = lines.iter().map(|line| incidents(&line.outcomes)).collect();
        assert_eq!(counts, [0, 11, 1, 5]);
        assert_eq!(by_action(&lines[1].outcomes), "2 suspend, 9 notify");
        assert!(lines[1].sentence.starts_with("2. \"b\""), "{}", lines[1].sentence);
    }
}
