//! Which partitions this member of the group owns, and which of their batches
//! are being stored. A partition is let go only when nothing of it is in flight,
//! so that its next owner starts exactly where this one stopped.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::event::PartitionId;

/// What the reader has to follow.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The number tells one ownership of a partition from the next.
    Assigned(PartitionId, u64),
    Revoked(PartitionId),
}

#[derive(Debug, Default)]
pub(super) struct Assignment {
    state: Mutex<State>,
    committed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    owned: HashMap<PartitionId, Ownership>,
    ownerships: u64,
    changes: Vec<Change>,
    is_closing: bool,
}

#[derive(Debug)]
struct Ownership {
    number: u64,
    is_ending: bool,
    /// Last offset of what was handed out and is not committed.
    in_flight: Option<i64>,
}

impl Assignment {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn assign(&self, partitions: impl IntoIterator<Item = PartitionId>) {
        let mut state = self.lock();
        for partition in partitions {
            state.ownerships += 1;
            let number = state.ownerships;
            let ownership = Ownership { number, is_ending: false, in_flight: None };
            state.owned.insert(partition.clone(), ownership);
            state.changes.push(Change::Assigned(partition, number));
        }
    }

    /// Whether a partition of this number, of whichever topic, is owned.
    pub(super) fn owns(&self, number: i32) -> bool {
        self.lock().owned.keys().any(|partition| partition.partition == number)
    }

    /// Begins another ownership of a partition that stays, with a number of its own.
    pub(super) fn renew(&self, partition: &PartitionId) -> Option<u64> {
        let mut state = self.lock();
        let number = state.ownerships + 1;
        let ownership = state.owned.get_mut(partition).filter(|owned| !owned.is_ending)?;
        *ownership = Ownership { number, is_ending: false, in_flight: None };
        state.ownerships = number;
        Some(number)
    }

    /// What is in flight of `partition` will not be committed: nobody need wait for it.
    pub(super) fn give_up(&self, partition: &PartitionId) {
        self.commit(partition, i64::MAX);
    }

    /// Ends the ownership. Nothing more of `partitions` is handed out, and what
    /// is in flight is waited for as long as `patience`; returns what still is then.
    pub(super) fn revoke(
        &self,
        partitions: &[PartitionId],
        patience: Duration,
    ) -> Vec<PartitionId> {
        let mut state = self.lock();
        for partition in partitions {
            if let Some(ownership) = state.owned.get_mut(partition) {
                ownership.is_ending = true;
            }
        }
        let (mut state, _) = self
            .committed
            .wait_timeout_while(state, patience, |state| {
                !state.is_closing
                    && partitions.iter().any(|partition| state.is_in_flight(partition))
            })
            .unwrap_or_else(PoisonError::into_inner);
        let left = partitions.iter().filter(|partition| state.is_in_flight(partition)).cloned();
        let left = left.collect();
        for partition in partitions {
            state.owned.remove(partition);
            state.changes.push(Change::Revoked(partition.clone()));
        }
        left
    }

    /// From now on nothing is waited for: whoever stores has stopped.
    pub(super) fn close(&self) {
        self.lock().is_closing = true;
        self.committed.notify_all();
    }

    pub(super) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.lock().changes)
    }

    /// True when a batch that was read under ownership `number` may be handed out:
    /// it counts as in flight then.
    pub(super) fn hand_out(&self, partition: &PartitionId, number: u64, last_offset: i64) -> bool {
        let mut state = self.lock();
        match state.owned.get_mut(partition) {
            Some(ownership) if ownership.number == number && !ownership.is_ending => {
                ownership.in_flight = Some(last_offset);
                true
            }
            _ => false,
        }
    }

    pub(super) fn commit(&self, partition: &PartitionId, last_offset: i64) {
        let mut state = self.lock();
        if let Some(ownership) = state.owned.get_mut(partition)
            && ownership.in_flight.is_some_and(|in_flight| in_flight <= last_offset)
        {
            ownership.in_flight = None;
            self.committed.notify_all();
        }
    }
}

impl State {
    fn is_in_flight(&self, partition: &PartitionId) -> bool {
        self.owned.get(partition).is_some_and(|ownership| ownership.in_flight.is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn partition(partition: i32) -> PartitionId {
        PartitionId { topic: "t".into(), partition }
    }

    #[test]
    fn a_batch_of_an_ended_ownership_is_not_handed_out() {
        let assignment = Assignment::default();
        assignment.assign([partition(0)]);
        assignment.revoke(&[partition(0)], LONG);
        assert!(!assignment.hand_out(&partition(0), 1, 9));
        assignment.assign([partition(0)]);
        assert!(!assignment.hand_out(&partition(0), 1, 9), "the batch is of the first ownership");
        assert!(assignment.hand_out(&partition(0), 2, 9));
    }

    #[test]
    fn a_renewed_ownership_hands_out_nothing_of_the_old_one() {
        let assignment = Assignment::default();
        assert_eq!(assignment.renew(&partition(0)), None, "not ours");
        assignment.assign([partition(0)]);
        assert!(assignment.hand_out(&partition(0), 1, 9));
        assert_eq!(assignment.renew(&partition(0)), Some(2));
        assert!(!assignment.hand_out(&partition(0), 1, 19));
        assert!(assignment.hand_out(&partition(0), 2, 0));
    }

    #[test]
    fn what_is_given_up_is_not_waited_for() {
        let assignment = Assignment::default();
        assignment.assign([partition(0)]);
        assert!(assignment.hand_out(&partition(0), 1, 9));
        assignment.give_up(&partition(0));
        assert_eq!(assignment.revoke(&[partition(0)], LONG), []);
    }

    #[test]
    fn changes_are_reported_once_in_order() {
        let assignment = Assignment::default();
        assignment.assign([partition(0)]);
        assignment.revoke(&[partition(0)], LONG);
        let expected = [Change::Assigned(partition(0), 1), Change::Revoked(partition(0))];
        assert_eq!(assignment.take_changes(), expected);
        assert_eq!(assignment.take_changes(), []);
    }

    #[test]
    fn revoking_waits_for_the_last_batch_in_flight() {
        let assignment = Assignment::default();
        assignment.assign([partition(0)]);
        assert!(assignment.hand_out(&partition(0), 1, 9));
        assert!(assignment.hand_out(&partition(0), 1, 19));
        thread::scope(|scope| {
            let revoking = scope.spawn(|| assignment.revoke(&[partition(0)], LONG));
            while !assignment.lock().owned[&partition(0)].is_ending {
                thread::yield_now();
            }
            assignment.commit(&partition(0), 9);
            assert!(assignment.lock().is_in_flight(&partition(0)));
            assignment.commit(&partition(0), 19);
            assert!(matches!(revoking.join().as_deref(), Ok([])));
        });
    }

    #[test]
    fn what_is_still_in_flight_when_patience_ends_is_named() {
        let assignment = Assignment::default();
        assignment.assign([partition(0), partition(1)]);
        assert!(assignment.hand_out(&partition(1), 2, 9));
        let left = assignment.revoke(&[partition(0), partition(1)], Duration::ZERO);
        assert_eq!(left, [partition(1)]);
    }

    #[test]
    fn closing_ends_the_wait() {
        let assignment = Assignment::default();
        assignment.assign([partition(0)]);
        assert!(assignment.hand_out(&partition(0), 1, 9));
        assignment.close();
        assert_eq!(assignment.revoke(&[partition(0)], LONG), [partition(0)]);
    }
}
