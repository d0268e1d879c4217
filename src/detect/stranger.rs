//! Finds a network that tries one key again and again and is always refused: `auth.failure_burst`.
//!
//! A thief whose address is not on the key's allow list, or who has the key without its secret, is
//! never accepted. Each refusal alone is nothing, and they need not come in one minute.

use serde_json::json;

use super::Signal;
use crate::alert::{Action, DetectorId, Restraint};
use crate::event::AccessEvent;
use crate::profile::strangers::Refusals;
use crate::text::duration;

/// Fewer refusals within a day are an owner's mistake at a new desk.
const MIN_REFUSALS: u16 = 10;
/// P-value of so many refusals within a day at a place that is not the key's. It is an estimate of
/// how often an owner sets up a new machine wrongly and does not notice.
const TRIED: f64 = 1e-5;

/// Judges the refusals of one network with one key. It is reported once.
pub fn find_stranger(refusals: Refusals, event: &AccessEvent) -> Option<Signal> {
    let Refusals { count, since, is_told } = refusals;
    if count < MIN_REFUSALS || is_told {
        return None;
    }
    let AccessEvent { client_ip, time, status, .. } = event;
    let within = duration(time.seconds_since(since).max(1.0));
    let signal = Signal {
        detector: DetectorId::AuthFailureBurst,
        p_value: TRIED,
        observed: Some(f64::from(count)),
        expected: Some(0.0),
        headline: format!("{client_ip} tries the key and is refused"),
        sentence: format!(
            "{count} requests with this key from {client_ip} or its neighbours were refused within \
             {within} (the last with status {status}), and none of the key's places is there: somebody \
             has the key but not all of it, or its owner set up a new machine wrongly."
        ),
        fields: json!({
            "ip": client_ip,
            "count": count,
            "since": since,
            "status": status,
        }),
        ceiling: None,
    };
    Some(signal.at_most(Action::Notify, Restraint::AttemptsOnly))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventTime;

    #[test]
    fn ten_refusals_of_a_stranger_are_reported_once() {
        let since = EventTime::from_seconds(1_700_000_000);
        let event = AccessEvent::minimal(since.plus_seconds(60.0), "key", [192, 0, 2, 1].into());
        let find = |count, is_told| find_stranger(Refusals { count, since, is_told }, &event);
        assert!(find(9, false).is_none() && find(10, true).is_none());
        let ceiling = find(10, false).and_then(|signal| signal.ceiling).map(|it| it.most);
        assert_eq!(ceiling, Some(Action::Notify));
    }
}
