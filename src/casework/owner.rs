//! Records the answers of the registered owner of a key to "Was it you?".
//!
//! Whoever has the links may answer: the owner, or a thief who reads the owner's mail. So an answer is
//! kept and counted, and changes neither the state of the incident nor what happens to the key. It is
//! kept after a closing too: a denial that comes late is what people must hear of.

use metrics::counter;
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use super::case::{self, Case};
use crate::alert::{IncidentState, OwnerAnswer};
use crate::store::{Store, StoreError};
use crate::workflow::{Act, Kind, Origin};

/// Each answer is kept this often. An owner may change their mind and be corrected by nobody; a thief
/// who answers in turn can neither fill the table nor use up the owner's "it was not me".
const MOST_OF_EACH: u32 = 3;

/// The outcome of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Nobody was asked about such an incident.
    Unknown,
    /// The owner changed their mind too often; the answers so far stand.
    TooOften,
    Kept {
        is_closed: bool,
    },
}

/// Keeps the answer of the owner who was asked about this incident. The same answer again changes
/// nothing.
///
/// # Errors
/// [`StoreError`]; the answer may be given again.
pub async fn answer_as_owner(
    store: &Store,
    incident: &str,
    answer: OwnerAnswer,
) -> Result<Answered, StoreError> {
    let Some(case) = case::load(store, &[incident]).await?.remove(incident) else {
        return Ok(Answered::Unknown);
    };
    let Some(owner) = asked_owner(&case) else { return Ok(Answered::Unknown) };
    let is_closed = case.state() == IncidentState::Closed;
    let word = case.course.standing.owner.clone().unwrap_or_default();
    if word.last == Some(answer) {
        return Ok(Answered::Kept { is_closed });
    }
    if word.count(answer) >= MOST_OF_EACH {
        return Ok(Answered::TooOften);
    }
    let act = act(&case, owner, answer, word.count(answer));
    store.record_acts(std::slice::from_ref(&act)).await?;
    tell(incident, answer, is_closed);
    Ok(Answered::Kept { is_closed })
}

fn asked_owner(case: &Case) -> Option<String> {
    let mut acts = case.course.steps.iter().map(|(act, _)| act);
    let asked = acts.find(|act| act.kind == Kind::AskOwner)?;
    Some(asked.assignee.clone().unwrap_or_default())
}

fn act(case: &Case, owner: String, answer: OwnerAnswer, number: u32) -> Act {
    let incident = &case.latest().id;
    Act {
        incident: incident.clone(),
        id: act_id(incident, answer, number),
        time: case.course.last().unwrap_or_default(),
        who: owner,
        origin: Origin::Link,
        kind: Kind::of_answer(answer),
        reason: None,
        assignee: None,
        text: String::new(),
        seen: case.seen(),
        quiet_seconds: 0,
    }
}

/// The same for two answers that are given at once: one of them counts.
fn act_id(incident: &str, answer: OwnerAnswer, number: u32) -> String {
    let text = format!("owner/{incident}/{}/{number}", answer.as_str());
    format!("own_{}", hex::encode(&Sha256::digest(text)[..16]))
}

fn tell(incident: &str, answer: OwnerAnswer, is_closed: bool) {
    let state = if is_closed { "closed" } else { "open" };
    let said = answer.as_str();
    counter!("keywatch_owner_answers_total", "answer" => said, "incident" => state).increment(1);
    match answer {
        OwnerAnswer::ItWasNotMe => warn!(incident, state, "a key's owner says: it was not me"),
        OwnerAnswer::ItWasMe => info!(incident, state, "a key's owner says: it was me"),
    }
}
