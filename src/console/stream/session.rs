//! One reader of the stream: first what it missed, then what happens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use tokio::sync::{OwnedSemaphorePermit, broadcast};

use super::feed::{Feed, Item, Place, after};
use crate::store::Store;

/// What was stored a little later than it was detected is sent again, rather than left out.
const OVERLAP_SECONDS: f64 = 10.0;
/// A browser comes back after this time.
const RETRY: Duration = Duration::from_secs(1);

pub struct Session {
    store: Store,
    live: broadcast::Receiver<Arc<Item>>,
    missed: Option<Missed>,
    is_greeted: bool,
    _slot: OwnedSemaphorePermit,
}

/// Alerts since the reader's last one, read page by page.
struct Missed {
    next: Place,
    last: Place,
    page: VecDeque<Item>,
}

impl Session {
    /// Returns `None` when there are too many readers.
    pub fn open(feed: &Feed, last: Option<Place>) -> Option<Self> {
        let slot = Arc::clone(&feed.readers).try_acquire_owned().ok()?;
        let missed = last.map(|last| Missed {
            next: Place { at: last.at.plus_seconds(-OVERLAP_SECONDS), ..last.clone() },
            last,
            page: VecDeque::new(),
        });
        // Subscribed before the first page is read, so that no alert falls in between.
        let live = feed.subscribe();
        Some(Self { store: feed.store.clone(), live, missed, is_greeted: false, _slot: slot })
    }

    /// Waits for the next event. Ends when ClickHouse cannot be read, or the reader is too slow: it
    /// comes back with its last id.
    pub async fn next(&mut self) -> Option<Event> {
        if !self.is_greeted {
            self.is_greeted = true;
            return Some(Event::default().retry(RETRY).comment("alerts of Keywatch"));
        }
        while let Some(missed) = &mut self.missed {
            match missed.next(&self.store).await? {
                Some(item) => return Some(event(&item)),
                None => self.missed = None,
            }
        }
        self.live.recv().await.ok().map(|item| event(&item))
    }
}

impl Missed {
    /// Returns `Some(None)` at the end, and `None` when ClickHouse cannot be read.
    async fn next(&mut self, store: &Store) -> Option<Option<Item>> {
        loop {
            let Some(item) = self.page.pop_front() else {
                self.page = after(store, &self.next).await.ok()?.into();
                match self.page.back() {
                    Some(last) => self.next = last.place(),
                    None => return Some(None),
                }
                continue;
            };
            if item.place() != self.last {
                return Some(Some(item));
            }
        }
    }
}

fn event(item: &Item) -> Event {
    Event::default().event("alert").id(item.place().text()).data(&item.alert)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::ClickHouseConfig;

    #[tokio::test]
    async fn a_reader_that_falls_behind_is_dropped() {
        let feed = Feed::new(Store::new(&ClickHouseConfig::default()));
        let mut slow = Session::open(&feed, None).unwrap();
        assert!(slow.next().await.is_some(), "the greeting");
        for revision in 0..1_000 {
            let item = format!(r#"{{"detected":1,"id":"a","revision":{revision},"alert":"{{}}"}}"#);
            feed.send(serde_json::from_str(&item).unwrap());
        }
        assert!(slow.next().await.is_none());
    }

    #[tokio::test]
    async fn readers_beyond_the_bound_are_refused() {
        let feed = Feed::new(Store::new(&ClickHouseConfig::default()));
        let mut sessions: Vec<_> = std::iter::from_fn(|| Session::open(&feed, None)).collect();
        assert!(Session::open(&feed, None).is_none());
        sessions.pop();
        assert!(Session::open(&feed, None).is_some());
    }
}
