//! Lists the suppressions and maintenance windows that are in force or to come.

use maud::{Markup, html};

use super::load::Stored;
use crate::console::frame::time;
use crate::console::visible::shown;
use crate::event::EventTime;
use crate::text::{counted, number};
use crate::workflow::Suppression;

pub(super) fn quiet(stored: &Stored, hours_after_close: f64, now: EventTime) -> Markup {
    let is_left = |it: &&Suppression| it.ended.is_none() && it.until > now;
    let left: Vec<_> = stored.suppressions.iter().filter(is_left).collect();
    html! {
        @if left.is_empty() { p { "Nothing is suppressed." } }
        @else { ol.course { @for suppression in left { (item(suppression, stored, now)) } } }
        p.note {
            "When people have closed an incident, evidence of the same kind is kept quiet for "
            (number(hours_after_close)) " h. " code { "keywatch alerts suppressions" } " lists what is over, too."
        }
    }
}

fn item(suppression: &Suppression, stored: &Stored, now: EventTime) -> Markup {
    let hidden = stored.hidden.as_ref().map(|hidden| {
        let of_this = hidden.iter().find(|it| it.id == suppression.id);
        of_this.map_or(0, |it| it.incidents) as usize
    });
    let kind =
        if suppression.scope.detectors.is_empty() { "Maintenance window" } else { "Suppression" };
    html! {
        li {
            div {
                strong { (kind) } ": " (shown(&suppression.scope.to_string()))
                @if suppression.hides_critical { ", " strong { "critical alerts too" } }
            }
            div { @if suppression.from > now { "to come: " } "from " (time(suppression.from)) " until " (time(suppression.until)) }
            div.faint { (shown(&suppression.who)) ": " (shown(&suppression.note)) }
            div.faint { @if let Some(hidden) = hidden { "It has hidden " (counted(hidden, "incident")) ". " } "To end it: " code { "keywatch alerts suppressions end " (shown(&suppression.id)) } }
        }
    }
}
