//! Knows the current ID of each topic, and notices when a topic was deleted and created again.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::RDKafkaErrorCode;
use tracing::debug;

use super::topic_id::TopicIdRequest;
use crate::config::KafkaConfig;
use crate::kafka::{SettingsError, client_config};

/// A known ID is asked for again after this time, for a partition without new records. librdkafka
/// reads on at the old offset in a topic that was created again, unless the new log is shorter.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// A broker that did not know the ID of a topic is asked again after this time.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// A request without an answer is given up after this time, and sent again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Topics {
    /// A client of its own: on a reading client's connection each answer would wait for the fetch
    /// before it, which the broker holds for up to `fetch.wait.max.ms`.
    client: Arc<BaseConsumer>,
    by_name: HashMap<Arc<str>, Topic>,
}

struct Topic {
    /// The ID, and the time of the request that it answers.
    known: Option<(Arc<str>, Instant)>,
    /// A request in progress, and its time.
    asked: Option<(TopicIdRequest, Instant)>,
    ask_at: Instant,
    /// The first request since the last answer with an ID.
    unanswered_since: Option<Instant>,
}

impl Topics {
    /// Does not wait for a broker.
    ///
    /// # Errors
    /// Fails when the settings are not usable.
    pub(super) fn new(config: &KafkaConfig) -> Result<Self, SettingsError> {
        let client = client_config(config, &[])?.create()?;
        Ok(Self { client: Arc::new(client), by_name: HashMap::new() })
    }

    /// Returns the ID of `topic`, as it was asked for at or after `since`; `None` while it is not
    /// known. It is empty when the broker is too old to have IDs. Sends a request when one is due.
    pub(super) fn id(&mut self, topic: &Arc<str>, since: Instant) -> Option<Arc<str>> {
        let now = Instant::now();
        let of_topic = self.by_name.entry(Arc::clone(topic)).or_insert_with(|| Topic::unknown(now));
        of_topic.take_answer(topic, now);
        if of_topic.is_due(since, now) {
            of_topic.ask(&self.client, topic, now);
        }
        let (id, asked_at) = of_topic.known.as_ref()?;
        (id.is_empty() || *asked_at >= since).then(|| Arc::clone(id))
    }

    /// For how long no ID of `topic` has arrived although it was asked for.
    pub(super) fn silence(&self, topic: &str, now: Instant) -> Duration {
        let since = self.by_name.get(topic).and_then(|topic| topic.unanswered_since);
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

impl Topic {
    fn unknown(now: Instant) -> Self {
        Self { known: None, asked: None, ask_at: now, unanswered_since: None }
    }

    /// An answer from before `since` is no answer to whoever begins to read then.
    fn is_due(&self, since: Instant, now: Instant) -> bool {
        let is_stale = |(id, asked_at): &(Arc<str>, Instant)| !id.is_empty() && *asked_at < since;
        self.asked.is_none() && (self.known.as_ref().is_some_and(is_stale) || self.ask_at <= now)
    }

    fn ask(&mut self, client: &Arc<BaseConsumer>, topic: &str, now: Instant) {
        // Its queue holds errors of the connection, which the reading client reports.
        drop(client.poll(Duration::ZERO));
        self.unanswered_since.get_or_insert(now);
        match TopicIdRequest::send(client, topic) {
            Ok(request) => self.asked = Some((request, now)),
            Err(error) => self.ask_later(topic, &error, now),
        }
    }

    fn take_answer(&mut self, topic: &str, now: Instant) {
        let Some((request, asked_at)) = &self.asked else { return };
        let (answer, asked_at) = (request.answer(), *asked_at);
        let Some(answer) = answer else {
            if now >= asked_at + ANSWER_TIMEOUT {
                self.asked = None;
            }
            return;
        };
        self.asked = None;
        self.ask_at = now + CHECK_EVERY;
        match answer {
            Ok(id) => self.know(id, asked_at),
            Err(RDKafkaErrorCode::UnsupportedFeature) => self.know("".into(), asked_at),
            Err(error) => {
                self.known = None;
                self.ask_later(topic, &error, now);
            }
        }
    }

    fn know(&mut self, id: Arc<str>, asked_at: Instant) {
        self.known = Some((id, asked_at));
        self.unanswered_since = None;
    }

    fn ask_later(&mut self, topic: &str, error: &dyn Error, now: Instant) {
        debug!(topic, %error, "the ID of the topic is unknown so far");
        self.ask_at = now + ASK_AGAIN_AFTER;
    }
}
