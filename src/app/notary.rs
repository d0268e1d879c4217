//! Makes links of the audit log of what was decided and done.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};

use crate::audit::Head;
use crate::config::Config;
use crate::event::{DAY_SECONDS, EventTime};
use crate::store::{Sealed, Store, StoreError};

const LOOK_EVERY: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);
/// A look takes the rows since the last one, and those of this time before it: a row becomes visible
/// after its time.
const LATE_SECONDS: f64 = 60.0;
/// Rows that became visible later, because ClickHouse was away, are looked for at this interval.
const LOOK_BACK_EVERY: u32 = 60;
/// Those that became visible even later wait for the first look of a process, which takes all.
const VERY_LATE_SECONDS: f64 = 2.0 * DAY_SECONDS;

/// What this process was started with.
struct Start {
    policy_version: String,
    model_version: String,
    config: String,
}

/// Every process looks; whoever is first makes the links. Nothing waits for it.
pub fn start(config: &Config, model_version: &str, store: &Arc<Store>) -> JoinHandle<()> {
    let store = Arc::clone(store);
    let masked = config.clone().with_properties_masked();
    let start = Start {
        policy_version: config.policy.version.clone(),
        model_version: model_version.to_owned(),
        // Every setting can be written: `check-config --json` does so.
        config: serde_json::to_string(&masked).unwrap_or_default(),
    };
    tokio::spawn(async move { run(&store, &start).await })
}

async fn run(store: &Store, start: &Start) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut since, mut is_told) = (EventTime::default(), false);
    let mut seen = Head::default();
    for number in 1_u32.. {
        ticks.tick().await;
        let begin = EventTime::now();
        let look = async {
            if !is_told {
                let Start { policy_version, model_version, config } = start;
                store.record_start(policy_version, model_version, config).await?;
                is_told = true;
            }
            seal_all(store, since, &mut seen).await
        };
        match timeout(PATIENCE, look).await {
            Ok(Ok(())) if number.is_multiple_of(LOOK_BACK_EVERY) => {
                since = begin.plus_seconds(-VERY_LATE_SECONDS);
            }
            Ok(Ok(())) => since = begin.plus_seconds(-LATE_SECONDS),
            Ok(Err(error)) => warn!(%error, "the audit log waits"),
            Err(elapsed) => warn!(%elapsed, "the audit log waits"),
        }
    }
}

/// Makes links of all rows since `since`. `seen` is the last head that this process knows of.
async fn seal_all(store: &Store, since: EventTime, seen: &mut Head) -> Result<(), StoreError> {
    let found = store.audit_head().await?;
    if found.number <= seen.number && found != *seen {
        error!(expected = %seen, %found, "the end of the audit log is gone: its rows were deleted");
    }
    *seen = found;
    // Outside the database, this line is what proves later that the end of the log is whole.
    while let Sealed::Until(head) = store.seal(since).await? {
        info!(head = %head, "audit log sealed");
        *seen = head;
    }
    Ok(())
}
