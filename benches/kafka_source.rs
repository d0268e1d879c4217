//! Measures records per second through the Kafka source, against a broker on this machine.
//!
//! ```text
//! tools/kafka/kafka.sh start --dir /tmp/kafka --port 19092
//! cargo bench --no-default-features --bench kafka_source -- 127.0.0.1:19092 [RECORDS]
//! ```

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use keywatch::config::{KafkaConfig, SourceConfig};
use keywatch::record::BatchLimits;
use keywatch::source::{KafkaSource, Source};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

fn main() -> ExitCode {
    // `cargo bench` adds its own option.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(brokers) = arguments.next() else {
        anstream::eprintln!("skipped: name a broker, see the head of benches/kafka_source.rs");
        return ExitCode::SUCCESS;
    };
    let records = arguments.next().and_then(|records| records.parse().ok()).unwrap_or(3_000_000);
    match measure(brokers, records) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn measure(brokers: String, records: usize) -> Result<()> {
    // Each run has its own topic, which the broker creates.
    let topic = format!("bench-{}", std::process::id());
    let start = Instant::now();
    produce(&brokers, &topic, records)?;
    report("produced", records, start.elapsed());

    let topics = vec![topic.clone()];
    let config = KafkaConfig { brokers, topics, group_id: topic, ..KafkaConfig::default() };
    let limits = BatchLimits::from(&SourceConfig::default());
    let mut source = KafkaSource::new(&config, limits)?;
    // Joining the group is not part of the rate.
    let (mut read, mut batches) = (0, 0);
    let mut start = None;
    while read < records {
        let batch = source.next().await?.context("the source ended")?;
        read += batch.len();
        batches += 1;
        let (_, last_offset) = batch.offsets().context("an empty batch")?;
        source.commit(&batch.partition, last_offset).await?;
        start.get_or_insert_with(|| (Instant::now(), read));
    }
    let (start, before) = start.context("nothing was read")?;
    report("consumed", read - before, start.elapsed());
    anstream::println!("{batches} batches");
    Ok(source.close(Duration::from_secs(10)).await?)
}

fn produce(brokers: &str, topic: &str, records: usize) -> Result<()> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("compression.type", "lz4")
        .set("linger.ms", "50")
        .create()?;
    for number in 0..records {
        let key = number.to_string();
        let payload = event(number as u64);
        let mut record = BaseRecord::to(topic).key(&key).payload(&payload);
        while let Err((error, refused)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(anyhow!(error));
            }
            producer.poll(Duration::from_millis(10));
            record = refused;
        }
    }
    Ok(producer.flush(Duration::from_secs(60))?)
}

/// An access event of about 400 bytes that compresses as such logs do.
fn event(number: u64) -> String {
    // Knuth's multiplicative hash: different in each record, the same in each run.
    let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let signature = noise.wrapping_mul(noise | 1);
    format!(
        r#"{{"time":"2026-03-01T10:{:02}:{:02}.{:06}Z","key_id":"key-{:05}","client_ip":"198.51.{}.{}","method":"GET","path":"/v1/accounts/{}/transactions","status":200,"request_id":"{noise:016x}{signature:016x}","latency_ms":{},"bytes_in":{},"bytes_out":{},"user_agent":"acme-client/4.2.{} (linux; x86_64)","environment":"production","scope":"transactions.read","nonce":"{signature:016x}","signature":"{noise:016x}{signature:016x}"}}"#,
        number / 60 % 60,
        number % 60,
        noise % 1_000_000,
        noise % 10_000,
        noise >> 8 & 0xff,
        noise >> 16 & 0xff,
        noise >> 40,
        noise >> 24 & 0x3ff,
        noise >> 32 & 0xfff,
        noise >> 36 & 0xffff,
        noise & 7,
    )
}

fn report(what: &str, records: usize, elapsed: Duration) {
    let rate = records as f64 / elapsed.as_secs_f64();
    anstream::println!("{what} {records} records: {rate:.0}/s");
}
