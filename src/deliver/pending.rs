//! Holds a lane's alerts, ordered by their worth and by the time of their next attempt.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use backon::ExponentialBackoff;
use tokio::time::Instant;

use super::inbox::Worth;
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
    /// A queue for each worth. The number keeps alerts that are due at one instant in order of
    /// arrival.
    queues: [BTreeMap<(Instant, u64), Waiting>; 3],
    /// Keys of all alerts that wait or are on their way.
    keys: HashSet<AlertKey>,
    /// Incidents with a revision on its way, and their other revisions that are due: two
    /// revisions of an incident are never on their way at once.
    on_the_way: HashMap<String, Vec<(Instant, Waiting)>>,
    sequence: u64,
}

impl Pending {
    /// The number of alerts that are neither delivered nor given up.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn len_of(&self, worth: Worth) -> usize {
        self.queues[worth as usize].len()
    }

    pub(super) fn holds(&self, alert: &Alert) -> bool {
        self.keys.contains(&key(alert))
    }

    pub(super) fn push(&mut self, due: Instant, waiting: Waiting) {
        self.keys.insert(key(&waiting.alert));
        let queue = &mut self.queues[Worth::of(&waiting.alert) as usize];
        queue.insert((due, self.sequence), waiting);
        self.sequence += 1;
    }

    /// When the next alert of one of these worths is due.
    pub(super) fn next_due(&self, worths: &[Worth]) -> Option<Instant> {
        let queues = worths.iter().map(|worth| &self.queues[*worth as usize]);
        queues.filter_map(|queue| queue.first_key_value()).map(|((due, _), _)| *due).min()
    }

    /// Takes at most `limit` alerts that are due at `now`: the most urgent first, and of these the
    /// longest due. They still count until [`Self::forget`] or [`Self::push`].
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        limit: usize,
        worths: &[Worth],
    ) -> Vec<Waiting> {
        let mut taken = Vec::new();
        for worth in worths {
            let queue = &mut self.queues[*worth as usize];
            while taken.len() < limit
                && let Some(entry) = queue.first_entry()
                && entry.key().0 <= now
            {
                let ((due, _), waiting) = entry.remove_entry();
                match self.on_the_way.get_mut(&waiting.alert.id) {
                    Some(others) => others.push((due, waiting)),
                    None => taken.push(waiting),
                }
            }
        }
        taken
    }

    /// Notes that a revision of this incident is on its way.
    pub(super) fn depart(&mut self, alert: &Alert) {
        self.on_the_way.entry(alert.id.clone()).or_default();
    }

    /// Notes that it has arrived, or failed to. Other revisions that were due meanwhile may follow.
    pub(super) fn arrive(&mut self, alert: &Alert) {
        for (due, waiting) in self.on_the_way.remove(&alert.id).unwrap_or_default() {
            self.push(due, waiting);
        }
    }

    /// Forgets an alert that has its final outcome.
    pub(super) fn forget(&mut self, alert: &Alert) {
        self.keys.remove(&key(alert));
    }
}
