//! The page of the whole fleet: what was promised and measured, how the traffic has moved, and what
//! each detector sees.

mod coverage;
mod load;
mod promises;
mod view;

use super::Console;
use super::answer::Failure;
use super::frame::{Page, Tab};
use crate::event::EventTime;

pub async fn page(console: &Console) -> Result<Page, Failure> {
    let fleet = load::load(console).await?;
    Ok(Page {
        title: "Fleet".to_owned(),
        tab: Some(Tab::Fleet),
        refresh_seconds: Some(60),
        body: view::view(console, &fleet, EventTime::now()).into_string(),
    })
}
