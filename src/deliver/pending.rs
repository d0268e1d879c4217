//! Holds a lane's alerts, ordered by their worth and by the time of their next attempt.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    /// All revisions that wait or are on their way, by incident.
    revisions: HashMap<String, BTreeSet<u32>>,
    count: usize,
    /// Incidents with a revision on its way, and their other revisions that are due: two
    /// revisions of an incident are never on their way at once.
    on_the_way: HashMap<String, Vec<(Instant, Waiting)>>,
    sequence: u64,
}

impl Pending {
    /// The number of alerts that are neither delivered nor given up.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn len_of(&self, worth: Worth) -> usize {
        self.queues[worth as usize].len()
    }

    pub(super) fn holds(&self, alert: &Alert) -> bool {
        self.revisions.get(&alert.id).is_some_and(|it| it.contains(&alert.revision))
    }

    pub(super) fn push(&mut self, due: Instant, waiting: Waiting) {
        let revisions = self.revisions.entry(waiting.alert.id.clone()).or_default();
        self.count += usize::from(revisions.insert(waiting.alert.revision));
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
        let Some(revisions) = self.revisions.get_mut(&alert.id) else { return };
        self.count -= usize::from(revisions.remove(&alert.revision));
        if revisions.is_empty() {
            self.revisions.remove(&alert.id);
        }
    }

    /// Takes out the earlier revisions that must not follow `sent`, which was delivered: requests
    /// before a request, and other revisions whose delivery has failed before. They still count
    /// until [`Self::forget`].
    pub(super) fn take_overtaken(&mut self, sent: &Alert) -> Vec<Waiting> {
        let earliest = self.revisions.get(&sent.id).and_then(BTreeSet::first);
        if earliest.is_none_or(|earliest| *earliest >= sent.revision) {
            return Vec::new();
        }
        let is_request = sent.alert_type.is_request();
        let is_overtaken = |waiting: &Waiting| {
            let alert = &waiting.alert;
            alert.id == sent.id
                && alert.revision < sent.revision
                && alert.alert_type.is_request() == is_request
                && (is_request || waiting.attempts > 0)
        };
        let mut overtaken = Vec::new();
        for queue in &mut self.queues {
            let due: Vec<_> =
                queue.iter().filter(|(_, it)| is_overtaken(it)).map(|(due, _)| *due).collect();
            overtaken.extend(due.iter().filter_map(|due| queue.remove(due)));
        }
        if let Some(others) = self.on_the_way.get_mut(&sent.id) {
            overtaken.extend(others.extract_if(.., |(_, it)| is_overtaken(it)).map(|(_, it)| it));
        }
        overtaken
    }
}
