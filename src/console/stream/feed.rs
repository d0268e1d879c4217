//! Notices new alerts of all processes: while somebody reads, one task asks ClickHouse more often than
//! once a second, and passes what is new to all readers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::{Semaphore, broadcast};
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use crate::event::EventTime;
use crate::store::{Store, StoreError};

const LOOK_EVERY: Duration = Duration::from_millis(700);
/// An alert is stored within this time of its detection, unless ClickHouse was away.
const LATE_SECONDS: f64 = 30.0;
/// Alerts that wait for a reader. A reader that is further behind is dropped; it comes back with
/// the id of the last alert that it read.
const WAITING: usize = 256;
/// Streams at the same time.
const MOST_READERS: usize = 64;
/// Alerts of one look or page.
const MOST_ALERTS: &str = "500";

const SQL: &str = include_str!("../../../sql/console/stream.sql");

/// The place of a revision in the stream: `micros-id-revision`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub at: EventTime,
    pub id: String,
    pub revision: u32,
}

impl Place {
    pub fn parse(text: &str) -> Option<Self> {
        let (micros, rest) = text.split_once('-')?;
        let (id, revision) = rest.rsplit_once('-')?;
        let at = EventTime::from_micros(micros.parse().ok()?);
        Some(Self { at, id: id.to_owned(), revision: revision.parse().ok()? })
    }

    /// The place as an event id, which must be one line.
    pub fn text(&self) -> String {
        let id: String = self.id.chars().filter(|c| !c.is_control()).collect();
        format!("{}-{id}-{}", self.at.as_micros(), self.revision)
    }
}

/// A stored revision.
#[derive(Clone, Debug, Deserialize)]
pub struct Item {
    detected: i64,
    id: String,
    revision: u32,
    /// As JSON.
    pub alert: String,
}

impl Item {
    pub fn place(&self) -> Place {
        let at = EventTime::from_micros(self.detected);
        Place { at, id: self.id.clone(), revision: self.revision }
    }
}

pub struct Feed {
    pub(super) store: Store,
    sender: broadcast::Sender<Arc<Item>>,
    pub(super) readers: Arc<Semaphore>,
}

impl Feed {
    pub fn new(store: Store) -> Self {
        let (sender, _) = broadcast::channel(WAITING);
        Self { store, sender, readers: Arc::new(Semaphore::new(MOST_READERS)) }
    }

    /// Passes a revision to all readers. Without any, it is in the table for whoever comes.
    pub(super) fn send(&self, item: Item) {
        let _ = self.sender.send(Arc::new(item));
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<Item>> {
        self.sender.subscribe()
    }

    fn has_readers(&self) -> bool {
        self.sender.receiver_count() > 0
    }
}

/// Returns revisions after a place, by time of detection, at most [`MOST_ALERTS`].
pub(super) async fn after(store: &Store, place: &Place) -> Result<Vec<Item>, StoreError> {
    let (micros, revision) = (place.at.as_micros().to_string(), place.revision.to_string());
    let values = [
        ("after", &*micros),
        ("after_id", &place.id),
        ("after_revision", &revision),
        ("limit", MOST_ALERTS),
    ];
    store.query_rows(SQL, &values).await
}

/// Sends new alerts to the readers, and does not ask for any while there are none. Ends with its
/// task.
pub async fn watch(feed: &Feed) {
    let mut watch = Watch { since: EventTime::now(), seen: HashSet::new() };
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !feed.has_readers() {
            watch.rest();
            continue;
        }
        if let Err(error) = watch.look(feed).await {
            debug!(%error, "new alerts cannot be read for the console");
        }
    }
}

struct Watch {
    /// The time of the last look that succeeded.
    since: EventTime,
    /// Revisions detected shortly before it, which the next look finds again.
    seen: HashSet<Place>,
}

impl Watch {
    /// Passes over the time without readers. The first look after it finds what was stored shortly
    /// before, so that the first reader misses nothing.
    fn rest(&mut self) {
        self.since = EventTime::now();
        self.seen.clear();
    }

    async fn look(&mut self, feed: &Feed) -> Result<(), StoreError> {
        let now = EventTime::now();
        let begin = self.since.plus_seconds(-LATE_SECONDS);
        let mut place = Place { at: begin, id: String::new(), revision: 0 };
        let mut found = HashSet::new();
        loop {
            let items = after(&feed.store, &place).await?;
            let Some(last) = items.last() else { break };
            place = last.place();
            for item in items {
                let is_new = !self.seen.contains(&item.place());
                found.insert(item.place());
                if is_new {
                    feed.send(item);
                }
            }
        }
        self.seen = found;
        self.since = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_place_reads_back() {
        let place = Place::parse("1764203115000000-inc_0a-b-12").unwrap();
        assert_eq!((place.id.as_str(), place.revision), ("inc_0a-b", 12));
        assert_eq!(Place::parse(&place.text()), Some(place));
        for bad in ["", "12", "x-inc-1", "12-inc", "12-inc-x", "12-inc-99999999999"] {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
    }
}
