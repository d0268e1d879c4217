//! Compares rows with the registry and stores the difference, unless somebody else has changed the
//! registry meanwhile: then they are compared again.

use std::sync::Arc;

use crate::event::{EventTime, KeyHash, KeyId};
use crate::registry::{Entry, FeedPosition, Import, Known, Repeats, Row};
use crate::store::{Author, Store, StoreError};

/// Others change the registry at most so often while rows are compared.
const ATTEMPTS: u32 = 10;
/// For more rows than this, all registrations are read: asking for ids part by part takes longer.
const MANY_ROWS: usize = 500;

#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("others change the registry all the time; try again")]
    Contended,
}

impl TakeError {
    /// Whether the same rows may go in later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Contended => true,
        }
    }
}

/// Stores rows.
#[derive(Clone)]
pub struct Taking {
    store: Arc<Store>,
}

impl Taking {
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// Takes the rows that fit.
    ///
    /// # Errors
    /// [`TakeError`]; after an error of the store, the rows may or may not be stored.
    pub async fn take(
        &self,
        entries: &[Entry],
        repeats: Repeats,
        author: Author<'_>,
    ) -> Result<Import, TakeError> {
        for _ in 0..ATTEMPTS {
            let (number, import) = self.compare(entries, repeats).await?;
            let change = &import.change;
            if change.is_empty() || self.store.change_keys(change, author, number).await?.is_some()
            {
                return Ok(import);
            }
        }
        Err(TakeError::Contended)
    }

    /// Tells what [`Self::take`] would do.
    ///
    /// # Errors
    /// [`TakeError`].
    pub async fn try_out(&self, entries: &[Entry], repeats: Repeats) -> Result<Import, TakeError> {
        Ok(self.compare(entries, repeats).await?.1)
    }

    /// Takes consecutive records of a topic, numbered by their offsets, once: those that are stored
    /// are left out, whoever stored them.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub async fn take_records(
        &self,
        entries: &[Entry],
        position: &FeedPosition,
        author: Author<'_>,
    ) -> Result<Import, TakeError> {
        for _ in 0..ATTEMPTS {
            let (number, known) = self.known(entries).await?;
            let stored = self.store.feed_offset(position, number).await?;
            if stored.is_some_and(|stored| stored >= position.last_offset) {
                return Ok(Import::default());
            }
            let is_new = |entry: &&Entry| {
                let offset = i64::try_from(entry.number).unwrap_or(i64::MAX);
                stored.is_none_or(|stored| offset > stored)
            };
            let new = entries.iter().filter(is_new);
            let import = Import::of(new, &known, Repeats::Follow, EventTime::now());
            let change = &import.change;
            let done = self.store.change_keys_of_feed(change, position, author, number);
            if done.await?.is_some() {
                return Ok(import);
            }
        }
        Err(TakeError::Contended)
    }

    async fn compare(
        &self,
        entries: &[Entry],
        repeats: Repeats,
    ) -> Result<(u64, Import), TakeError> {
        let (number, known) = self.known(entries).await?;
        Ok((number, Import::of(entries, &known, repeats, EventTime::now())))
    }

    /// What the rows are compared with, and the number of the change that it includes.
    async fn known(&self, entries: &[Entry]) -> Result<(u64, Known), StoreError> {
        let rows: Vec<&Row> = entries.iter().filter_map(|entry| entry.row.as_ref().ok()).collect();
        let has_events = rows.iter().any(|row| matches!(row, Row::Event(_)));
        // An event is compared with the events of its key, which are not read with registrations.
        if rows.len() > MANY_ROWS && !has_events {
            let (number, keys) = self.store.registrations().await?;
            return Ok((number, Known { keys, ..Known::default() }));
        }
        let ids: Vec<&str> = rows.iter().map(|row| row.key_id().as_str()).collect();
        let hashes: Vec<KeyHash> = rows.iter().filter_map(|row| hash(row)).collect();
        let successors: Vec<KeyId> = rows.iter().filter_map(|row| successor(row)).collect();
        self.store.known_of(&ids, &hashes, &successors).await
    }
}

fn hash(row: &Row) -> Option<KeyHash> {
    match row {
        Row::Key(key) => key.key_hash,
        Row::Event(_) => None,
    }
}

fn successor(row: &Row) -> Option<KeyId> {
    match row {
        Row::Key(key) => key.rotated_to.clone(),
        Row::Event(told) => told.step.to.clone(),
    }
}
