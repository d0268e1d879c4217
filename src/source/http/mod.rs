//! Receives events that gateways push over HTTP.

mod body;
mod inbox;
mod repeats;
mod server;
mod verdict;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::inbox::{Inbox, Outcome, Submission, WaitingList, tell};
pub use self::repeats::{Earlier, FindEarlier, Progress};
use self::repeats::{Identity, Repeats};
use self::server::Server;
use super::{Source, SourceError, count_batch};
use crate::config::HttpConfig;
use crate::event::{EventTime, PartitionId};
use crate::http::server::Endpoint;
use crate::http::{Access, Names, Tokens, listener, tls};
use crate::instance::InstanceId;
use crate::record::{BatchLimits, PushedRequest, RawBatch, RefusedPart};

const MOST_CONNECTIONS: usize = 256;

/// A source with one partition of the topic `http`. Offsets start at the wall clock's microseconds,
/// so that no offset is used twice, regardless of restarts. Each process has its own topic ID,
/// because several may accept events at the same time.
pub struct HttpSource {
    address: SocketAddr,
    submissions: mpsc::UnboundedReceiver<Submission>,
    limits: BatchLimits,
    /// The batch that is being filled, and the time at which it must be returned.
    batch: RawBatch,
    due: Option<Instant>,
    topic_id: Arc<str>,
    next_offset: i64,
    handed_out_up_to: Option<i64>,
    waiting: WaitingList,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl HttpSource {
    /// Listens for `POST /v1/events`. `find` looks up requests of processes before this one.
    ///
    /// # Errors
    /// Fails when it cannot listen on the address.
    pub async fn bind(
        config: &HttpConfig,
        limits: BatchLimits,
        find: FindEarlier,
    ) -> Result<Self, SourceError> {
        let listener = listener::bind("source.http.listen", config.listen).await?;
        let address = listener.local_addr().map_err(SourceError::Address)?;
        warn_when_open(config);
        let (inbox, submissions) = Inbox::new(2 * limits.bytes.max(config.max_body_bytes));
        let tls = tls::acceptor("source.http.tls", &config.tls)?;
        let names = Names::of(address, &config.hosts, tls.is_some());
        let access = Access::new(names, Tokens::new(&config.token, &config.tokens)?);
        let endpoint = Endpoint {
            listener,
            tls,
            router: Server::new(config, access, inbox, Repeats::new(find)).into_router(),
            most_connections: MOST_CONNECTIONS,
            grace: Duration::MAX,
        };
        let stop = CancellationToken::new();
        info!(%address, "accepting events at POST /v1/events");
        Ok(Self {
            address,
            submissions,
            limits,
            batch: new_batch(),
            due: None,
            topic_id: InstanceId::random().to_string().into(),
            next_offset: EventTime::now().as_micros(),
            handed_out_up_to: None,
            waiting: WaitingList::default(),
            server: tokio::spawn(endpoint.serve(stop.clone())),
            stop,
        })
    }

    /// Returns the address it listens on. It shows the port when the configuration says 0.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    fn take(&mut self, submission: Submission) {
        let Submission { records, identity, reply, space } = submission;
        let first_offset = self.next_offset;
        for record in &records {
            self.batch.push(self.next_offset, record);
            self.next_offset += 1;
        }
        let last_offset = self.next_offset - 1;
        if let Some(Identity { key, body }) = identity {
            let request = PushedRequest { key, body, first_offset, last_offset };
            self.batch.requests.push(request);
        }
        self.waiting.push(first_offset, last_offset, reply, space);
        self.due.get_or_insert_with(|| Instant::now() + self.limits.interval);
    }

    fn hand_out(&mut self) -> Option<RawBatch> {
        self.due = None;
        let mut batch = std::mem::replace(&mut self.batch, new_batch());
        let (_, last_offset) = batch.offsets()?;
        self.handed_out_up_to = Some(last_offset);
        count_batch(&batch);
        batch.topic_id = Arc::clone(&self.topic_id);
        Some(batch)
    }

    /// Returns the next submission, or `None` when the batch is due or no more submissions will
    /// arrive.
    async fn receive(&mut self) -> Option<Submission> {
        if self.limits.are_reached_by(&self.batch) {
            return None;
        }
        match self.due {
            None => self.submissions.recv().await,
            Some(due) => timeout_at(due, self.submissions.recv()).await.ok().flatten(),
        }
    }
}

fn new_batch() -> RawBatch {
    RawBatch::new(PartitionId { topic: "http".into(), partition: 0 })
}

fn warn_when_open(config: &HttpConfig) {
    let is_open = config.token.is_empty() && config.tokens.is_empty();
    if is_open && !config.listen.ip().is_loopback() {
        warn!(
            address = %config.listen,
            "source.http accepts events from anyone who can reach it: set source.http.token"
        );
    }
}

impl Source for HttpSource {
    async fn next(&mut self) -> Result<Option<RawBatch>, SourceError> {
        while let Some(submission) = self.receive().await {
            self.take(submission);
        }
        Ok(self.hand_out())
    }

    fn note_refused(&mut self, part: &RefusedPart<'_>) {
        self.waiting.note_refused(part);
    }

    async fn commit(&mut self, _: &PartitionId, last_offset: i64) -> Result<(), SourceError> {
        self.waiting.stored_up_to(last_offset);
        Ok(())
    }

    async fn close(mut self, within: Duration) -> Result<(), SourceError> {
        self.submissions.close();
        while let Some(submission) = self.submissions.recv().await {
            tell(submission.reply, Outcome::NotTaken);
        }
        self.waiting.close(self.handed_out_up_to);
        self.stop.cancel();
        let ended = timeout(within, self.server).await;
        ended.map(drop).map_err(|_| SourceError::CloseTimeout {
            what: "the HTTP server",
            seconds: within.as_secs_f64(),
        })
    }
}
