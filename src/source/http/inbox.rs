//! Pushed events on their way from the request to the batch, and the answer on its way back.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Counted for the smallest body, so that many of them are bounded too.
const MIN_BODY_BYTES: usize = 1 << 10;

/// The events of one request.
pub(super) struct Submission {
    pub(super) records: Vec<Vec<u8>>,
    pub(super) reply: oneshot::Sender<Outcome>,
    pub(super) space: OwnedSemaphorePermit,
}

/// What became of a submission. No answer at all means: nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Stored {
        first_offset: i64,
        last_offset: i64,
    },
    /// It was never handed out, so it is certainly not stored.
    NotTaken,
}

/// The request's end: bounded by bytes from the arrival of a body until it is stored.
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

    /// Space for a body of this size; `None` when there is none at present.
    pub(super) fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(bytes.max(MIN_BODY_BYTES)).ok()?;
        Arc::clone(&self.space).try_acquire_many_owned(permits).ok()
    }

    /// Where the outcome will be told.
    pub(super) fn submit(
        &self,
        records: Vec<Vec<u8>>,
        space: OwnedSemaphorePermit,
    ) -> oneshot::Receiver<Outcome> {
        let (reply, outcome) = oneshot::channel();
        if let Err(refused) = self.submissions.send(Submission { records, reply, space }) {
            tell(refused.0.reply, Outcome::NotTaken);
        }
        outcome
    }
}

/// The client may be gone; that changes nothing.
pub(super) fn tell(reply: oneshot::Sender<Outcome>, outcome: Outcome) {
    let _ = reply.send(outcome);
}

struct Waiting {
    first_offset: i64,
    last_offset: i64,
    reply: oneshot::Sender<Outcome>,
    _space: OwnedSemaphorePermit,
}

/// Requests whose events have offsets and are not stored yet, by offset.
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
        space: OwnedSemaphorePermit,
    ) {
        self.waiting.push_back(Waiting { first_offset, last_offset, reply, _space: space });
    }

    /// Answers everybody whose events are stored by now.
    pub(super) fn stored_up_to(&mut self, offset: i64) {
        let stored = self.waiting.partition_point(|waiting| waiting.last_offset <= offset);
        for Waiting { first_offset, last_offset, reply, .. } in self.waiting.drain(..stored) {
            tell(reply, Outcome::Stored { first_offset, last_offset });
        }
    }

    /// Answers those beyond `offset`, whose events were never handed out. The
    /// others are left without an answer: their events may be stored.
    pub(super) fn close(self, handed_out_up_to: Option<i64>) {
        for waiting in self.waiting {
            if handed_out_up_to.is_none_or(|offset| waiting.first_offset > offset) {
                tell(waiting.reply, Outcome::NotTaken);
            }
        }
    }
}
