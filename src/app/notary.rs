//! Makes links of the audit log of what was decided and done.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

use crate::config::Config;
use crate::event::{DAY_SECONDS, EventTime};
use crate::store::{Sealed, Store, StoreError};

const LOOK_EVERY: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);
/// A look takes rows of this time. A row that became visible later than that, after an outage of
/// ClickHouse, waits for the first look of a process, which takes all.
const LATE_SECONDS: f64 = 2.0 * DAY_SECONDS;

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
    loop {
        ticks.tick().await;
        let look = async {
            if !is_told {
                let Start { policy_version, model_version, config } = start;
                store.record_start(policy_version, model_version, config).await?;
                is_told = true;
            }
            seal_all(store, since).await
        };
        match timeout(PATIENCE, look).await {
            Ok(Ok(())) => since = EventTime::now().plus_seconds(-LATE_SECONDS),
            Ok(Err(error)) => warn!(%error, "the audit log waits"),
            Err(elapsed) => warn!(%elapsed, "the audit log waits"),
        }
    }
}

async fn seal_all(store: &Store, since: EventTime) -> Result<(), StoreError> {
    // Outside the database, this line is what proves later that the end of the log is whole.
    while let Sealed::Until(head) = store.seal(since).await? {
        info!(head = %head, "audit log sealed");
    }
    Ok(())
}
