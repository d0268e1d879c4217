//! Clears away what a drill has made, so that no canary stays armed and no incident open.

use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::time::sleep;

use super::{Drill, DrillError, OWNER, STEP, canary, in_time};
use crate::alert::CloseReason;
use crate::casework::{Order, act_on_all};
use crate::registry::RegisteredKey;
use crate::store::Store;
use crate::workflow::{Kind, Origin};

/// The service knows within a second that the canary is retired, and stores its alerts in another.
const SETTLE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(100);

const INCIDENTS: &str = "\
    SELECT DISTINCT id FROM alerts WHERE key_id = {key:String} SETTINGS max_execution_time = 5";

#[derive(Deserialize)]
struct Incident {
    id: String,
}

/// Retires the canary and closes its incidents. The drill tells what could not be done.
pub async fn away(drill: &mut Drill, store: &Store, canary: &RegisteredKey) {
    let key = drill.key_id.clone();
    if let Err(error) = insist(async || canary::retire(store, canary).await).await {
        drill.left.push(format!("the key {key} may still be a canary: {error}"));
    }
    let begin = Instant::now();
    if let Err(error) = insist(async || close(store, &key, begin).await).await {
        drill.left.push(format!("an incident of the key {key} may be open: {error}"));
    }
}

/// Repeats the step until ClickHouse does it or the time is over.
async fn insist(mut step: impl AsyncFnMut() -> Result<(), DrillError>) -> Result<(), DrillError> {
    in_time(STEP, async {
        loop {
            match step().await {
                Err(error) if error.is_passing() => sleep(LOOK_EVERY).await,
                outcome => return outcome,
            }
        }
    })
    .await
}

/// The incidents of a drill do not stay among those that people look at.
async fn close(store: &Store, key: &str, begin: Instant) -> Result<(), DrillError> {
    let incidents = incidents(store, key, begin).await?;
    let ids: Vec<&str> = incidents.iter().map(|incident| incident.id.as_str()).collect();
    act_on_all(&order(), store, &ids).await?;
    Ok(())
}

/// An alert may still be on its way.
async fn incidents(store: &Store, key: &str, begin: Instant) -> Result<Vec<Incident>, DrillError> {
    loop {
        let found: Vec<Incident> = store.query_rows(INCIDENTS, &[("key", key)]).await?;
        if !found.is_empty() || begin.elapsed() >= SETTLE {
            return Ok(found);
        }
        sleep(LOOK_EVERY).await;
    }
}

fn order() -> Order {
    Order {
        kind: Kind::Dismiss,
        reason: Some(CloseReason::Test),
        assignee: None,
        text: "A fire drill: keywatch drill.".into(),
        quiet_seconds: 0,
        who: OWNER.into(),
        origin: Origin::CommandLine,
    }
}
