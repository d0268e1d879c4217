//! Records what a receiver's answer says about a key as an event in the key's life.

use tracing::info;

use crate::registry::{KeyChange, KeyEvent, KeyEventKind, Step};
use crate::store::{Answered, Author, Store, StoreError};

/// A change that another process overtakes is made again at most this often; then by the next look.
const ATTEMPTS: u32 = 3;

const AUTHOR: Author<'static> = Author { who: "keywatch", origin: "webhook" };

/// Records the answers that are not recorded yet.
///
/// # Errors
/// [`StoreError`]; what was not recorded is recorded by a later look.
pub async fn record(store: &Store) -> Result<(), StoreError> {
    for answer in store.unrecorded_answers().await? {
        let (incident, key_id) = (&answer.incident, &answer.key_id);
        let kind = answer.kind.as_str();
        for _ in 0..ATTEMPTS {
            let (number, change) = change(store, &answer).await?;
            if store.change_keys(&change, AUTHOR, number).await?.is_some() {
                info!(%incident, %key_id, kind, "the receiver confirms an action");
                break;
            }
        }
    }
    Ok(())
}

/// The event, and for a revocation the registration after it. A suspension ends at its time, and so
/// its end is recorded with it.
async fn change(store: &Store, answer: &Answered) -> Result<(u64, KeyChange), StoreError> {
    let event = |kind, time| KeyEvent {
        source: Answered::SOURCE.to_owned(),
        text: answer.reference(),
        ..KeyEvent::new(answer.key_id.clone(), kind, time)
    };
    let (number, registered) = store.registration(&answer.key_id).await?;
    let mut change = KeyChange { keys: Vec::new(), events: vec![event(answer.kind, answer.time)] };
    if answer.kind == KeyEventKind::Suspended {
        change.events.extend(answer.until.map(|until| event(KeyEventKind::Resumed, until)));
        return Ok((number, change));
    }
    let step = Step { kind: answer.kind, time: answer.time, to: None, grace_ends_at: answer.time };
    let next = registered.filter(|key| !key.is_revoked()).and_then(|key| key.after(&step).ok());
    change.keys.extend(next);
    Ok((number, change))
}
