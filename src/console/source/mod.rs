//! The page of an address or a network: who it is, the keys that it used, and those that it tried.

mod keys;
mod load;
mod range;
mod view;
mod who;

pub use self::range::Source;

use super::Console;
use super::answer::Failure;
use super::frame::Page;
use super::visible::visible;
use crate::event::EventTime;

/// `text` is the part of the address after `/sources/`, decoded.
pub async fn page(console: &Console, text: &str) -> Result<Page, Failure> {
    let source = Source::parse(text).map_err(|reason| {
        Failure::BadAddress(format!("There is no source {}: {reason}.", visible(text)))
    })?;
    let Some(known) = load::load(&console.store, source).await? else {
        let sentence = format!("Nothing is stored of {source}: no request, and no incident.");
        return Err(Failure::NotFound(sentence));
    };
    Ok(Page {
        title: format!("Source {source}"),
        tab: None,
        refresh_seconds: Some(60),
        body: view::view(source, &known, EventTime::now()).into_string(),
    })
}
