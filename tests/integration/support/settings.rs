//! Builds the configuration of a service under test from the names of its keys.

use std::fmt;
use std::path::Path;

use keywatch::config::ClickHouseConfig;
use toml::{Table, Value};

use super::geo;
use super::kafka::broker;
use super::mailbox::Mailbox;

pub const PEPPER: &str = "a pepper for the tests alone";
pub const SHUTDOWN_SECONDS: u32 = 10;

/// The configuration, written as `keywatch.toml`. [`super::service`] passes it to the product's own
/// reader, which refuses unknown keys.
#[derive(Clone, Debug)]
pub struct Settings(Table);

impl Settings {
    /// Settings that the services of all tests share.
    pub fn new(clickhouse: &ClickHouseConfig) -> Self {
        Self(Table::new())
            .set("service.listen", "127.0.0.1:0")
            .set("console.listen", "127.0.0.1:0")
            .set("service.shutdown_seconds", SHUTDOWN_SECONDS)
            // Whole weeks of attacks are judged within a minute: every promise would be broken.
            .set("monitor.on_broken_promise", "ignore")
            .set("log.format", "json")
            .set("log.filter", "debug")
            .set("decode.pepper", PEPPER)
            .set("clickhouse.url", clickhouse.url.as_str())
            .set("clickhouse.database", clickhouse.database.as_str())
            .set("clickhouse.user", clickhouse.user.as_str())
            .set("clickhouse.password", clickhouse.password.reveal())
    }

    /// Sets `key`, given as `section.key`. An existing value is replaced.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.insert(&key.split('.').collect::<Vec<_>>(), value.into());
        self
    }

    /// Reads `topic` of the shared broker, with a group for this service.
    pub fn kafka(self, topic: &str) -> Self {
        self.set("source.kind", "kafka")
            .set("source.batch_records", 2_000)
            .set("source.kafka.brokers", broker().place.address())
            .set("source.kafka.topics", vec![topic])
            .set("source.kafka.group_id", format!("of-{topic}"))
    }

    /// Sets a property of librdkafka.
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.insert(&["source", "kafka", "properties", name], value.into());
        self
    }

    /// Makes the service a static member, so that the group need not time out a killed one first.
    pub fn static_member(self, name: &str) -> Self {
        self.property("group.instance.id", name)
    }

    /// The group excludes a member that is silent for six seconds.
    pub fn soon_missed(self) -> Self {
        self.property("session.timeout.ms", "6000").property("heartbeat.interval.ms", "500")
    }

    /// Reads these files, after which the service ends.
    pub fn files(self, paths: &[&Path]) -> Self {
        let paths: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
        self.set("source.kind", "file")
            .set("source.batch_records", 500)
            .set("source.file.paths", paths)
    }

    /// Limits batches to this many records.
    pub fn batch_records(self, records: u32) -> Self {
        self.set("source.batch_records", records)
    }

    pub fn snapshot_seconds(self, seconds: u32) -> Self {
        self.set("state.snapshot_seconds", seconds)
    }

    /// Uses the location databases in `folder`.
    pub fn locations(self, folder: &Path) -> Self {
        let path = |name: &str| vec![folder.join(name).to_str().unwrap().to_owned()];
        self.set("enrich.city_databases", path(geo::CITIES_V4))
            .set("enrich.asn_databases", path(geo::NETWORKS_V4))
    }

    pub fn mail_to(self, mailbox: &Mailbox, recipient: &str) -> Self {
        self.set("email.host", "localhost")
            .set("email.port", u32::from(mailbox.smtp_port))
            .set("email.tls", "none")
            .set("email.from", "keywatch@example.com")
            .set("email.to", vec![recipient])
    }

    pub fn webhook(self, url: &str, secret: &str) -> Self {
        self.set("webhook.url", url).set("webhook.secret", secret)
    }

    fn insert(&mut self, path: &[&str], value: Value) {
        let (name, sections) = path.split_last().unwrap();
        let table = sections.iter().fold(&mut self.0, |table, section| {
            let section = table.entry(*section).or_insert_with(|| Table::new().into());
            section.as_table_mut().unwrap_or_else(|| panic!("{path:?} is not in a section"))
        });
        table.insert((*name).to_owned(), value);
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
