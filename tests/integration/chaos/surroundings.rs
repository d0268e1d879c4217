//! Tests what goes wrong around the service: the wall clock jumps, the disk of ClickHouse is full,
//! ClickHouse answers late, another program is in the consumer group.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keywatch::embedded::Embedded;
use keywatch::store::Store;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::{through, undisturbed};
use crate::support::alerts::{
    alerts, assert_same_alerts, assert_told, eventually_judged, eventually_told,
};
use crate::support::clickhouse::{keywatch_binary, unmigrated};
use crate::support::eventually::{LIMIT, eventually, eventually_blocking};
use crate::support::kafka::{broker, unique};
use crate::support::proxy::Proxy;
use crate::support::service::Service;
use crate::support::settings::Settings;
use crate::support::skip::skip;
use crate::support::stored::{assert_exact, wait_for_rows};
use crate::support::topic::{produce, topic_of};
use crate::support::traffic::{PARTITIONS, REPLAYED_KEY, Traffic};

/// Debian's package `libfaketime`.
const FALSE_CLOCK: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// A wall clock whose distance from the true one is in a file.
struct FalseClock {
    directory: tempfile::TempDir,
}

impl FalseClock {
    fn new() -> Self {
        let clock = Self { directory: tempfile::tempdir().unwrap() };
        clock.set("+0");
        clock
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("offset")
    }

    fn set(&self, offset: &str) {
        let new = self.directory.path().join("new");
        fs::write(&new, offset).unwrap();
        // The process never sees half a file.
        fs::rename(new, self.file()).unwrap();
    }

    fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", FALSE_CLOCK.into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().to_str().unwrap().into()),
            ("FAKETIME_CACHE_DURATION", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }
}

/// The clock of the service goes an hour back and then an hour ahead. Alerts are those of a service
/// with a right clock, and each is told. The clock is never ahead of the true one: librdkafka waits
/// by absolute times of the kernel's clock, which stays as it is.
#[tokio::test]
async fn a_wall_clock_that_jumps_loses_and_repeats_nothing() {
    if !Path::new(FALSE_CLOCK).exists() {
        return skip("libfaketime is not installed");
    }
    let database = unmigrated().await;
    let traffic = Traffic::generated(60, 2.0, 1.0, 41).with_attacks();
    let topic = unique("jumping-clock");
    broker().create_topic(&topic, PARTITIONS).await;
    let alerts_topic = unique("alerts");
    broker().create_topic(&alerts_topic, 1).await;
    let clock = FalseClock::new();
    let settings = Settings::new(&database.config)
        .kafka(&topic)
        .batch_records(200)
        .snapshot_seconds(1)
        // By a wrong clock the service seems to be behind.
        .set("monitor.max_lag_seconds", 1e6)
        .set("alerts_topic.topic", alerts_topic.as_str());
    let service = Service::start_with_variables(&settings, &clock.variables());
    let mut produced = 0;
    let shares = traffic.events.chunks(traffic.events.len().div_ceil(3));
    for (share, offset) in shares.zip(["+0", "-3600", "+0"]) {
        clock.set(offset);
        produce(broker(), &topic, &Traffic { events: share.to_vec() });
        produced += share.len();
        wait_for_rows(&database.store, "access_events", produced).await;
    }
    assert_exact(&database.store, &traffic).await;
    eventually_judged(&service).await;
    eventually_told(&database.store).await;
    assert!(service.terminate().0.success());
    let found = alerts(&database.store).await;
    assert!(found.iter().any(|alert| alert["key_id"] == REPLAYED_KEY), "{found:#?}");
    assert_same_alerts(&found, &undisturbed(&topic, &traffic).await);
    assert_told(broker(), &alerts_topic, &found);
}

/// A ClickHouse whose data is in a small file system of its own.
struct SmallDisk {
    _directory: tempfile::TempDir,
    data: PathBuf,
    server: Embedded,
}

/// Mounts the file system where only the server sees it, so that it goes with the server.
const ON_A_SMALL_DISK: &str = r#"#!/bin/sh
exec unshare --mount --map-root-user sh -c '
set -e
data=$1; shift
copy=$(mktemp -d)
cp -a "$data/." "$copy"
mount -t tmpfs -o size=256m,mode=0700 tmpfs "$data"
cp -a "$copy/." "$data"
rm -rf "$copy"
cd "$data"
exec "$@"' sh "DATA" "KEYWATCH" "$@"
"#;

impl SmallDisk {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let program = directory.path().join("on_a_small_disk");
        let script = ON_A_SMALL_DISK
            .replace("DATA", data.to_str().unwrap())
            .replace("KEYWATCH", keywatch_binary().to_str().unwrap());
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o700)).unwrap();
        let server = Embedded::start_with(&program, &data, None).await.unwrap();
        Self { _directory: directory, data, server }
    }

    /// The path of a file on the disk, as this process sees it.
    fn filler(&self) -> PathBuf {
        let seen_by_server = self.data.strip_prefix("/").unwrap().join("filler");
        Path::new("/proc")
            .join(self.server.process_id().to_string())
            .join("root")
            .join(seen_by_server)
    }

    fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        let block = vec![1; 64 << 10];
        while filler.write_all(&block).is_ok() {}
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_of_clickhouse_is_waited_for() {
    let disk = SmallDisk::start().await;
    let store = Store::new(&disk.server.config());
    let mut traffic = Traffic::generated(100, 3.0, 1.0, 42);
    let rest = traffic.split_off(traffic.events.len() / 2);
    let topic = topic_of(broker(), &traffic).await;
    let settings = Settings::new(&disk.server.config()).kafka(&topic).batch_records(250);
    let service = Service::start(&settings.snapshot_seconds(1));
    wait_for_rows(&store, "access_events", traffic.events.len()).await;
    disk.fill();
    produce(broker(), &topic, &rest);
    let traffic = traffic.joined(rest);
    service.wait_until_it_waits_for("clickhouse").await;
    disk.empty();
    wait_for_rows(&store, "access_events", traffic.events.len()).await;
    assert_exact(&store, &traffic).await;
    eventually("ready again", LIMIT, async || service.is_ready()).await;
    assert!(service.terminate().0.success());
}

/// Each answer of ClickHouse is late. The process stays alive and owns its partitions.
#[tokio::test]
async fn a_clickhouse_that_answers_late_loses_and_repeats_nothing() {
    let database = unmigrated().await;
    let traffic = Traffic::generated(20, 1.0, 0.3, 43);
    let topic = topic_of(broker(), &traffic).await;
    let proxy = Proxy::start(&database.config.url);
    let settings = Settings::new(&through(&proxy, &database)).kafka(&topic).batch_records(500);
    let service = Service::start(&settings);
    wait_for_rows(&database.store, "access_events", 1).await;
    proxy.answer_after(Duration::from_secs(1));
    wait_for_rows(&database.store, "access_events", traffic.events.len()).await;
    assert_eq!(service.get("/healthz").0, 200);
    assert_exact(&database.store, &traffic).await;
    assert!(service.terminate().0.success());
}

/// Another program reads the same topic in the same group, by another way of sharing partitions.
/// The service says why it gets nothing, and reads everything once the other one is gone.
#[tokio::test]
async fn another_program_in_the_group_is_told_and_waited_for() {
    let database = unmigrated().await;
    let traffic = Traffic::attacks();
    let topic = topic_of(broker(), &traffic).await;
    let stranger: BaseConsumer = broker()
        .client()
        .set("group.id", format!("of-{topic}"))
        .set("partition.assignment.strategy", "range")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    stranger.subscribe(&[&topic]).unwrap();
    eventually_blocking("the stranger has partitions", LIMIT, || {
        let _ = stranger.poll(Duration::from_millis(100));
        stranger.assignment().unwrap().count() > 0
    });
    let service = Service::start(&Settings::new(&database.config).kafka(&topic));
    service.wait_until_it_waits_for("source").await;
    service.wait_for_log("Inconsistent group protocol");
    drop(stranger);
    wait_for_rows(&database.store, "access_events", traffic.events.len()).await;
    assert_exact(&database.store, &traffic).await;
    assert!(service.terminate().0.success());
}
