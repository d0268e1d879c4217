//! Collects which events of a request were not taken, for the answer to its sender.

use serde::Serialize;

/// Refusals that an answer lists; it counts all of them.
const MOST_LISTED: usize = 100;

/// The refused events of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusals {
    /// Events of which at least a part was refused.
    pub(super) events: usize,
    pub(super) listed: Vec<Refusal>,
    last: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Refusal {
    /// The place of the event in the request, from 0.
    event: usize,
    /// The place in the event, where an event is an array.
    #[serde(skip_serializing_if = "is_zero")]
    part: u32,
    reason: String,
    detail: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(part: &u32) -> bool {
    *part == 0
}

impl Refusals {
    /// Adds a part of the event at this place. Parts come in order.
    pub(super) fn add(&mut self, event: usize, part: u32, reason: &str, detail: &str) {
        if self.last != Some(event) {
            self.events += 1;
            self.last = Some(event);
        }
        if self.listed.len() < MOST_LISTED {
            let (reason, detail) = (reason.to_owned(), detail.to_owned());
            self.listed.push(Refusal { event, part, reason, detail });
        }
    }

    /// Adds those of a request that held the events at these places only.
    pub(super) fn join(&mut self, rest: Self, places: &[usize]) {
        self.events += rest.events;
        let room = MOST_LISTED.saturating_sub(self.listed.len());
        self.listed.extend(
            rest.listed.into_iter().take(room).filter_map(|refusal| {
                Some(Refusal { event: *places.get(refusal.event)?, ..refusal })
            }),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_once_and_the_list_is_bounded() {
        let mut refusals = Refusals::default();
        for event in 0..1_000 {
            for index in 0..2 {
                refusals.add(event, index, "empty_record", "");
            }
        }
        assert_eq!((refusals.events, refusals.listed.len()), (1_000, MOST_LISTED));
    }
}
