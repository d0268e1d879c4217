//! The page of one incident: what happened, how sure that is, and what was done.

mod evidence;
mod load;
mod people;
mod pictures;
mod replay;
mod view;

use super::Console;
use super::answer::Failure;
use super::frame::{Page, Tab};
use super::visible::visible;

pub async fn page(console: &Console, id: &str) -> Result<Page, Failure> {
    let Some(incident) = load::load(&console.store, id).await? else {
        let sentence = format!("No incident has the id {}.", visible(id));
        return Err(Failure::NotFound(sentence));
    };
    Ok(Page {
        title: visible(&incident.latest().title),
        tab: Some(Tab::Incidents),
        refresh_seconds: Some(15),
        body: view::view(console, &incident).into_string(),
    })
}
