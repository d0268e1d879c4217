//! Reads the Kafka topic of the key registry into ClickHouse, from where every process takes it.
//!
//! The processes share the partitions of the topic, as a group of their own. The offset of the last
//! record is stored with the registrations, so that no record goes in twice.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::error::AppError;
use crate::config::{Config, KafkaConfig};
use crate::decode::KeyHasher;
use crate::event::EventTime;
use crate::keys::{TakeError, Taking};
use crate::record::{BatchLimits, RawBatch};
use crate::registry::{Entry, FeedPosition, Import, Refused};
use crate::source::{KafkaSource, Source, SourceError};
use crate::store::{Author, Store};

/// For more records of keys, `Taking` reads all registrations.
const LIMITS: BatchLimits =
    BatchLimits { records: 500, bytes: 4 << 20, interval: Duration::from_millis(100) };
/// Refused records of a batch that are logged; all are counted.
const MOST_LOGGED: usize = 20;
const MAX_RECORD_BYTES: usize = 1 << 20;
/// Pause after an error.
const PAUSE: Duration = Duration::from_secs(5);
/// The rest of a shutdown is for the pipeline.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// The feed, where a topic is configured.
pub struct KeyFeed {
    kafka: KafkaConfig,
    hasher: KeyHasher,
    source: KafkaSource,
}

/// The running feed.
pub struct Feeding {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl KeyFeed {
    /// Subscribes to the topic, without waiting for a broker.
    ///
    /// # Errors
    /// Settings that cannot be used.
    pub fn open(config: &Config) -> Result<Option<Self>, AppError> {
        let Some(topic) = &config.registry.topic else { return Ok(None) };
        let kafka = KafkaConfig {
            topics: vec![topic.clone()],
            group_id: format!("{}-keys", config.source.kafka.group_id),
            repartition_topic: None,
            ..config.source.kafka.clone()
        };
        let source = KafkaSource::new(&kafka, LIMITS)?;
        Ok(Some(Self { kafka, hasher: KeyHasher::new(&config.decode)?, source }))
    }

    /// Starts the task.
    pub fn start(self, store: &Arc<Store>) -> Feeding {
        let (stop, store) = (CancellationToken::new(), Arc::clone(store));
        let taking = Taking::new(Arc::clone(&store));
        let Self { kafka, hasher, source } = self;
        let reader = Reader { hasher, store, taking };
        let task = tokio::spawn(reader.run(kafka, source, stop.clone()));
        Feeding { stop, task }
    }
}

impl Feeding {
    /// Ends the task, within two seconds or so.
    pub async fn finish(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            error!(%error, "the reader of the key registry's topic failed");
        }
    }
}

struct Reader {
    hasher: KeyHasher,
    store: Arc<Store>,
    taking: Taking,
}

impl Reader {
    async fn run(self, kafka: KafkaConfig, mut source: KafkaSource, stop: CancellationToken) {
        info!(topic = %kafka.topics.concat(), "reading keys from a topic");
        loop {
            let outcome = stop.run_until_cancelled(self.read(&mut source)).await;
            let Some(Err(error)) = outcome else { break };
            error!(%error, "the key registry's topic cannot be read; trying again");
            stop.run_until_cancelled(sleep(PAUSE)).await;
            if let Ok(next) = KafkaSource::new(&kafka, LIMITS) {
                drop(std::mem::replace(&mut source, next));
            }
        }
        if let Err(error) = source.close(CLOSE_WITHIN).await {
            debug!(%error, "leaving the group of the key registry's topic");
        }
    }

    /// Reads until the source ends.
    async fn read(&self, source: &mut KafkaSource) -> Result<(), SourceError> {
        while let Some(batch) = source.next().await? {
            let Some((_, last_offset)) = batch.offsets() else { continue };
            self.take(&batch, last_offset).await;
            source.commit(&batch.partition, last_offset).await?;
        }
        Ok(())
    }

    /// Stores the records, however long ClickHouse is away or refuses them.
    async fn take(&self, batch: &RawBatch, last_offset: i64) {
        let entries = self.entries(batch);
        let position = FeedPosition {
            topic: batch.partition.topic.to_string(),
            topic_id: batch.topic_id.to_string(),
            partition: batch.partition.partition,
            last_offset,
        };
        let author = Author { who: &position.topic, origin: "topic" };
        loop {
            match self.taking.take_records(&entries, &position, author).await {
                Ok(import) => return tell(&position, &import),
                Err(error) if error.is_retryable() => self.wait(&error).await,
                // The records were checked: the database or its settings are wrong. No record is
                // passed over until somebody mends them.
                Err(error) => {
                    counter!("keywatch_store_retries_total").increment(1);
                    let FeedPosition { topic, partition, .. } = &position;
                    error!(
                        %error, topic, partition, last_offset,
                        "keys of a topic cannot be stored; the topic waits, trying again"
                    );
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn wait(&self, error: &TakeError) {
        counter!("keywatch_store_retries_total").increment(1);
        warn!(%error, "keys of a topic wait for ClickHouse");
        sleep(PAUSE / 10).await;
        // Logged by the store as well, with growing pauses.
        if let Err(error) = self.store.wait_until_ready().await {
            warn!(%error, "keys of a topic wait for ClickHouse");
            sleep(PAUSE).await;
        }
    }

    /// A tombstone says that compaction may forget a key. Its registration stays.
    fn entries(&self, batch: &RawBatch) -> Vec<Entry> {
        let now = EventTime::now();
        let records = batch.records().filter(|(_, payload)| !payload.is_empty());
        records.map(|(offset, payload)| self.entry(offset, payload, now)).collect()
    }

    fn entry(&self, offset: i64, payload: &[u8], now: EventTime) -> Entry {
        let number = u64::try_from(offset).unwrap_or_default();
        let refused = |reason: &str| Entry { number, row: Err(reason.to_owned()) };
        if payload.len() > MAX_RECORD_BYTES {
            return refused("the record is larger than 1 MiB");
        }
        match std::str::from_utf8(payload) {
            Ok(text) => Entry::read(number, text, &|raw| self.hasher.hash(raw), now),
            Err(_) => refused("the record is not UTF-8"),
        }
    }
}

fn tell(position: &FeedPosition, import: &Import) {
    let FeedPosition { topic, partition, last_offset, .. } = position;
    let Import { added, changed, recorded, refused, .. } = import;
    count_rejected(refused.len());
    counter!("keywatch_registry_rows_total").increment((added + changed + recorded) as u64);
    for Refused { number: offset, reason } in refused.iter().take(MOST_LOGGED) {
        let reason = without_values(reason);
        warn!(topic, partition, offset, reason, "a record of the key registry is refused");
    }
    let refused = refused.len();
    debug!(topic, partition, last_offset, added, changed, recorded, refused, "keys of a topic");
}

fn count_rejected(number: usize) {
    counter!("keywatch_registry_rejections_total").increment(number as u64);
}

/// A reason quotes values in double quotes and backquotes, and somebody may have put a raw key in a
/// wrong field. A value may have quotes in it, so nothing that follows the first one stays. The name
/// of the field at the beginning does.
fn without_values(reason: &str) -> String {
    let rest = behind_field(reason).unwrap_or(reason);
    match rest.find(['"', '`']) {
        Some(at) => format!("{}…", &reason[..reason.len() - rest.len() + at]),
        None => reason.to_owned(),
    }
}

/// The rest of a reason that begins with the name of a field.
fn behind_field(reason: &str) -> Option<&str> {
    let name = reason.strip_prefix("missing ").unwrap_or(reason).strip_prefix("field `")?;
    Some(name.split_once('`')?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_reason_names_the_field_and_not_the_value() {
        for (reason, logged) in [
            (
                "field `owner`: invalid type: string \"sk_live_1\", expected a sequence",
                "field `owner`: invalid type: string …",
            ),
            (
                r#"field `owner`: invalid type: string "a\"sk_live_1", expected a sequence"#,
                "field `owner`: invalid type: string …",
            ),
            (
                "field `status`: unknown variant `sk_live_1`, expected one of `active`",
                "field `status`: unknown variant …",
            ),
            (
                "field `status`: unknown variant `a`sk_live_1`, expected one of `active`",
                "field `status`: unknown variant …",
            ),
            ("unknown field `sk_live_1`", "unknown field …"),
            ("missing field `key_id`", "missing field `key_id`"),
        ] {
            assert_eq!(without_values(reason), logged);
        }
    }
}
