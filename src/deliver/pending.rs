//! Holds a lane's alerts, ordered by the time of their next attempt.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use backon::ExponentialBackoff;
use tokio::time::Instant;

use crate::alert::Alert;

/// One revision of one incident.
pub(super) type AlertKey = (String, u32);

pub(super) fn key(alert: &Alert) -> AlertKey {
    (alert.id.clone(), alert.revision)
}

pub(super) struct Waiting {
    pub(super) alert: Arc<Alert>,
    /// The number of attempts made.
    pub(super) attempts: u32,
    pub(super) backoff: ExponentialBackoff,
}

#[derive(Default)]
pub(super) struct Pending {
    /// The number keeps alerts that are due at one instant in order of arrival.
    by_due: BTreeMap<(Instant, u64), Waiting>,
    /// Keys of all alerts in `by_due`.
    keys: HashSet<AlertKey>,
    sequence: u64,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.by_due.len()
    }

    pub(super) fn holds(&self, alert: &Alert) -> bool {
        self.keys.contains(&key(alert))
    }

    pub(super) fn push(&mut self, due: Instant, waiting: Waiting) {
        self.keys.insert(key(&waiting.alert));
        self.by_due.insert((due, self.sequence), waiting);
        self.sequence += 1;
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.by_due.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes at most `limit` alerts that are due at `now`, the longest due first.
    pub(super) fn take_due(&mut self, now: Instant, limit: usize) -> Vec<Waiting> {
        let mut taken = Vec::new();
        while taken.len() < limit && self.next_due().is_some_and(|due| due <= now) {
            let Some((_, waiting)) = self.by_due.pop_first() else { break };
            self.keys.remove(&key(&waiting.alert));
            taken.push(waiting);
        }
        taken
    }
}
