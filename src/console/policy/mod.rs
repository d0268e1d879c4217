//! The page of the policy: what follows from evidence, what bounds it, and what is kept quiet.

mod bounds;
mod load;
mod quiet;
mod rules;
mod view;

use super::Console;
use super::answer::Failure;
use super::frame::{Page, Tab};
use crate::event::EventTime;

pub async fn page(console: &Console) -> Result<Page, Failure> {
    let stored = load::load(&console.store).await?;
    Ok(Page {
        title: "Policy".to_owned(),
        tab: Some(Tab::Policy),
        refresh_seconds: Some(60),
        body: view::view(&console.policy, &stored, EventTime::now()).into_string(),
    })
}
