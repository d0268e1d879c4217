//! The page of one key, and the list of the busiest keys.

mod list;
mod load;
mod view;

pub use self::list::list;

use super::Console;
use super::answer::Failure;
use super::frame::{Page, Tab};
use super::source::Source;
use super::visible::visible;
use crate::event::EventTime;

/// Days of use that the page shows.
const DAYS: i64 = 14;

pub async fn page(console: &Console, id: &str) -> Result<Page, Failure> {
    if id.is_empty() {
        return Err(Failure::BadAddress("Give the id of a key: /key?id=...".to_owned()));
    }
    let Some(key) = load::load(&console.store, id).await? else {
        // People look for an address in the field of keys; a key may be named like one.
        if let Ok(source) = Source::parse(id.trim()) {
            return Err(Failure::Elsewhere(source.page()));
        }
        let sentence = format!("Nothing is known of a key with the id {}.", visible(id));
        return Err(Failure::NotFound(sentence));
    };
    Ok(Page {
        title: format!("Key {}", visible(id)),
        tab: Some(Tab::Keys),
        refresh_seconds: Some(15),
        body: view::view(id, &key, EventTime::now()).into_string(),
    })
}
