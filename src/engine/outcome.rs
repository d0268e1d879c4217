//! Defines the engine's answer to one batch.

use crate::alert::Alert;
use crate::profile::stuffing::SourceAttempt;

use super::partition_clock::QuarantineReason;

/// The engine's treatment of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The event was judged against its key's profile.
    Judged,
    /// The event's key has no profile: the key is unknown and was never accepted, or `max_keys` is
    /// reached. Only the event's source was judged.
    Unprofiled,
    /// The record was already processed (Kafka delivers at least once). It changed nothing.
    Redelivered,
    /// The event's time cannot be trusted. The event is stored, but neither judged nor learned.
    Quarantined(QuarantineReason),
}

/// The engine's answer to one batch.
#[derive(Debug, Default)]
pub struct BatchOutcome {
    /// One disposition for each event of the batch, in the order of the events.
    pub dispositions: Vec<Disposition>,
    pub alerts: Vec<Alert>,
    /// Attempts that other partitions need to know.
    pub attempts: Vec<SourceAttempt>,
    /// Number of uses of nonces and signatures that were dropped within the replay horizon, because
    /// the memory for them was full.
    pub forgotten: u64,
}

impl BatchOutcome {
    /// The number of events with this disposition.
    pub fn count(&self, disposition: Disposition) -> usize {
        self.dispositions.iter().filter(|this| **this == disposition).count()
    }

    /// The reasons of all quarantined events.
    pub fn quarantined(&self) -> impl Iterator<Item = QuarantineReason> {
        self.dispositions.iter().filter_map(|disposition| match disposition {
            Disposition::Quarantined(reason) => Some(*reason),
            _ => None,
        })
    }
}
