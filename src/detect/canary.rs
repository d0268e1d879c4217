//! Reports requests that name a canary key: `lifecycle.canary_use`.
//!
//! Nobody may use such a key, and nobody is told of it. A request that names it thus comes from
//! somebody who has read where it was hidden, whether or not the API accepted it.

use serde_json::json;

use super::Signal;
use crate::alert::{Action, DetectorId, Restraint};
use crate::event::EnrichedEvent;
use crate::registry::RegisteredKey;

/// Probability that a request names the key by chance.
pub const BY_CHANCE: f64 = 1e-11;

/// Returns the signal. An attempt does not show that its sender holds the key: the action is then no
/// more than a notice, and the severity critical all the same.
pub fn canary_signal(key: &RegisteredKey, enriched: &EnrichedEvent, is_accepted: bool) -> Signal {
    let event = &enriched.event;
    let signal = Signal {
        detector: DetectorId::CanaryUse,
        p_value: BY_CHANCE,
        observed: None,
        expected: None,
        headline: if is_accepted { "a canary key was used" } else { "a canary key was tried" }
            .into(),
        sentence: format!(
            "The key is a canary, which nobody may use: whoever sent {} {} from {} has read a place \
             where it was hidden. The answer was {}.",
            event.method, event.path, event.client_ip, event.status
        ),
        fields: json!({
            "ip": event.client_ip,
            "country": event_country(enriched),
            "user_agent": event.user_agent,
            "method": event.method,
            "route": event.path,
            "status": event.status,
            "accepted": is_accepted,
            "owner": key.owner,
        }),
        ceiling: None,
    };
    if is_accepted { signal } else { signal.at_most(Action::Notify, Restraint::AttemptsOnly) }
}

fn event_country(enriched: &EnrichedEvent) -> Option<&str> {
    Some(enriched.origin.country.as_str()).filter(|country| !country.is_empty())
}
