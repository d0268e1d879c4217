//! Stores a batch again in the tables and partitions that lost it, and in no others.
//!
//! An insert into the raw rows would reach the rollups too, which have the batch. The batch is
//! therefore inserted into a copy of the tables and their views, and single partitions are attached
//! from there.

use sha2::{Digest, Sha256};

use super::super::insert::{EVENTS, Stopped};
use super::super::write::event_rows;
use super::PartitionName;
use super::rollups::ROLLUPS;
use crate::store::{Store, StoreError, StoredBatch};

const COPYING: &str = "storing a batch again";

impl Store {
    /// Stores the batch in the partitions `lost` of `table`. Attaching is no insert: no view sees it,
    /// and no token hinders it.
    pub(super) async fn store_again(
        &self,
        batch: &StoredBatch<'_>,
        token: &str,
        table: &str,
        lost: Vec<PartitionName>,
    ) -> Result<(), Stopped> {
        if lost.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            token,
            table,
            ?lost,
            "the server knows a batch that it lost: storing it again"
        );
        let copy = Copy::new(token);
        self.drop_copy(&copy).await?;
        self.make_copy(&copy).await?;
        self.insert_events_into(batch, &copy.of(EVENTS), token, event_rows(batch)).await?;
        for partition in lost {
            let from = copy.of(table);
            let sql = format!("ALTER TABLE {table} ATTACH PARTITION ID '{partition}' FROM {from}");
            self.execute_copying(&sql).await?;
        }
        Ok(self.drop_copy(&copy).await?)
    }

    /// Makes empty tables like those of the raw rows and the rollups, with views between them.
    async fn make_copy(&self, copy: &Copy) -> Result<(), StoreError> {
        self.execute_copying(&format!("CREATE TABLE {} AS {EVENTS}", copy.of(EVENTS))).await?;
        for table in ROLLUPS.map(|rollup| rollup.table) {
            let to = copy.of(table);
            self.execute_copying(&format!("CREATE TABLE {to} AS {table}")).await?;
            let select = copy.renamed(self.select_of_view(table).await?);
            let view = format!("CREATE MATERIALIZED VIEW {to}_view TO {to} AS {select}");
            self.execute_copying(&view).await?;
        }
        Ok(())
    }

    async fn select_of_view(&self, table: &str) -> Result<String, StoreError> {
        let sql =
            "SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = ?";
        let query = self.client.query(sql).bind(format!("{table}_view"));
        query.fetch_one().await.map_err(|error| self.error(COPYING, &error))
    }

    /// Also what an earlier attempt has left.
    async fn drop_copy(&self, copy: &Copy) -> Result<(), StoreError> {
        for table in ROLLUPS.map(|rollup| rollup.table) {
            let of_table = copy.of(table);
            self.execute_copying(&format!("DROP TABLE IF EXISTS {of_table}_view SYNC")).await?;
            self.execute_copying(&format!("DROP TABLE IF EXISTS {of_table} SYNC")).await?;
        }
        self.execute_copying(&format!("DROP TABLE IF EXISTS {} SYNC", copy.of(EVENTS))).await
    }

    async fn execute_copying(&self, sql: &str) -> Result<(), StoreError> {
        self.client.query(sql).execute().await.map_err(|error| self.error(COPYING, &error))
    }
}

/// The names of the tables of a copy. Batches of several partitions may be copied at once.
struct Copy {
    suffix: String,
}

impl Copy {
    fn new(token: &str) -> Self {
        let hash = hex::encode(&Sha256::digest(token)[..8]);
        Self { suffix: format!("_again_{hash}") }
    }

    fn of(&self, table: &str) -> String {
        format!("{table}{}", self.suffix)
    }

    /// The query with the names of the copy. No name of a table is part of another name in it.
    fn renamed(&self, select: String) -> String {
        let tables = [EVENTS, "key_usage_minute"];
        tables.into_iter().fold(select, |select, table| select.replace(table, &self.of(table)))
    }
}
