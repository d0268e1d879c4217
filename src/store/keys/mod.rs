//! Stores changes of the key registry, and reads them back by their numbers.

mod deeds;
mod read;
mod rows;

use clickhouse::Row;
use serde::Serialize;

use self::rows::{KeyEventRow, KeyRow};
use super::{Store, StoreError};
use crate::instance::InstanceId;
use crate::registry::{FeedPosition, KeyChange};

/// Rows of one insert. A million keys go in as ten blocks.
const BLOCK_ROWS: usize = 100_000;
/// Another process takes the same number at most this often before something is wrong.
const MAX_ATTEMPTS: u64 = 1_000;

/// Who makes a change, and by which way.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    pub who: &'a str,
    /// `command_line`, `api`, `topic` or `webhook`.
    pub origin: &'a str,
}

#[derive(Clone, Row, Serialize)]
struct ChangeRow<'a> {
    number: u64,
    change: &'a str,
    who: &'a str,
    origin: &'a str,
}

#[derive(Clone, Row, Serialize)]
struct FeedRow<'a> {
    change: &'a str,
    topic: &'a str,
    topic_id: &'a str,
    partition: i32,
    last_offset: i64,
}

impl Store {
    /// The number of the latest change; 0 before the first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn latest_key_change(&self) -> Result<u64, StoreError> {
        let number = self.client.query("SELECT max(number) FROM key_changes").fetch_one().await;
        number.map_err(|error| self.error("reading key_changes", &error))
    }

    /// Stores a change that was made in the knowledge of all changes up to `after`. Returns its
    /// number, or `None`, and stores nothing, if another change came first: the caller then makes
    /// the change again in the knowledge of that one.
    ///
    /// # Errors
    /// [`StoreError`]; after one, the change may or may not be stored.
    pub async fn change_keys(
        &self,
        change: &KeyChange,
        author: Author<'_>,
        after: u64,
    ) -> Result<Option<u64>, StoreError> {
        self.store_change(change, None, author, after).await
    }

    /// Does the same for a change that was made of the records of a topic up to `position`. Records
    /// that change nothing take no number: only their offset is stored, and `after` is returned.
    ///
    /// # Errors
    /// As [`Self::change_keys`].
    pub async fn change_keys_of_feed(
        &self,
        change: &KeyChange,
        position: &FeedPosition,
        author: Author<'_>,
        after: u64,
    ) -> Result<Option<u64>, StoreError> {
        if !change.is_empty() {
            return self.store_change(change, Some(position), author, after).await;
        }
        if self.latest_key_change().await? > after {
            return Ok(None);
        }
        self.store_position("", position).await?;
        Ok(Some(after))
    }

    async fn store_change(
        &self,
        change: &KeyChange,
        position: Option<&FeedPosition>,
        author: Author<'_>,
        after: u64,
    ) -> Result<Option<u64>, StoreError> {
        // A change that comes too late leaves no rows without a number.
        if self.latest_key_change().await? > after {
            return Ok(None);
        }
        let name = InstanceId::random().to_string();
        for (block, keys) in change.keys.chunks(BLOCK_ROWS).enumerate() {
            let rows = keys.iter().map(|key| KeyRow::new(&name, key));
            let token = format!("keys/{name}/{block}");
            self.insert::<KeyRow>("api_key_rows", &token, rows.collect::<Vec<_>>()).await?;
        }
        for (block, events) in change.events.chunks(BLOCK_ROWS).enumerate() {
            let rows = events.iter().map(|event| KeyEventRow::new(&name, event));
            let token = format!("keys/{name}/{block}");
            self.insert::<KeyEventRow>("key_event_rows", &token, rows.collect::<Vec<_>>()).await?;
        }
        if let Some(position) = position {
            self.store_position(&name, position).await?;
        }
        self.take_number(&name, author, after).await
    }

    /// Counts with the change, or at once without one.
    async fn store_position(
        &self,
        change: &str,
        position: &FeedPosition,
    ) -> Result<(), StoreError> {
        let FeedPosition { topic, topic_id, partition, last_offset } = position;
        let token = format!("keys/{change}/{topic}/{topic_id}/{partition}/{last_offset}");
        let (partition, last_offset) = (*partition, *last_offset);
        let row = FeedRow { change, topic, topic_id, partition, last_offset };
        self.insert::<FeedRow<'_>>("key_feed_rows", &token, [row]).await
    }

    /// A number that is taken and has no row was lost with its server. It is skipped.
    async fn take_number(
        &self,
        name: &str,
        author: Author<'_>,
        after: u64,
    ) -> Result<Option<u64>, StoreError> {
        for number in after + 1..after + MAX_ATTEMPTS {
            if self.latest_key_change().await? > after {
                return Ok(None);
            }
            let row = ChangeRow { number, change: name, who: author.who, origin: author.origin };
            self.insert::<ChangeRow<'_>>("key_changes", &format!("keys/{number}"), [row]).await?;
            let first = "SELECT change FROM key_changes WHERE number > ? ORDER BY number LIMIT 1";
            let first = self.client.query(first).bind(after).fetch_optional::<String>().await;
            match first.map_err(|error| self.error("reading key_changes", &error))? {
                Some(change) if change == name => return Ok(Some(number)),
                Some(_) => return Ok(None),
                None => {}
            }
        }
        Ok(None)
    }
}
