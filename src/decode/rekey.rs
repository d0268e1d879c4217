//! Records on their way to a topic that is partitioned by key: one an event, the raw key replaced
//! by its id, and nothing in it but the fields of the contract. What has no key that could be
//! read goes along as a rejection, secrets masked.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::assemble::{Context, Refusal};
use super::mask::{self, Trust};
use super::raw_event::{RawEvent, fields_as_written};
use super::{Decoder, Rejection, unreadable};
use crate::event::{EventTime, RecordPosition};
use crate::source::KeyedRecord;

/// Kafka's brokers take 1 MiB with all that belongs to a record, librdkafka a million bytes.
const MAX_PAYLOAD_BYTES: usize = 900_000;

/// With which a rejection that is passed on begins. No event can: fields of other names are
/// left out of those.
const MARK: &str = "{\"keywatch_rejection\":";

/// Reasons why a record that has no key is refused.
const REASONS: [&str; 14] = [
    "too_large",
    "invalid_utf8",
    "empty_record",
    "not_an_object",
    "truncated_json",
    "invalid_json",
    "duplicate_field",
    "missing_time",
    "bad_time",
    "time_out_of_range",
    "missing_key_id",
    "bad_key_id",
    "bad_api_key",
    "missing_pepper",
];
/// Of another version.
const OTHER_REASON: &str = "rejected";

#[derive(Serialize, Deserialize)]
struct Envelope {
    keywatch_rejection: PassedOn,
}

#[derive(Serialize, Deserialize)]
struct PassedOn {
    reason: String,
    detail: String,
    masked_payload: String,
}

impl Decoder {
    /// What is to be written of one record, in order. `place` is the key of what has none, so
    /// that such records spread over the partitions.
    pub fn rekey(&self, place: &str, payload: &[u8]) -> Vec<KeyedRecord> {
        let context = self.context(EventTime::from_micros(i64::MAX));
        let text = match self.text(payload) {
            Ok(text) => text,
            Err(refusal) => return vec![passed_on(place, payload, Trust::Unparsed, refusal)],
        };
        if !text.starts_with('[') {
            return vec![rekey_object(&context, place, text)];
        }
        match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(elements) => {
                let elements = elements.into_iter();
                elements.map(|element| rekey_object(&context, place, element.get())).collect()
            }
            Err(error) => vec![passed_on(place, payload, Trust::Unparsed, unreadable(&error))],
        }
    }
}

fn rekey_object(context: &Context<'_>, place: &str, text: &str) -> KeyedRecord {
    let refuse = |trust, refusal| passed_on(place, text.as_bytes(), trust, refusal);
    let mut raw = RawEvent::default();
    let fields = match raw.read_keywatch(text).and_then(|()| fields_as_written(text)) {
        Ok(fields) => fields,
        Err(error) => return refuse(Trust::Unparsed, unreadable(&error)),
    };
    if let Some(field) = raw.duplicate {
        let detail = format!("field `{field}` occurs twice; write it once");
        return refuse(Trust::Parsed, Refusal::new("duplicate_field", detail));
    }
    match context.key_id(&raw) {
        Ok(key) => {
            let payload = with_key_id(&key, &fields);
            if payload.len() > MAX_PAYLOAD_BYTES {
                return refuse(Trust::Parsed, too_large(payload.len()));
            }
            KeyedRecord { key: key.into(), payload }
        }
        // Named as without this way round: by the first field that is wrong.
        Err(refusal) => {
            let first = context.assemble(&raw, drop).err();
            refuse(Trust::Parsed, first.unwrap_or(refusal))
        }
    }
}

fn too_large(bytes: usize) -> Refusal {
    let detail = format!(
        "the event has {bytes} bytes, expected at most {MAX_PAYLOAD_BYTES} \
         (source.kafka.repartition_topic)"
    );
    Refusal::new("too_large", detail)
}

fn with_key_id(key_id: &str, fields: &[(&str, &RawValue)]) -> Vec<u8> {
    let mut payload = format!("{{\"key_id\":{}", serde_json::Value::from(key_id));
    for (name, value) in fields.iter().filter(|(name, _)| !matches!(*name, "key_id" | "api_key")) {
        payload.push_str(",\"");
        payload.push_str(name);
        payload.push_str("\":");
        payload.push_str(value.get());
    }
    payload.push('}');
    payload.into_bytes()
}

fn passed_on(place: &str, payload: &[u8], trust: Trust, refusal: Refusal) -> KeyedRecord {
    let Refusal { reason, detail } = refusal;
    let masked_payload = mask::payload(payload, trust);
    let passed_on = PassedOn { reason: reason.to_owned(), detail, masked_payload };
    // Strings always can be written.
    let payload = serde_json::to_vec(&Envelope { keywatch_rejection: passed_on });
    KeyedRecord { key: place.to_owned(), payload: payload.unwrap_or_default() }
}

/// The rejection that a record is, when it is one that was passed on.
pub(super) fn rejection(offset: i64, text: &str) -> Option<Rejection> {
    if !text.starts_with(MARK) {
        return None;
    }
    let Envelope { keywatch_rejection } = serde_json::from_str(text).ok()?;
    let PassedOn { reason, detail, masked_payload } = keywatch_rejection;
    let known = REASONS.into_iter().find(|known| *known == reason);
    let position = RecordPosition { offset, index: 0 };
    Some(Rejection { position, reason: known.unwrap_or(OTHER_REASON), detail, masked_payload })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{DecodeConfig, Secret};
    use crate::event::PartitionId;
    use crate::source::RawBatch;

    fn decoder() -> Decoder {
        let pepper = Secret::new("sixteen bytes or more");
        Decoder::new(&DecodeConfig { pepper, ..DecodeConfig::default() }).unwrap()
    }

    fn batch(payloads: &[Vec<u8>]) -> RawBatch {
        let mut batch = RawBatch::new(PartitionId { topic: "t".into(), partition: 0 });
        (0..).zip(payloads).for_each(|(offset, payload)| batch.push(offset, payload));
        batch
    }

    /// Decoded at once, and decoded after it was written to the other topic.
    fn both_ways(payload: &str) -> [super::super::DecodedBatch; 2] {
        let now = EventTime::from_seconds(1_800_000_000);
        let direct = decoder().decode(&batch(&[payload.into()]), now);
        let rekeyed = decoder().rekey("0-0", payload.as_bytes());
        let payloads: Vec<_> = rekeyed.into_iter().map(|record| record.payload).collect();
        let decoder = decoder().of_repartitioned();
        [direct, decoder.decode(&batch(&payloads), now)]
    }

    const EVENT: &str = r#"{"time": 1700000000, "api_key": "sk_live_secret", "client_ip": "10.1.2.3",
        "method": "GET", "path": "/v1/\"a\"", "status": "200", "nonce": 12345678901234567890,
        "authorization": "Bearer sk_live_secret", "signature": "s"}"#;

    #[test]
    fn an_event_is_the_same_after_it_and_its_raw_key_is_gone() {
        let [direct, after] = both_ways(EVENT);
        assert_eq!(direct.events.len(), 1);
        assert_eq!(direct.events[0].1, after.events[0].1);
        let records = decoder().rekey("0-0", EVENT.as_bytes());
        assert_eq!(records[0].key, direct.events[0].1.key_id.as_str());
        let payload = String::from_utf8(records[0].payload.clone()).unwrap();
        assert!(!payload.contains("sk_live") && !payload.contains("authorization"), "{payload}");
    }

    #[test]
    fn an_array_becomes_a_record_an_event() {
        let other = EVENT.replace("sk_live_secret", "another");
        let [direct, after] = both_ways(&format!("[{EVENT},{other}]"));
        let events = |decoded: &super::super::DecodedBatch| {
            decoded.events.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>()
        };
        assert_eq!(events(&direct), events(&after));
        assert_ne!(after.events[0].1.key_id, after.events[1].1.key_id);
    }

    #[test]
    fn what_kafka_would_not_take_is_passed_on_as_a_rejection() {
        let long = EVENT.replace("/v1", &"/v1".repeat(300_000));
        let records = decoder().rekey("0-0", long.as_bytes());
        assert!(records[0].payload.len() < 10_000, "{}", records[0].payload.len());
        let payloads: Vec<_> = records.into_iter().map(|record| record.payload).collect();
        let decoder = decoder().of_repartitioned();
        let decoded = decoder.decode(&batch(&payloads), EventTime::from_seconds(1_800_000_000));
        assert_eq!(decoded.rejections[0].reason, "too_large");
    }

    #[test]
    fn what_is_rejected_is_rejected_for_the_same_reason_after_it() {
        for payload in [
            "",
            "no JSON sk_live_secret",
            "{\"time\": 1",
            "[1, 2]",
            &EVENT.replace("api_key", "apikey"),
            &EVENT.replace("\"sk_live_secret\"", "[1]"),
            &EVENT.replace("\"200\"", "\"2000\""),
            &EVENT.replace("client_ip", "status"),
            "{\"keywatch_rejection\": {\"reason\": \"r\", \"detail\": \"d\", \
             \"masked_payload\": \"\"}}",
        ] {
            let reasons = both_ways(payload).map(|decoded| {
                assert!(decoded.events.is_empty(), "{payload}");
                decoded.rejections.iter().map(|it| it.reason).collect::<Vec<_>>()
            });
            assert!(!reasons[0].is_empty() && reasons[0] == reasons[1], "{payload}: {reasons:?}");
            for record in decoder().rekey("0-0", payload.as_bytes()) {
                let payload = String::from_utf8(record.payload).unwrap();
                assert!(!payload.contains("sk_live"), "{payload}");
            }
        }
    }
}
