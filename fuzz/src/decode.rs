//! Decodes one record by every format.

use std::sync::LazyLock;

use keywatch::config::{DecodeConfig, Secret};
use keywatch::decode::{DecodedBatch, Decoder, formats};
use keywatch::event::{AccessEvent, EventTime, PartitionId};
use keywatch::record::RawBatch;

const NOW: EventTime = EventTime::from_seconds(1_800_000_000);
/// A record makes at most ten rejections, and one for the rest.
const MOST_REJECTIONS: usize = 11;

/// By name: the decoder of the log itself, and that of the topic which it is repartitioned to.
struct Both {
    name: &'static str,
    direct: Decoder,
    repartitioned: Decoder,
}

static NAMED: LazyLock<Vec<Both>> = LazyLock::new(|| formats().map(both).collect());
static AUTO: LazyLock<Decoder> = LazyLock::new(|| decoder("auto"));

fn both(name: &'static str) -> Both {
    Both { name, direct: decoder(name), repartitioned: decoder(name).of_repartitioned() }
}

fn decoder(format: &str) -> Decoder {
    let pepper = Secret::new("a pepper of the fuzz targets");
    let trusted_proxies = vec!["10.0.0.0/8".to_owned()];
    let format = format.to_owned();
    Decoder::new(&DecodeConfig { format, pepper, trusted_proxies, ..DecodeConfig::default() })
        .unwrap()
}

fn decode<'a>(decoder: &Decoder, payloads: impl IntoIterator<Item = &'a [u8]>) -> DecodedBatch {
    let mut batch = RawBatch::new(PartitionId { topic: "log".into(), partition: 0 });
    (0..).zip(payloads).for_each(|(offset, payload)| batch.push(offset, payload));
    decoder.decode(&batch, NOW)
}

fn events(decoded: &DecodedBatch) -> Vec<&AccessEvent> {
    decoded.events.iter().map(|(_, event)| event).collect()
}

/// Decodes the record by each format, directly and by way of repartitioning.
pub fn run(record: &[u8]) {
    NAMED.iter().for_each(|format| by_format(format, record));
    decode(&AUTO, [record]);
}

fn by_format(format: &Both, record: &[u8]) {
    let direct = decode(&format.direct, [record]);
    assert!(direct.rejections.len() <= MOST_REJECTIONS, "{}: {direct:?}", format.name);
    let records = format.direct.rekey("0-0", record);
    let payloads = records.iter().map(|record| record.payload.as_slice());
    let after = decode(&format.repartitioned, payloads);
    assert_eq!(events(&direct), events(&after), "{}: repartitioning changed it", format.name);
}
