//! Shuts the service down in order and within a time limit.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Pipeline;
use crate::app::error::AppError;
use crate::app::key_feed::Feeding;
use crate::app::presence::Presence;
use crate::app::responder::Responder;
use crate::app::writer::Summary;
use crate::source::Source;

/// The tasks that run beside the pipeline and the writer.
pub struct Background {
    pub watchdog: JoinHandle<()>,
    pub clerk: JoinHandle<()>,
    pub notary: JoinHandle<()>,
    pub registrar: JoinHandle<()>,
    pub feed: Option<Feeding>,
    pub responder: Responder,
    pub presence: Presence,
}

/// The time that the last word to the other processes may take beyond the limit.
const FAREWELL: Duration = Duration::from_secs(1);

impl<S: Source> Pipeline<S> {
    /// Lets the writer store the batches in progress, commits them and leaves the source, all
    /// `within` the limit. Storing may take half of it. The last revocation requests may take a
    /// quarter of the rest, and saving state half of the rest.
    ///
    /// # Errors
    /// The error that ended the writer.
    pub async fn finish(
        mut self,
        background: Background,
        shutdown: &CancellationToken,
        within: Duration,
    ) -> Result<Summary, AppError> {
        // Storing the last batches may take longer than a pipeline may be silent.
        let _beats = self.store.beat_until_dropped();
        // A source that ended by itself is stored to its end, however long that takes.
        if !shutdown.is_cancelled() {
            self.first_look.finish().await;
        }
        let drained_at_the_end = shutdown.run_until_cancelled(self.drain()).await;
        let deadline = Instant::now() + within;
        let rest = || deadline.saturating_duration_since(Instant::now());
        background.watchdog.abort();
        // The task holds the outbox. The abort was intended, so its error is ignored.
        let _ = background.watchdog.await;
        let drained = match drained_at_the_end {
            Some(drained) => Some(drained),
            None => timeout(within / 2, self.drain()).await.ok(),
        };
        self.writer.task.abort();
        background.clerk.abort();
        background.registrar.abort();
        background.notary.abort();
        if let Some(feed) = background.feed {
            feed.finish().await;
        }
        background.responder.finish(rest() / 4).await;
        if matches!(drained, Some(Ok(_))) {
            self.checkpoints.finish(self.scorer.engine_mut(), rest() / 2).await;
        }
        let closed = self.intake.source.close(rest());
        let summary = drained.transpose()?.unwrap_or_else(|| {
            warn!(
                "some records could not be stored in time; they are read again at the next start"
            );
            Summary::default()
        });
        // An aborted writer may still hold the outbox; alerts that it has not delivered are in the
        // store.
        let outbox = Arc::into_inner(self.outbox).unwrap_or_default();
        let delivered = async {
            outbox.shutdown(rest()).await;
            background.presence.leave(rest().max(FAREWELL)).await;
        };
        let (closed, ()) = tokio::join!(closed, delivered);
        if let Err(error) = closed {
            warn!(%error, "the source could not be closed properly");
        }
        Ok(summary)
    }

    /// Waits until the writer has stored all its batches. Cancel safe.
    async fn drain(&mut self) -> Result<Summary, AppError> {
        // Closes the queue: the writer ends when it has stored its batches.
        self.writer.batches = mpsc::channel(1).0;
        while let Some(settled) = self.writer.settled.recv().await {
            self.settle(settled).await?;
        }
        (&mut self.writer.task).await?
    }
}
