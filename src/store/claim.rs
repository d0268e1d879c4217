//! Records which process may write a partition. The claim fences off a process that returns after
//! its partitions were assigned to another one.

use std::sync::Arc;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::event::{EventTime, PartitionId};
use crate::instance::InstanceId;

/// One ownership of one partition. The default has epoch 0 and is older than any other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Kafka's ID of the topic; empty when the source has none.
    pub topic_id: Arc<str>,
    pub epoch: u64,
    /// The process that owns the partition.
    pub owner: Arc<str>,
}

/// The newest claim on a partition. If two claims have the same epoch, the one with the greater
/// owner is newer: any order works if all processes use the same one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Row, Deserialize)]
pub struct Holder {
    pub epoch: u64,
    pub owner: String,
}

/// A row of `partition_owners`.
#[derive(Clone, Row, Serialize)]
struct ClaimRow<'a> {
    topic: &'a str,
    topic_id: &'a str,
    partition: i32,
    epoch: u64,
    owner: &'a str,
    time: i64,
}

impl Claim {
    fn is_older_than(&self, holder: &Holder) -> bool {
        (self.epoch, &*self.owner) < (holder.epoch, &*holder.owner)
    }
}

impl Store {
    /// Registers this process as the owner of `partition`. After this returns, the previous owner
    /// abandons the partition at its next batch, and the ledger shows every batch that it began.
    ///
    /// # Errors
    /// [`StoreError`]; retryable ones are worth waiting for.
    pub async fn claim(
        &self,
        partition: &PartitionId,
        topic_id: &Arc<str>,
    ) -> Result<Claim, StoreError> {
        loop {
            let before = self.holder(partition, topic_id).await?;
            let claim = Claim {
                topic_id: Arc::clone(topic_id),
                epoch: before.epoch + 1,
                owner: Arc::clone(&self.owner),
            };
            self.register(partition, &claim).await?;
            // Two processes may have taken the same number: the one that is not the newest takes
            // another.
            if !claim.is_older_than(&self.holder(partition, topic_id).await?) {
                return Ok(claim);
            }
        }
    }

    /// Returns the owner that has claimed `partition` after `claim`, if any.
    pub(super) async fn newer_holder(
        &self,
        partition: &PartitionId,
        claim: &Claim,
    ) -> Result<Option<Holder>, StoreError> {
        let holder = self.holder(partition, &claim.topic_id).await?;
        Ok(claim.is_older_than(&holder).then_some(holder))
    }

    async fn holder(&self, partition: &PartitionId, topic_id: &str) -> Result<Holder, StoreError> {
        let sql = "SELECT epoch, owner FROM partition_owners \
                   WHERE topic = ? AND partition = ? AND topic_id = ? \
                   ORDER BY epoch DESC, owner DESC LIMIT 1";
        let holder = self
            .client
            .query(sql)
            .bind(&*partition.topic)
            .bind(partition.partition)
            .bind(topic_id)
            .fetch_optional()
            .await
            .map_err(|error| self.error("reading who owns a partition", &error))?;
        Ok(holder.unwrap_or_default())
    }

    async fn register(&self, partition: &PartitionId, claim: &Claim) -> Result<(), StoreError> {
        let row = ClaimRow {
            topic: &partition.topic,
            topic_id: &claim.topic_id,
            partition: partition.partition,
            epoch: claim.epoch,
            owner: &claim.owner,
            time: EventTime::now().as_micros(),
        };
        self.insert::<ClaimRow<'_>>("partition_owners", "", [row]).await
    }
}

/// Returns a unique owner name: host, process id and a random number. It shows operators where to
/// look.
pub(super) fn new_owner() -> Arc<str> {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    format!("{host}/{}/{}", std::process::id(), InstanceId::random()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(epoch: u64, owner: &str) -> Claim {
        Claim { epoch, owner: owner.into(), ..Claim::default() }
    }

    fn holder(epoch: u64, owner: &str) -> Holder {
        Holder { epoch, owner: owner.into() }
    }

    #[test]
    fn the_higher_epoch_is_newer_and_of_equal_ones_exactly_one_is() {
        assert!(claim(1, "b").is_older_than(&holder(2, "a")));
        assert!(!claim(2, "a").is_older_than(&holder(1, "b")));
        assert!(claim(2, "a").is_older_than(&holder(2, "b")));
        assert!(!claim(2, "b").is_older_than(&holder(2, "a")));
        assert!(!claim(2, "a").is_older_than(&holder(2, "a")), "its own row");
    }
}
