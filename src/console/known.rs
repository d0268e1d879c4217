//! Remembers the last good rendering of each page, so that a page can be shown while ClickHouse is
//! away, and so that many readers of one page cost one query a second.

use std::time::{Duration, Instant};

use indexmap::IndexMap;
use parking_lot::Mutex;

use super::frame::Page;
use crate::event::EventTime;

/// Pages that are remembered; of more, the oldest is forgotten.
const MOST_PAGES: usize = 64;
/// A page of this age is not made again.
const FRESH: Duration = Duration::from_secs(1);

/// A page, with the time at which it was true.
#[derive(Clone)]
pub struct Known {
    pub page: Page,
    pub at: EventTime,
    made: Instant,
    is_outdated: bool,
}

#[derive(Default)]
pub struct LastKnown(Mutex<IndexMap<String, Known>>);

impl LastKnown {
    pub fn get(&self, address: &str) -> Option<Known> {
        self.0.lock().get(address).cloned()
    }

    /// The page, if it was made within the last second.
    pub fn fresh(&self, address: &str) -> Option<Known> {
        self.get(address).filter(|known| known.made.elapsed() < FRESH && !known.is_outdated)
    }

    /// Makes every page anew: somebody has changed something.
    pub fn outdate(&self) {
        for known in self.0.lock().values_mut() {
            known.is_outdated = true;
        }
    }

    pub fn keep(&self, address: &str, page: Page) -> Known {
        let known = Known { page, at: EventTime::now(), made: Instant::now(), is_outdated: false };
        let mut pages = self.0.lock();
        pages.shift_remove(address);
        if pages.len() >= MOST_PAGES {
            pages.shift_remove_index(0);
        }
        pages.insert(address.to_owned(), known.clone());
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_pages_are_forgotten_first() {
        let known = LastKnown::default();
        for number in 0..=MOST_PAGES {
            known.keep(&number.to_string(), Page::default());
        }
        assert!(known.get("0").is_none());
        assert!(known.get("1").is_some() && known.fresh("1").is_some());
        known.outdate();
        assert!(known.get("1").is_some() && known.fresh("1").is_none());
    }
}
