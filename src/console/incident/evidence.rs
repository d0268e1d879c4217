//! The evidence as a table: what was seen, how unusual it is, and what it may lead to.

use maud::{Markup, html};
use serde_json::Value;

use crate::alert::{Alert, Evidence};
use crate::console::frame::source_link;
use crate::console::visible::{shown, visible};
use crate::console::{plot, words};
use crate::facts;
use crate::page::draw;

pub fn table(alert: &Alert) -> Markup {
    html! {
        div.scroll { table.evidence {
            thead { tr {
                th { "Detector and sign" }
                th { "How unusual" }
                th { "Numbers" }
                th { "May lead to" }
            } }
            tbody { @for evidence in &alert.evidence { (row(evidence, alert)) } }
        } }
    }
}

fn row(evidence: &Evidence, alert: &Alert) -> Markup {
    let odds = words::odds(evidence.p_value);
    html! {
        tr {
            td {
                strong.mono { (draw::name(evidence.detector.as_str())) }
                div { (words::sign(evidence.detector)) }
                (details(evidence))
            }
            td.odds data-label="How unusual" {
                strong { (odds) }
                (draw::bar(evidence.score / 100.0, "fill", &format!("surprise {:.0} of 100", evidence.score)))
                span.faint { "p = " (format!("{:.1e}", evidence.p_value)) }
            }
            td data-label="Numbers" { (numbers(evidence)) }
            td data-label="May lead to" { (ceiling(evidence, alert)) }
        }
    }
}

fn numbers(evidence: &Evidence) -> Markup {
    html! {
        @match evidence.observed {
            Some(observed) => (plot::measure(observed, evidence.expected)),
            None => span.faint { "see the details" },
        }
    }
}

fn ceiling(evidence: &Evidence, alert: &Alert) -> Markup {
    html! {
        @match evidence.ceiling {
            Some(ceiling) => { strong { (ceiling.most) } " at most, because " (ceiling.reason.because()) },
            None => { strong { (alert.action) } span.faint { ", as the incident does" } },
        }
    }
}

/// All fields of the evidence, folded.
fn details(evidence: &Evidence) -> Markup {
    let show = |text: &str| visible(text);
    html! {
        @if !evidence.fields.is_empty() {
            details {
                summary { "Details" }
                dl.fields { @for (name, value) in &evidence.fields { (field(name, value, &show)) } }
            }
        }
    }
}

fn field(name: &str, value: &Value, show: &dyn Fn(&str) -> String) -> Markup {
    html! {
        dt { (facts::label(name, show)) }
        dd { @match address(name, value) { Some(link) => (link), None => (shown(&facts::value(name, value, show))) } }
    }
}

/// An address or network that the evidence names, with its page.
fn address(name: &str, value: &Value) -> Option<Markup> {
    let is_address = name == "ip" || name == "source" || name.ends_with("_ip");
    is_address.then(|| value.as_str().map(source_link)).flatten()
}
