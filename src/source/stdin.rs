//! Reads standard input line by line. It returns a batch in time even when few lines arrived.

use std::io::{self, BufRead, BufReader, Read};
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::records::RecordReader;
use super::{Source, SourceError, count_batch};
use crate::event::{EventTime, PartitionId};
use crate::record::{BatchLimits, RawBatch};

/// A source with one partition whose offsets are line numbers. Line numbers start at 1 with every
/// run, so the topic is `stdin-` and the second of the start.
pub struct StdinSource {
    shared: Arc<Shared>,
}

/// The data that the reading thread and the source share.
struct Shared {
    limits: BatchLimits,
    state: Mutex<State>,
    /// The batch has its first line, is full, or the stream has ended.
    changed: Notify,
    /// The batch was taken, or the source was dropped.
    room: Condvar,
}

struct State {
    batch: RawBatch,
    /// The time at which the batch must be returned.
    due: Option<Instant>,
    end: Option<Result<(), SourceError>>,
    is_closed: bool,
}

enum Readiness {
    Batch(RawBatch),
    Ended(Result<(), SourceError>),
    Wait(Option<Instant>),
}

impl StdinSource {
    pub fn new(limits: BatchLimits) -> Self {
        Self::from_reader(io::stdin(), limits)
    }

    fn from_reader(input: impl Read + Send + 'static, limits: BatchLimits) -> Self {
        let topic = format!("stdin-{}", EventTime::now().as_micros() / 1_000_000);
        let partition = PartitionId { topic: topic.into(), partition: 0 };
        let state =
            State { batch: RawBatch::new(partition), due: None, end: None, is_closed: false };
        let shared = Arc::new(Shared {
            limits,
            state: Mutex::new(state),
            changed: Notify::new(),
            room: Condvar::new(),
        });
        let writer = Arc::clone(&shared);
        // A thread and not a task: a read that never returns would block the shutdown of the
        // runtime.
        thread::spawn(move || writer.fill(BufReader::new(input)));
        Self { shared }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn fill(&self, input: impl BufRead) {
        let mut lines = RecordReader::new(input);
        let mut line = Vec::new();
        let end = loop {
            match lines.next_record(&mut line) {
                Ok(Some(number)) if self.push(number, &line) => {}
                Ok(_) => break Ok(()),
                Err(reason) => {
                    let line = lines.number() + 1;
                    break Err(SourceError::FileContent { path: "stdin".into(), line, reason });
                }
            }
        };
        self.lock().end = Some(end);
        self.changed.notify_one();
    }

    /// Waits for room and adds the line; returns false when the source was dropped.
    fn push(&self, number: i64, line: &[u8]) -> bool {
        let mut state = self.lock();
        self.room.wait_while(&mut state, |state| {
            self.limits.are_reached_by(&state.batch) && !state.is_closed
        });
        state.batch.push(number, line);
        let is_first = state.due.is_none();
        if is_first {
            state.due = Some(Instant::now() + self.limits.interval);
        }
        if is_first || self.limits.are_reached_by(&state.batch) {
            self.changed.notify_one();
        }
        !state.is_closed
    }

    fn readiness(&self) -> Readiness {
        let mut state = self.lock();
        let is_due = state.due.is_some_and(|due| due <= Instant::now())
            || self.limits.are_reached_by(&state.batch)
            || state.end.is_some();
        if is_due && !state.batch.is_empty() {
            state.due = None;
            self.room.notify_one();
            let next = RawBatch::new(state.batch.partition.clone());
            return Readiness::Batch(mem::replace(&mut state.batch, next));
        }
        match state.end.take() {
            Some(end) => {
                state.end = Some(Ok(()));
                Readiness::Ended(end)
            }
            None => Readiness::Wait(state.due),
        }
    }
}

impl Source for StdinSource {
    async fn next(&mut self) -> Result<Option<RawBatch>, SourceError> {
        loop {
            let changed = self.shared.changed.notified();
            match self.shared.readiness() {
                Readiness::Batch(batch) => {
                    count_batch(&batch);
                    return Ok(Some(batch));
                }
                Readiness::Ended(end) => return end.map(|()| None),
                Readiness::Wait(None) => changed.await,
                // The time elapsed or the state changed: both are checked again.
                Readiness::Wait(Some(due)) => drop(timeout_at(due, changed).await),
            }
        }
    }

    /// Does nothing: records of a pipe cannot be read again.
    async fn commit(&mut self, _: &PartitionId, _: i64) -> Result<(), SourceError> {
        Ok(())
    }

    async fn close(self, _: Duration) -> Result<(), SourceError> {
        Ok(())
    }
}

impl Drop for StdinSource {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;

    use super::*;

    fn limits(records: usize, interval: Duration) -> BatchLimits {
        BatchLimits { records, bytes: 1 << 20, interval }
    }

    const LONG: Duration = Duration::from_secs(3600);

    async fn next_offsets(source: &mut StdinSource) -> Option<(i64, i64)> {
        source.next().await.unwrap().map(|batch| batch.offsets().unwrap())
    }

    #[tokio::test]
    async fn cuts_at_the_limit_and_at_the_end() {
        let mut source = StdinSource::from_reader(&b"1\n2\n\n4\n5\n6"[..], limits(2, LONG));
        assert_eq!(next_offsets(&mut source).await, Some((1, 2)));
        assert_eq!(next_offsets(&mut source).await, Some((4, 5)));
        assert_eq!(next_offsets(&mut source).await, Some((6, 6)));
        assert_eq!(next_offsets(&mut source).await, None);
        assert_eq!(next_offsets(&mut source).await, None);
    }

    #[tokio::test]
    async fn hands_out_few_lines_after_the_interval_while_the_pipe_stays_open() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut source = StdinSource::from_reader(reader, limits(100, Duration::from_millis(1)));
        writer.write_all(b"{\"a\":1}\n{\"half\":").unwrap();
        let batch = source.next().await.unwrap().unwrap();
        let records: Vec<_> = batch.records().collect();
        assert_eq!(records, [(1, &b"{\"a\":1}"[..])]);
        writer.write_all(b"2}\n").unwrap();
        assert_eq!(next_offsets(&mut source).await, Some((2, 2)));
        drop(writer);
        assert_eq!(next_offsets(&mut source).await, None);
    }

    #[tokio::test]
    async fn a_read_error_comes_after_the_lines_before_it() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the pipe broke"))
            }
        }
        let mut source = StdinSource::from_reader((&b"1\n"[..]).chain(Broken), limits(9, LONG));
        assert_eq!(next_offsets(&mut source).await, Some((1, 1)));
        let error = source.next().await.unwrap_err();
        assert_eq!(error.to_string(), "stdin:2: the pipe broke");
    }
}
