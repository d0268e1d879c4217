//! Looks at the store again and again, for what other processes and people have written.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};
use tracing::{debug, warn};

use crate::store::StoreError;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A warning is due when nothing could be read for so long.
const DEAF_AFTER: Duration = Duration::from_secs(60);

/// Looks once a second. Nothing waits for a look that fails: what is known stays in force.
pub struct Looks {
    /// The noun of what is read, for the log.
    what: &'static str,
    /// Time limit for one look.
    patience: Duration,
    ticks: Interval,
    /// When something was last read, or its absence was last told.
    heard: Instant,
}

impl Looks {
    pub fn new(what: &'static str, patience: Duration) -> Self {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { what, patience, ticks, heard: Instant::now() }
    }

    /// Waits for the next look and returns what it found; `None` if the store could not be read.
    pub async fn next<T>(
        &mut self,
        look: impl AsyncFnOnce() -> Result<T, StoreError>,
    ) -> Option<T> {
        self.ticks.tick().await;
        let what = self.what;
        match timeout(self.patience, look()).await {
            Ok(Ok(found)) => {
                self.heard = Instant::now();
                return Some(found);
            }
            Ok(Err(error)) => debug!(what, %error, "could not be read"),
            Err(_) => debug!(what, "ClickHouse did not answer in time"),
        }
        if self.heard.elapsed() >= DEAF_AFTER {
            warn!(what, "could not be read for a while");
            self.heard = Instant::now();
        }
        None
    }
}
