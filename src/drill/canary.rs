//! Makes the key of a drill, a canary that no customer can have, and retires it.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{DrillError, OWNER};
use crate::event::EventTime;
use crate::registry::{KeyChange, KeyStatus, RegisteredKey};
use crate::store::{Author, Store};

/// Others change the registry at most so often while the canary is stored.
const ATTEMPTS: u32 = 10;

/// A key with the prefix that is registered otherwise, or was accepted. Attempts do not count, also
/// if the answer to them was 200: whoever names such a key must not keep others from drills.
const STRANGER: &str = "\
    SELECT key_id AS key FROM api_keys \
    WHERE startsWith(key_id, {prefix:String}) AND owner != {owner:String} LIMIT 1 \
    UNION ALL \
    SELECT key_id AS key FROM access_events WHERE startsWith(key_id, {prefix:String}) \
        AND ifNull(authenticated, status BETWEEN 200 AND 399) LIMIT 1";

#[derive(Deserialize)]
struct Stranger {
    key: String,
}

/// # Errors
/// [`DrillError::Taken`] if a key of somebody else begins with the prefix.
pub async fn refuse_strangers(
    store: &Store,
    prefix: &str,
    of_file: &[String],
) -> Result<(), DrillError> {
    let stored: Vec<Stranger> =
        store.query_rows(STRANGER, &[("owner", OWNER), ("prefix", prefix)]).await?;
    let of_file = of_file.iter().find(|key| key.starts_with(prefix)).cloned();
    match stored.into_iter().map(|row| row.key).next().or(of_file) {
        Some(key) => Err(DrillError::Taken(key)),
        None => Ok(()),
    }
}

/// A new id for each drill: an incident that is open from another one would swallow its alert.
pub fn new(prefix: &str) -> RegisteredKey {
    let now = EventTime::now();
    let day: String = now.to_string().chars().take(10).collect();
    RegisteredKey {
        key_id: format!("{prefix}{day}-{:08x}", rand::random::<u32>()).into(),
        owner: OWNER.into(),
        tenant: OWNER.into(),
        canary: true,
        created_at: Some(now),
        ..RegisteredKey::default()
    }
}

/// Registers the canary, and returns how long that took.
pub async fn register(store: &Store, canary: &RegisteredKey) -> Result<Duration, DrillError> {
    let begin = Instant::now();
    change(store, canary, Option::is_none).await?;
    Ok(begin.elapsed())
}

/// Makes a retired key of the canary, so that requests that are read later trip nothing. They are
/// from the time before it was retired, and for that no other detector minds them either.
///
/// It is stored also if the canary is not known: its registration may still be under way, and comes
/// too late after this.
pub async fn retire(store: &Store, canary: &RegisteredKey) -> Result<(), DrillError> {
    let retired = RegisteredKey {
        canary: false,
        status: KeyStatus::Retired,
        grace_ends_at: Some(EventTime::now()),
        ..canary.clone()
    };
    let is_own = |known: &Option<RegisteredKey>| known.as_ref().is_none_or(|it| it.owner == OWNER);
    change(store, &retired, is_own).await
}

/// Stores the key if what is known of it lets it.
async fn change(
    store: &Store,
    key: &RegisteredKey,
    fits: fn(&Option<RegisteredKey>) -> bool,
) -> Result<(), DrillError> {
    let change = KeyChange { keys: vec![key.clone()], events: Vec::new() };
    let author = Author { who: OWNER, origin: "command_line" };
    for _ in 0..ATTEMPTS {
        let (after, known) = store.registration(&key.key_id).await?;
        if !fits(&known) {
            return Err(DrillError::Taken(key.key_id.to_string()));
        }
        if store.change_keys(&change, author, after).await?.is_some() {
            return Ok(());
        }
    }
    Err(DrillError::Contended)
}
