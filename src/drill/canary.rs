//! Makes the key of a drill: a canary that no customer can have.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{DrillError, OWNER};
use crate::event::EventTime;
use crate::registry::{KeyChange, RegisteredKey};
use crate::store::{Author, Store};

/// Others change the registry at most so often while the canary is stored.
const ATTEMPTS: u32 = 10;

/// A key with the prefix that is registered otherwise, or was accepted. Attempts do not count, also
/// if the answer to them was 200: whoever names such a key must not keep others from drills.
const STRANGER: &str = "\
    WITH drills AS (SELECT key_id FROM api_keys WHERE canary AND owner = {owner:String}) \
    SELECT key_id AS key FROM api_keys \
    WHERE startsWith(key_id, {prefix:String}) AND key_id NOT IN (SELECT key_id FROM drills) LIMIT 1 \
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
pub fn new_id(prefix: &str) -> String {
    let day: String = EventTime::now().to_string().chars().take(10).collect();
    format!("{prefix}{day}-{:08x}", rand::random::<u32>())
}

/// Registers the canary, and returns how long that took.
pub async fn register(store: &Store, key: &str) -> Result<Duration, DrillError> {
    let begin = Instant::now();
    let canary = RegisteredKey {
        key_id: key.into(),
        owner: OWNER.into(),
        tenant: OWNER.into(),
        canary: true,
        created_at: Some(EventTime::now()),
        ..RegisteredKey::default()
    };
    let change = KeyChange { keys: vec![canary], events: Vec::new() };
    let author = Author { who: OWNER, origin: "command_line" };
    for _ in 0..ATTEMPTS {
        let (after, known) = store.registration(key).await?;
        if known.is_some() {
            return Err(DrillError::Taken(key.to_owned()));
        }
        if store.change_keys(&change, author, after).await?.is_some() {
            return Ok(begin.elapsed());
        }
    }
    Err(DrillError::Contended)
}
