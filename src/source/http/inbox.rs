//! Passes pushed events from the request to the batch, and the answer back to the request.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::repeats::Identity;
use super::verdict::Refusals;
use crate::record::RefusedPart;

/// A smaller body counts as this size, so that the number of small bodies is bounded too.
const MIN_BODY_BYTES: usize = 1 << 10;
/// A record takes this much besides its bytes.
const RECORD_BYTES: usize = 64;

/// The events of one request.
pub(super) struct Submission {
    pub(super) records: Vec<Vec<u8>>,
    pub(super) identity: Option<Identity>,
    pub(super) reply: oneshot::Sender<Outcome>,
    pub(super) space: Space,
}

/// The outcome of a submission. If the sender is dropped without one, the outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Stored {
        first_offset: i64,
        last_offset: i64,
        refusals: Refusals,
    },
    /// The submission never became part of a batch, so it is certainly not stored.
    NotTaken,
}

/// The request's side of the inbox. It bounds the bytes from the arrival of a body until its events
/// are stored.
#[derive(Clone)]
pub(super) struct Inbox {
    space: Arc<Semaphore>,
    submissions: mpsc::UnboundedSender<Submission>,
}

impl Inbox {
    pub(super) fn new(capacity_bytes: usize) -> (Self, mpsc::UnboundedReceiver<Submission>) {
        let (submissions, receiver) = mpsc::unbounded_channel();
        (Self { space: Arc::new(Semaphore::new(capacity_bytes)), submissions }, receiver)
    }

    /// Reserves space for a body of this size; `None` when there is none at present.
    pub(super) fn reserve(&self, bytes: usize) -> Option<Space> {
        let permits = u32::try_from(bytes.max(MIN_BODY_BYTES)).ok()?;
        let permit = Arc::clone(&self.space).try_acquire_many_owned(permits).ok()?;
        Some(Space { used: bytes, permit, all: Arc::clone(&self.space) })
    }

    /// Submits the records, keeps as much of `space` as they take, and returns the receiver of the
    /// outcome.
    pub(super) fn submit(
        &self,
        records: Vec<Vec<u8>>,
        identity: Option<Identity>,
        mut space: Space,
    ) -> oneshot::Receiver<Outcome> {
        let (reply, outcome) = oneshot::channel();
        space.shrink_to(records.iter().map(|record| record.len() + RECORD_BYTES).sum());
        if let Err(refused) = self.submissions.send(Submission { records, identity, reply, space })
        {
            tell(refused.0.reply, Outcome::NotTaken);
        }
        outcome
    }
}

/// The space that a request takes. It is free again when this is dropped.
pub(super) struct Space {
    used: usize,
    permit: OwnedSemaphorePermit,
    all: Arc<Semaphore>,
}

impl Space {
    /// Takes more. Returns false when there is none at present.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        self.used += bytes;
        let missing = self.used.saturating_sub(self.permit.num_permits());
        let more = u32::try_from(missing).ok();
        let more = more.and_then(|more| Arc::clone(&self.all).try_acquire_many_owned(more).ok());
        more.map(|more| self.permit.merge(more)).is_some()
    }

    fn shrink_to(&mut self, bytes: usize) {
        self.used = bytes;
        let beyond = self.permit.num_permits().saturating_sub(bytes.max(MIN_BODY_BYTES));
        drop(self.permit.split(beyond));
    }
}

/// The client may have disconnected, which is not an error here.
pub(super) fn tell(reply: oneshot::Sender<Outcome>, outcome: Outcome) {
    let _ = reply.send(outcome);
}

struct Waiting {
    first_offset: i64,
    last_offset: i64,
    refusals: Refusals,
    reply: oneshot::Sender<Outcome>,
    _space: Space,
}

/// Requests whose events have offsets and are not stored yet, ordered by offset.
#[derive(Default)]
pub(super) struct WaitingList {
    waiting: VecDeque<Waiting>,
}

impl WaitingList {
    pub(super) fn push(
        &mut self,
        first_offset: i64,
        last_offset: i64,
        reply: oneshot::Sender<Outcome>,
        space: Space,
    ) {
        let refusals = Refusals::default();
        let waiting = Waiting { first_offset, last_offset, refusals, reply, _space: space };
        self.waiting.push_back(waiting);
    }

    /// Notes a part that was not taken for the request that it belongs to.
    pub(super) fn note_refused(&mut self, part: &RefusedPart<'_>) {
        let place = self.waiting.partition_point(|waiting| waiting.last_offset < part.offset);
        let Some(waiting) = self.waiting.get_mut(place) else { return };
        if let Ok(event) = usize::try_from(part.offset - waiting.first_offset) {
            waiting.refusals.add(event, part.index, part.reason, part.detail);
        }
    }

    /// Answers all requests whose events are stored by now.
    pub(super) fn stored_up_to(&mut self, offset: i64) {
        let stored = self.waiting.partition_point(|waiting| waiting.last_offset <= offset);
        for waiting in self.waiting.drain(..stored) {
            let Waiting { first_offset, last_offset, refusals, reply, .. } = waiting;
            tell(reply, Outcome::Stored { first_offset, last_offset, refusals });
        }
    }

    /// Answers the requests after `offset`, whose events never became part of a batch. The others
    /// get no answer: their events may be stored.
    pub(super) fn close(self, handed_out_up_to: Option<i64>) {
        for waiting in self.waiting {
            if handed_out_up_to.is_none_or(|offset| waiting.first_offset > offset) {
                tell(waiting.reply, Outcome::NotTaken);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn wait(inbox: &Inbox, list: &mut WaitingList, offset: i64) -> oneshot::Receiver<Outcome> {
        let (reply, outcome) = oneshot::channel();
        list.push(offset, offset, reply, inbox.reserve(0).unwrap());
        outcome
    }

    #[test]
    fn only_those_whose_last_event_is_stored_are_answered() {
        let (inbox, _submissions) = Inbox::new(1 << 20);
        let mut list = WaitingList::default();
        let [mut first, mut second] = [1, 2].map(|offset| wait(&inbox, &mut list, offset));
        list.stored_up_to(1);
        let refusals = Refusals::default();
        let stored = Outcome::Stored { first_offset: 1, last_offset: 1, refusals };
        assert_eq!(first.try_recv(), Ok(stored));
        assert_eq!(second.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    }

    #[test]
    fn at_the_end_requests_in_a_batch_stay_without_an_answer() {
        let (inbox, _submissions) = Inbox::new(1 << 20);
        let mut list = WaitingList::default();
        let [mut handed_out, mut kept] = [1, 2].map(|offset| wait(&inbox, &mut list, offset));
        list.close(Some(1));
        assert_eq!(handed_out.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(kept.try_recv(), Ok(Outcome::NotTaken));
    }

    #[test]
    fn space_is_free_again_when_the_events_are_stored() {
        let (inbox, _submissions) = Inbox::new(2 * MIN_BODY_BYTES);
        let mut list = WaitingList::default();
        let _outcomes = [1, 2].map(|offset| wait(&inbox, &mut list, offset));
        assert!(inbox.reserve(1).is_none());
        list.stored_up_to(1);
        assert!(inbox.reserve(1).is_some());
    }

    #[test]
    fn space_beyond_what_the_records_take_is_free_at_once() {
        let (inbox, _submissions) = Inbox::new(10 * MIN_BODY_BYTES);
        let space = inbox.reserve(10 * MIN_BODY_BYTES).unwrap();
        let record = vec![b' '; 2 * MIN_BODY_BYTES - RECORD_BYTES];
        let _outcome = inbox.submit(vec![record], None, space);
        assert!(inbox.reserve(9 * MIN_BODY_BYTES).is_none());
        assert!(inbox.reserve(8 * MIN_BODY_BYTES).is_some());
    }

    #[test]
    fn a_request_takes_space_as_it_grows_and_the_last_of_it_is_for_others() {
        let (inbox, _submissions) = Inbox::new(10 * MIN_BODY_BYTES);
        let mut slow: Vec<_> = (0..4).map(|_| inbox.reserve(0).unwrap()).collect();
        assert!(inbox.reserve(6 * MIN_BODY_BYTES).is_some());
        assert!(slow[0].grow(MIN_BODY_BYTES), "the minimum is enough");
        assert!(slow[0].grow(6 * MIN_BODY_BYTES));
        assert!(!slow[1].grow(2 * MIN_BODY_BYTES));
    }

    #[test]
    fn nothing_is_taken_after_the_end() {
        let (inbox, submissions) = Inbox::new(1 << 20);
        drop(submissions);
        let mut outcome = inbox.submit(vec![], None, inbox.reserve(0).unwrap());
        assert_eq!(outcome.try_recv(), Ok(Outcome::NotTaken));
    }
}
