//! Runs Apache Kafka: one broker for all tests, started by the first test that needs it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use keywatch::config::KafkaConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::eventually::{LIMIT, eventually, eventually_blocking};

/// Runs the broker until standard input ends, which happens when this process ends, even by a
/// crash. No process and no file is left then.
const KEEPER: &str = r#"
dir=$1 keep=$2; shift 2
setpriv --pdeathsig KILL "$@" >"$dir/broker.log" 2>&1 &
broker=$!
cat >/dev/null
kill -KILL "$broker"
wait "$broker" 2>/dev/null
[ "$keep" = yes ] || rm -rf "$dir"
"#;

/// The broker that the tests share.
pub fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| Broker::start(Place::new()))
}

/// A name that no other test uses.
pub fn unique(name: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// The ports of a broker and the directory of its data.
#[derive(Clone)]
pub struct Place {
    directory: PathBuf,
    port: u16,
    controller_port: u16,
    /// The name under which clients are told to connect.
    host: &'static str,
}

impl Place {
    pub fn new() -> Self {
        // Both ports are bound until both are known, so that they differ.
        let listeners = [0, 0].map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap());
        let [port, controller_port] = listeners.map(|it| it.local_addr().unwrap().port());
        let directory = std::env::temp_dir().join(format!("keywatch-kafka-{port}"));
        Self { directory, port, controller_port, host: "127.0.0.1" }
    }

    /// A place whose broker tells its clients to connect to `host`.
    pub fn named(host: &'static str) -> Self {
        Self { host, ..Self::new() }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address with the name under which clients are told to connect.
    pub fn named_address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Settings of a client that reads `topic`.
    pub fn config(&self, topic: &str, group: &str) -> KafkaConfig {
        KafkaConfig {
            brokers: self.address(),
            topics: vec![topic.to_owned()],
            group_id: group.to_owned(),
            ..KafkaConfig::default()
        }
    }
}

pub struct Broker {
    pub place: Place,
    keeper: Child,
    /// Closing it ends the broker.
    lifeline: Option<ChildStdin>,
}

impl Broker {
    /// Starts a broker and returns when it responds.
    pub fn start(place: Place) -> Self {
        Self::spawn(place, "no")
    }

    /// Like [`Self::start`], but the data outlives the broker.
    pub fn start_and_keep_data(place: Place) -> Self {
        Self::spawn(place, "yes")
    }

    fn spawn(place: Place, keep: &str) -> Self {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/kafka");
        install(&tools);
        std::fs::create_dir_all(&place.directory).unwrap();
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&place.directory)
            .arg(keep)
            .arg(tools.join("kafka.sh"))
            .args(["start", "--dir"])
            .arg(&place.directory)
            .args(["--port", &place.port.to_string()])
            .args(["--controller-port", &place.controller_port.to_string()])
            .args(["--host", place.host])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let lifeline = keeper.stdin.take();
        let broker = Self { place, keeper, lifeline };
        broker.wait_until_ready();
        broker
    }

    fn wait_until_ready(&self) {
        let probe: BaseConsumer = self.client().create().unwrap();
        eventually_blocking("Kafka has started", LIMIT, || {
            let answer = probe.fetch_metadata(None, Duration::from_millis(500));
            answer.map_err(|_| std::fs::read_to_string(self.place.directory.join("broker.log")))
        });
    }

    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.place.address());
        client.set("log_level", "2");
        client
    }

    pub async fn create_topic(&self, topic: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let results = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
        for result in results {
            result.unwrap();
        }
    }

    /// Deletes the topic and returns when its name is free again.
    pub async fn delete_topic(&self, topic: &str) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let results = admin.delete_topics(&[topic], &AdminOptions::new()).await.unwrap();
        for result in results {
            result.unwrap();
        }
        eventually(&format!("{topic} is deleted"), LIMIT, async || {
            let metadata = admin.inner().fetch_metadata(None, Duration::from_secs(5)).unwrap();
            metadata.topics().iter().all(|known| known.name() != topic)
        })
        .await;
    }

    /// Waits until the first record that the group has not read in partition 0 is at `offset`.
    pub fn wait_until_committed(&self, group: &str, topic: &str, offset: i64) {
        let asking: BaseConsumer = self.client().set("group.id", group).create().unwrap();
        eventually_blocking("the offset is committed", LIMIT, || {
            let mut list = TopicPartitionList::new();
            list.add_partition(topic, 0);
            let committed = asking.committed_offsets(list, Duration::from_secs(5)).unwrap();
            let committed = committed.elements()[0].offset();
            if committed == Offset::Offset(offset) { Ok(()) } else { Err(committed) }
        });
    }

    /// Sends `payloads` to one partition, in order, and returns when the broker has stored them.
    pub fn produce<P: AsRef<[u8]>>(
        &self,
        topic: &str,
        partition: i32,
        payloads: impl IntoIterator<Item = P>,
    ) {
        let records = payloads.into_iter().map(|payload| (None, payload));
        self.produce_records(topic, partition, records);
    }

    /// Like [`Self::produce`], with record keys, so that the log counts as partitioned by key.
    pub fn produce_keyed<P: AsRef<[u8]>>(
        &self,
        topic: &str,
        partition: i32,
        records: impl IntoIterator<Item = (String, P)>,
    ) {
        let records = records.into_iter().map(|(key, payload)| (Some(key), payload));
        self.produce_records(topic, partition, records);
    }

    fn produce_records<P: AsRef<[u8]>>(
        &self,
        topic: &str,
        partition: i32,
        records: impl Iterator<Item = (Option<String>, P)>,
    ) {
        let producer: BaseProducer = self
            .client()
            .set("enable.idempotence", "true")
            .set("message.max.bytes", "20000000")
            .set("queue.buffering.max.messages", "10000000")
            .create()
            .unwrap();
        for (key, payload) in records {
            let mut record: BaseRecord<'_, str, _> =
                BaseRecord::to(topic).partition(partition).payload(payload.as_ref());
            record.key = key.as_deref();
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(Duration::from_secs(60)).unwrap();
    }
}

impl Broker {
    /// Ends the broker, and takes the records from `offset` on out of the log of partition 0, as an
    /// unclean election of a leader does. A batch of the producer must begin at `offset`.
    pub fn lose_from(self, topic: &str, offset: i64) {
        let log = self.place.directory.join(format!("data/{topic}-0"));
        drop(self);
        let segment = log.join(format!("{:020}.log", 0));
        let bytes = std::fs::read(&segment).unwrap();
        let kept = length_before(&bytes, offset);
        std::fs::write(&segment, &bytes[..kept]).unwrap();
        for entry in std::fs::read_dir(log).unwrap() {
            let path = entry.unwrap().path();
            // They tell of records that are gone; the broker makes them again.
            if path
                .extension()
                .is_some_and(|it| it == "index" || it == "timeindex" || it == "snapshot")
            {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
}

/// The bytes of the record batches before the one that begins at `offset`: each begins with its
/// first offset and the length of what follows (Kafka's message format 2).
fn length_before(segment: &[u8], offset: i64) -> usize {
    let mut at = 0;
    loop {
        let first = i64::from_be_bytes(segment[at..at + 8].try_into().unwrap());
        if first == offset {
            return at;
        }
        let length = i32::from_be_bytes(segment[at + 8..at + 12].try_into().unwrap());
        at += 12 + usize::try_from(length).unwrap();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let _ = self.keeper.wait();
    }
}

/// Fetches Kafka if it is missing: `make test` does this first, a bare `cargo test` does not.
fn install(tools: &Path) {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let status = Command::new(tools.join("install.sh")).stdout(Stdio::null()).status();
        assert!(status.unwrap().success(), "tools/kafka/install.sh failed (see above)");
    });
}
