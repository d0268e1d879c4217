//! What people did to the incident, and what follows from it.

use maud::{Markup, html};

use super::load::Incident;
use crate::alert::OwnerWord;
use crate::console::frame::time;
use crate::console::visible::shown;
use crate::workflow::{Act, Held, Obstacle};

pub fn card(incident: &Incident) -> Markup {
    html! {
        (standing(incident))
        @if let Some(word) = &incident.standing().owner { (owner(word)) }
        ol.course { @for (act, obstacle) in &incident.case.course.steps { (step(act, obstacle.as_ref())) } }
    }
}

/// A thief may read the owner's mail, so that the page says what an answer is worth.
fn owner(word: &OwnerWord) -> Markup {
    html! {
        p #owner {
            "Was it you? The key's owner " strong { (shown(&word.to_string())) } ". "
            @if word.it_was_not_me > 0 { "Take that seriously: an owner has little reason to deny a use of their own." }
            @else if word.it_was_me > 0 { "Whoever reads the owner's mail could have said so: alone it is no ground to dismiss a critical incident." }
        }
    }
}

fn standing(incident: &Incident) -> Markup {
    let standing = incident.standing();
    html! {
        @match (standing.closing_in_force(incident.revisions()), &standing.held) {
            (Some(closing), _) => p {
                "Further evidence of the same kind is stored and not sent until " (time(closing.quiet_until))
                ". Evidence of a new kind, or of a higher severity, reopens the incident."
            },
            (None, Held::Closed(_)) => p { strong { "New evidence has reopened this incident." } },
            (None, Held::Untouched) if incident.case.course.steps.is_empty() => p { "Nobody has acted on it yet." },
            (None, _) => {},
        }
    }
}

fn step(act: &Act, obstacle: Option<&Obstacle>) -> Markup {
    html! {
        li {
            (time(act.time))
            div { strong { (shown(&act.who)) } " " (shown(&act.to_string())) " from the " (act.origin.words()) }
            @if let Some(obstacle) = obstacle {
                div.faint { "It had no effect, because the incident " (shown(&obstacle.to_string())) "." }
            }
            @for line in act.text.lines() { div { (shown(line)) } }
        }
    }
}
