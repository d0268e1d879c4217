//! The overview: whether all is well, in five seconds.

mod load;
mod view;

use super::Console;
use super::answer::Failure;
use super::frame::{Page, Tab};
use crate::event::EventTime;

pub async fn page(console: &Console) -> Result<Page, Failure> {
    let overview = load::load(console).await?;
    let body = view::view(console, &overview, EventTime::now());
    Ok(Page {
        title: "Overview".to_owned(),
        tab: Some(Tab::Overview),
        refresh_seconds: Some(3),
        body: body.into_string(),
    })
}
