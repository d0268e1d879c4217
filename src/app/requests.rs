//! Looks up pushed requests in ClickHouse for the HTTP source.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use crate::config::ClickHouseConfig;
use crate::source::{Earlier, FindEarlier, Progress};
use crate::store::{EarlierRequest, RequestProgress, Store, StoreError};

/// A sender waits for the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns the look-up. It has a store of its own, because requests come before the service is
/// composed.
pub fn finder(config: &ClickHouseConfig) -> FindEarlier {
    let store = Store::new(config);
    Arc::new(move |key: String| {
        let store = store.clone();
        Box::pin(async move {
            let found = timeout(PATIENCE, find(&store, &key)).await;
            let found = found.map_err(|_| "ClickHouse did not answer in time".to_owned());
            let found = found.and_then(|found| found.map_err(|error| error.to_string()));
            found.inspect_err(|reason| warn!(reason, "an earlier request cannot be looked up"))
        })
    })
}

async fn find(store: &Store, key: &str) -> Result<Option<Earlier>, StoreError> {
    let Some(request) = store.earlier_request(key).await? else { return Ok(None) };
    let EarlierRequest { body, first_offset, last_offset, progress } = request;
    let refused = store.refused_events(first_offset, last_offset).await?;
    let refused = refused
        .into_iter()
        .map(|row| (row.record_offset, row.record_index, row.reason, row.detail));
    let progress = match progress {
        RequestProgress::Stored => Progress::Stored,
        RequestProgress::UnderWay => Progress::UnderWay,
        RequestProgress::CutOff(offsets) => Progress::CutOff(offsets),
    };
    let refused = refused.collect();
    Ok(Some(Earlier { body, first_offset, last_offset, progress, refused }))
}
