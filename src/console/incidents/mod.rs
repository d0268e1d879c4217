//! The list of incidents: filters that live in the address, one page at a time.

mod bulk;
mod filter;
mod list;
mod view;

pub use self::bulk::acknowledge;
pub use self::filter::{Choice, Filter};
pub use self::list::{About, Among, Incident, load};
pub use self::view::table;

use maud::html;

use super::Console;
use super::answer::Failure;
use super::frame::{Page, Tab};
use super::visitor::Visitor;
use crate::event::EventTime;

/// Incidents of one page.
pub const PAGE: usize = 50;

pub async fn page(console: &Console, visitor: &Visitor, filter: Filter) -> Result<Page, Failure> {
    let choice = filter.checked()?;
    let incidents = load(&console.store, &choice, Among::All, PAGE).await?;
    let body = html! {
        (view::heading(&choice, &incidents))
        (view::form(&choice))
        (bulk::form(visitor))
        (view::results(visitor, &choice, &incidents, EventTime::now()))
    };
    Ok(Page {
        title: "Incidents".to_owned(),
        tab: Some(Tab::Incidents),
        refresh_seconds: Some(15),
        body: body.into_string(),
    })
}
