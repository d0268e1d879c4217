//! Raises the incidents of keys that were reported leaked.
//!
//! All processes learn of a report. The one that has a profile of the key raises it. A key without a
//! profile was not used lately: after a few seconds the owner of the key's home partition raises it.

use std::hash::BuildHasher;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::warn;

use super::Pipeline;
use crate::app::announce::publish_missing;
use crate::app::error::AppError;
use crate::event::{DAY_SECONDS, EventTime, KeyId, ShardId};
use crate::registry::{KeyNews, Leak};
use crate::source::Source;

/// A process that knows the key has raised it by then.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time limit for one question to the store.
const LOOK_WITHIN: Duration = Duration::from_secs(2);
/// Older leaks were raised, or nobody can act on them any more.
const RAISED_DAYS: f64 = 30.0;

/// Reports that no alert tells yet, as far as this process knows.
#[derive(Debug, Default)]
pub struct Untold(Vec<(Leak, Instant)>);

impl Untold {
    /// Adds the reports of these changes.
    pub fn learn(&mut self, news: &KeyNews) {
        let oldest = EventTime::now().plus_seconds(-RAISED_DAYS * DAY_SECONDS);
        let leaks = news.leaks.iter().filter(|leak| leak.since >= oldest);
        self.0.extend(leaks.map(|leak| (leak.clone(), Instant::now())));
    }
}

impl<S: Source> Pipeline<S> {
    /// Raises the reports that no alert tells and that fall to this process.
    pub(super) async fn raise_leaks(&mut self) -> Result<(), AppError> {
        if self.untold.0.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = self.untold.0.iter().map(|(leak, _)| leak.key_id.as_str()).collect();
        let told = self.store.store().told_leaks(&ids);
        // Records are read meanwhile; the next pulse asks again.
        let told = match timeout(LOOK_WITHIN, told).await {
            Ok(Ok(told)) => told,
            Ok(Err(error)) => {
                warn!(%error, "reports of leaks wait: it is unknown which of them alerts tell");
                return Ok(());
            }
            Err(_) => return Ok(()),
        };
        let is_told = |leak: &Leak| told.get(&leak.key_id).is_some_and(|time| *time >= leak.since);
        for (leak, heard) in std::mem::take(&mut self.untold.0) {
            if is_told(&leak) {
                continue;
            }
            match self.judge_of(&leak.key_id, heard) {
                Some(shard) => self.raise_leak(&leak, shard).await?,
                None => self.untold.0.push((leak, heard)),
            }
        }
        Ok(())
    }

    /// The shard in which this process raises the report; `None` while another process may.
    fn judge_of(&self, key_id: &KeyId, heard: Instant) -> Option<ShardId> {
        let engine = self.scorer.engine();
        if let Some(shard) = engine.shard_of(key_id) {
            return Some(shard);
        }
        let hash = foldhash::quality::FixedState::default().hash_one(key_id);
        let home = (hash % self.ownerships.partitions.max(1) as u64) as i32;
        let is_ours = heard.elapsed() >= PATIENCE && self.owns(home);
        let shards = [ShardId::Partition(home), ShardId::Shared];
        shards.into_iter().find(|shard| is_ours && engine.has_shard(*shard))
    }

    async fn raise_leak(&mut self, leak: &Leak, shard: ShardId) -> Result<(), AppError> {
        let first_use = timeout(LOOK_WITHIN, self.store.store().first_use_since(leak)).await;
        // Without an answer, the report goes out without the first use: the next one is news.
        let first_use = first_use.ok().and_then(Result::ok).flatten();
        let now = Some(EventTime::now());
        let engine = self.scorer.engine_mut();
        let alerts = engine.report_leak(leak, first_use.as_ref(), shard, now);
        let publishing = publish_missing(self.store.store(), &self.outbox, alerts);
        self.store.beat_during(publishing).await?;
        Ok(())
    }
}
