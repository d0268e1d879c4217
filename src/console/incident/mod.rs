//! The page of one incident: what happened, how sure that is, what was done, and what to do.

mod acting;
mod actions;
mod evidence;
mod load;
mod people;
mod pictures;
mod replay;
mod suppressing;
mod view;

use maud::{Markup, html};
use serde::Deserialize;

use super::Console;
use super::answer::Failure;
use super::frame::{Page, Tab, time};
use super::visible::{shown, visible};
use super::visitor::Visitor;

pub use self::acting::{Form as ActForm, act};
pub use self::suppressing::{Form as SuppressForm, suppress};

/// What the person did just before, as the address names it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Done {
    act: String,
    suppression: String,
}

pub async fn page(
    console: &Console,
    visitor: &Visitor,
    id: &str,
    done: &Done,
) -> Result<Page, Failure> {
    let Some(incident) = load::load(&console.store, id).await? else { return Err(unknown(id)) };
    let notice = match done.suppression.as_str() {
        "" => acting::notice(&incident.case, visitor, &done.act),
        suppression => suppressed(console, suppression).await?,
    };
    Ok(Page {
        title: visible(&incident.latest().title),
        tab: Some(Tab::Incidents),
        refresh_seconds: Some(15),
        body: view::view(console, visitor, &incident, notice).into_string(),
    })
}

/// Says that the suppression is stored.
async fn suppressed(console: &Console, id: &str) -> Result<Option<Markup>, Failure> {
    let all = console.store.suppressions().await?;
    Ok(all.iter().find(|it| it.id == id).map(|it| {
        html! {
            div #notice.notice role="status" {
                p { (shown(&it.scope.to_string())) " is suppressed until " (time(it.until)) ". "
                    code { "keywatch alerts suppressions end " (it.id) } " ends it." }
            }
        }
    }))
}

fn unknown(id: &str) -> Failure {
    Failure::NotFound(format!("No incident has the id {}.", visible(id)))
}
