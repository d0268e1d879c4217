//! Tracks the partitions that this member of the group owns, and their batches in flight. A
//! partition is released only when none of its batches is in flight, so that its next owner starts
//! exactly where this one stopped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::event::PartitionId;

/// A change of the assignment that the reader follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The number distinguishes successive ownerships of a partition.
    Assigned(PartitionId, u64),
    Revoked(PartitionId),
}

#[derive(Debug, Default)]
pub(super) struct Assignment {
    state: Mutex<State>,
    /// Signals a commit, a release, or the end.
    changed: Condvar,
    /// The pipeline saves the state of a partition before it is released.
    is_waited_for: AtomicBool,
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
    /// Last offset that was returned and is not committed.
    in_flight: Option<i64>,
    /// Last offset that was taken from the queue.
    taken_to: Option<i64>,
    release: Release,
}

/// Whether a partition with no batch in flight may be released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Release {
    #[default]
    NotAsked,
    Asked,
    /// The pipeline was asked to save its state.
    Told,
    Granted,
}

/// Limits for how long a revoked partition is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Wait for batches in flight.
    pub(super) batches: Duration,
    /// Wait for its state after that.
    pub(super) state: Duration,
}

impl Assignment {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn assign(&self, partitions: impl IntoIterator<Item = PartitionId>) {
        let mut state = self.lock();
        for partition in partitions {
            state.ownerships += 1;
            let number = state.ownerships;
            let ownership = Ownership::new(number);
            state.owned.insert(partition.clone(), ownership);
            state.changes.push(Change::Assigned(partition, number));
        }
    }

    /// Whether this member owns a partition of this number, of any topic.
    pub(super) fn owns(&self, number: i32) -> bool {
        self.lock().owned.keys().any(|partition| partition.partition == number)
    }

    /// Begins a new ownership, with a new number, of a partition that stays assigned.
    pub(super) fn renew(&self, partition: &PartitionId) -> Option<u64> {
        let mut state = self.lock();
        let number = state.ownerships + 1;
        let ownership = state.owned.get_mut(partition).filter(|owned| !owned.is_ending)?;
        *ownership = Ownership::new(number);
        state.ownerships = number;
        Some(number)
    }

    pub(super) fn note_taken(&self, partition: &PartitionId, last_offset: i64) {
        if let Some(ownership) = self.lock().owned.get_mut(partition) {
            ownership.taken_to = Some(last_offset);
        }
    }

    /// Returns the offset of the last record that was taken of `partition` in this ownership.
    pub(super) fn taken_to(&self, partition: &PartitionId) -> Option<i64> {
        self.lock().owned.get(partition)?.taken_to
    }

    /// Notes that the batches of `partition` in flight will not be committed, so that nothing waits
    /// for them.
    pub(super) fn give_up(&self, partition: &PartitionId) {
        self.commit(partition, i64::MAX);
    }

    /// Ends the ownership of `partitions`. None of their batches is returned any more. Waits for
    /// their batches in flight and then for their state. Returns the partitions that still have
    /// batches in flight.
    pub(super) fn revoke(
        &self,
        partitions: &[PartitionId],
        patience: Patience,
    ) -> Vec<PartitionId> {
        let mut state = self.lock();
        for partition in partitions {
            if let Some(ownership) = state.owned.get_mut(partition) {
                ownership.is_ending = true;
            }
        }
        let in_flight = |state: &State| partitions.iter().any(|p| state.is_in_flight(p));
        state = self.wait_while(state, patience.batches, in_flight);
        if !patience.state.is_zero() && self.is_waited_for.load(Ordering::Relaxed) {
            for partition in partitions {
                state.ask_for_release(partition);
            }
            let is_kept = |state: &State| partitions.iter().any(|p| state.is_kept(p));
            state = self.wait_while(state, patience.state, is_kept);
        }
        let left = partitions.iter().filter(|partition| state.is_in_flight(partition)).cloned();
        let left = left.collect();
        for partition in partitions {
            state.owned.remove(partition);
            state.changes.push(Change::Revoked(partition.clone()));
        }
        left
    }

    fn wait_while<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        patience: Duration,
        condition: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let unmet = |state: &mut State| !state.is_closing && condition(state);
        self.changed.wait_while_for(&mut state, unmet, patience);
        state
    }

    /// Returns the partitions that wait to be released, each once. After the first call,
    /// revocations wait for the release.
    pub(super) fn take_leaving(&self) -> Vec<PartitionId> {
        self.is_waited_for.store(true, Ordering::Relaxed);
        let mut state = self.lock();
        let mut leaving = Vec::new();
        for (partition, ownership) in &mut state.owned {
            if ownership.release == Release::Asked {
                ownership.release = Release::Told;
                leaving.push(partition.clone());
            }
        }
        leaving
    }

    pub(super) fn release(&self, partition: &PartitionId) {
        if let Some(ownership) = self.lock().owned.get_mut(partition) {
            ownership.release = Release::Granted;
        }
        self.changed.notify_all();
    }

    /// Ends all waits: the writer has stopped.
    pub(super) fn close(&self) {
        self.lock().is_closing = true;
        self.changed.notify_all();
    }

    pub(super) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.lock().changes)
    }

    /// Returns true when a batch that was read under ownership `number` may be returned. The batch
    /// then counts as in flight.
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
            self.changed.notify_all();
        }
    }
}

impl Ownership {
    fn new(number: u64) -> Self {
        Self {
            number,
            is_ending: false,
            in_flight: None,
            taken_to: None,
            release: Release::default(),
        }
    }
}

impl State {
    /// A partition with batches in flight is not asked for: no saved state matches it.
    fn ask_for_release(&mut self, partition: &PartitionId) {
        if let Some(ownership) = self.owned.get_mut(partition)
            && ownership.in_flight.is_none()
        {
            ownership.release = Release::Asked;
        }
    }

    fn is_kept(&self, partition: &PartitionId) -> bool {
        self.owned
            .get(partition)
            .is_some_and(|ownership| matches!(ownership.release, Release::Asked | Release::Told))
    }

    fn is_in_flight(&self, partition: &PartitionId) -> bool {
        self.owned.get(partition).is_some_and(|ownership| ownership.in_flight.is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const LONG: Patience = Patience { batches: HOUR, state: HOUR };
    const NONE: Patience = Patience { batches: Duration::ZERO, state: Duration::ZERO };

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
    fn a_partition_that_is_given_up_is_not_waited_for() {
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
    fn revoking_waits_until_the_state_is_saved() {
        let assignment = Assignment::default();
        assert_eq!(assignment.take_leaving(), []);
        assignment.assign([partition(0), partition(1)]);
        assert!(assignment.hand_out(&partition(1), 2, 9));
        let some = Patience { batches: Duration::ZERO, state: HOUR };
        thread::scope(|scope| {
            let both = [partition(0), partition(1)];
            let assignment = &assignment;
            let revoking = scope.spawn(move || assignment.revoke(&both, some));
            let leaving = loop {
                let leaving = assignment.take_leaving();
                if !leaving.is_empty() {
                    break leaving;
                }
            };
            assert_eq!(leaving, [partition(0)], "the other one has a batch in flight");
            assert_eq!(assignment.take_leaving(), [], "returned once");
            assert!(!revoking.is_finished());
            assignment.release(&partition(0));
            assert_eq!(revoking.join().ok(), Some(vec![partition(1)]));
        });
    }

    #[test]
    fn batches_still_in_flight_after_the_time_limit_are_named() {
        let assignment = Assignment::default();
        assignment.assign([partition(0), partition(1)]);
        assert!(assignment.hand_out(&partition(1), 2, 9));
        let left = assignment.revoke(&[partition(0), partition(1)], NONE);
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
