//! Takes the form of the list: acknowledges all incidents that the person has chosen.

use std::collections::HashMap;

use axum::http::StatusCode;
use maud::{Markup, html};

use super::PAGE;
use crate::access::Role;
use crate::casework::{Order, Told, act_on_all};
use crate::console::Console;
use crate::console::answer::{Answer, Failure};
use crate::console::frame::{Page, Tab, encoded, form_token};
use crate::console::visible::shown;
use crate::console::visitor::Visitor;
use crate::text::counted;
use crate::workflow::{Kind, Origin};

/// The name of a chosen incident's field begins with this.
const CHOSEN: &str = "id.";

/// The form around the list. The boxes in its rows belong to it.
pub(super) fn form(visitor: &Visitor) -> Markup {
    html! {
        @if visitor.role() >= Some(Role::Responder) {
            form #bulk.bulk action="/incidents/acknowledge" method="post" {
                (form_token())
                button type="submit" { "Acknowledge the chosen" }
            }
        }
    }
}

/// The box of a row, for those who may act.
pub(super) fn choice(visitor: &Visitor, id: &str, title: &str) -> Markup {
    html! {
        @if visitor.role() >= Some(Role::Responder) {
            input type="checkbox" form="bulk" name={ (CHOSEN) (id) } aria-label={ "Choose: " (title) };
        }
    }
}

/// # Errors
/// [`Failure`].
pub async fn acknowledge(
    console: &Console,
    visitor: &Visitor,
    fields: &HashMap<String, String>,
) -> Result<Answer, Failure> {
    visitor.require(Role::Responder)?;
    let chosen = fields.keys().filter_map(|name| name.strip_prefix(CHOSEN));
    let chosen: Vec<&str> = chosen.take(PAGE).collect();
    let is_ours = fields.get("token").is_some_and(|token| visitor.sent(token));
    if chosen.is_empty() || !is_ours {
        let sentence = "Nothing was changed: go back, load the list again, and choose incidents.";
        return Err(Failure::BadAddress(sentence.to_owned()));
    }
    let order = Order {
        kind: Kind::Acknowledge,
        reason: None,
        assignee: None,
        text: String::new(),
        quiet_seconds: 0,
        who: visitor.name().unwrap_or_default().to_owned(),
        origin: Origin::Console,
    };
    let told = act_on_all(&order, &console.store, &chosen).await?;
    console.known.outdate();
    Ok(Answer::Again(StatusCode::OK, page(&order, &told)))
}

/// What came of each.
fn page(order: &Order, told: &[Told]) -> Page {
    let (refused, done): (Vec<_>, Vec<_>) = told.iter().partition(|told| told.is_refused());
    let body = html! {
        div #notice.notice role="status" { p { (counted(done.len(), "incident")) " acknowledged." } }
        @if !refused.is_empty() {
            div.notice.refused {
                p { (counted(refused.len(), "incident")) " not changed:" }
                ul { @for told in refused { li { a href={ "/incidents/" (encoded(&told.id)) } { (shown(&told.sentence(order))) } } } }
            }
        }
        ul { @for told in done { li { a href={ "/incidents/" (encoded(&told.id)) } { (shown(&told.case.latest().title)) } } } }
        p { a.button href="/incidents?state=open" { "To the open incidents" } }
    };
    let title = "Acknowledged".to_owned();
    Page { title, tab: Some(Tab::Incidents), body: body.into_string(), ..Page::default() }
}
