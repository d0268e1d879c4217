//! Renders a compliance report as one HTML page.

use maud::{Markup, html};

use super::{Compliance, Section, Value};
use crate::page::{card, page, section};
use crate::text::visible;

pub fn render(report: &Compliance) -> String {
    let span = span(report);
    let body = html! {
        header {
            h1 { "Keys and incidents" }
            p.faint { (span) }
        }
        (cards(report))
        @for part in &report.sections { (section(part.title, part.explanation, &table(part))) }
        (section("Audit log", "The end of the hash chain over these decisions when this report was made. \
            With it, keywatch audit verify --noted shows later that nobody has changed what came before.",
            &html! { code { (report.audit_head.as_deref().unwrap_or("empty")) } }))
    };
    page("report", &span, &body)
}

fn span(report: &Compliance) -> String {
    format!("{:.16} to {:.16} UTC", readable(report.from), readable(report.to))
}

fn readable(time: crate::event::EventTime) -> String {
    time.to_string().replace('T', " ")
}

fn cards(report: &Compliance) -> Markup {
    let sum = |section: &str, column: &str| report.sum(section, column).to_string();
    let overdue = format!("older than {} days", report.rotate_every_days);
    let confirmed = format!("{} confirmed as theft or misuse", sum("incidents", "confirmed"));
    html! {
        dl.cards {
            (card("Keys issued", &sum("keys", "issued"), "in this time"))
            (card("Keys revoked", &sum("keys", "revoked"), "by anybody"))
            (card("Keys overdue", &sum("keys", "overdue"), &overdue))
            (card("Incidents", &sum("incidents", "opened"), &confirmed))
            (card("Requests to act", &sum("actions", "requested"), "to suspend or revoke"))
        }
    }
}

fn table(section: &Section) -> Markup {
    let rows: Vec<_> = section.rows().collect();
    if rows.is_empty() {
        return html! { p.faint { "None in this time." } };
    }
    // Names of columns stay whole: a narrow screen scrolls the table.
    let class = |value: &Value| if matches!(value, Value::Text(_)) { "" } else { "number" };
    html! {
        div.wide { table {
            thead { tr {
                @for (name, value) in &rows[0] { th class=(class(value)) { (name.replace('_', " ")) } }
            } }
            tbody { @for row in &rows { tr {
                @for (place, (_, value)) in row.iter().enumerate() {
                    @if place == 0 { th { (shown(value)) } } @else { td class=(class(value)) { (shown(value)) } }
                }
            } } }
        } }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Unknown => "–".to_owned(),
        other => visible(&other.shown()),
    }
}
