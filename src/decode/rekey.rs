//! Rewrites records for a topic that is partitioned by key. Each event becomes one record of the
//! format `keywatch`, whatever the format of the log, and the key's id replaces the raw key. A
//! record without a readable key is passed on as a rejection with its secrets masked.

use std::fmt::Write;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::assemble::{Context, Refusal};
use super::batch::MAX_REJECTIONS;
use super::format::Format;
use super::left_out::LeftOut;
use super::mask::{self, Trust};
use super::raw_event::{Field, RawEvent};
use super::requests::{Request, each_request};
use super::scalar::Scalar;
use super::{Decoder, RejectReason, Rejection, path};
use crate::event::{EventTime, RecordPosition};
use crate::record::KeyedRecord;

/// Kafka's brokers accept 1 MiB including the record's overhead, and librdkafka accepts a million
/// bytes.
const MAX_PAYLOAD_BYTES: usize = 900_000;

/// The beginning of a rejection that is passed on. No event can begin with it, because fields with
/// other names are removed from events.
const MARK: &str = "{\"keywatch_rejection\":";

#[derive(Serialize, Deserialize)]
struct Envelope {
    keywatch_rejection: PassedOn,
}

#[derive(Serialize, Deserialize)]
struct PassedOn {
    reason: String,
    detail: String,
    masked_payload: String,
    #[serde(default = "one")]
    parts: u64,
}

fn one() -> u64 {
    1
}

impl Decoder {
    /// Returns the records to write for one source record, in order. `place` is the Kafka key of
    /// records without an API key, so that they spread over the partitions.
    pub fn rekey(&self, place: &str, payload: &[u8]) -> Vec<KeyedRecord> {
        let latest = EventTime::from_micros(i64::MAX);
        let format = &self.formats[0];
        let text = match self.text(payload, format) {
            Ok(text) => text,
            Err(refusal) => {
                return vec![passed_on(place, payload, Trust::Unparsed, format, refusal)];
            }
        };
        let context = self.context(format, latest);
        let mut records = Vec::new();
        let mut rejections = 0;
        let mut rest: Option<Rejection> = None;
        each_request(format, &text.text, text.is_lossy, &mut |index, text, request| {
            let refused = match request {
                Request::Event(event) => rekeyed(&context, event).map_err(|it| (Trust::Parsed, it)),
                Request::Skipped { .. } => return,
                Request::Refused(trust, refusal) => Err((trust, refusal)),
            };
            match refused {
                Ok(record) => records.push(record),
                Err((trust, refusal)) if rejections < MAX_REJECTIONS => {
                    rejections += 1;
                    records.push(passed_on(place, text.as_bytes(), trust, format, refusal));
                }
                Err((_, refusal)) => match &mut rest {
                    Some(rest) => rest.count_one_more(),
                    None => {
                        let position = RecordPosition { offset: 0, index };
                        rest = Some(Rejection::of_the_rest(position, refusal.reason));
                    }
                },
            }
        });
        records.extend(rest.map(|rest| envelope(place, rest)));
        records
    }
}

/// Returns the event as a record of the format `keywatch`.
fn rekeyed(context: &Context<'_>, event: &RawEvent<'_>) -> Result<KeyedRecord, Refusal> {
    if let Some(field) = event.duplicate {
        return Err(context.duplicate(field));
    }
    let key = context.key_id(event).map_err(|refusal| {
        // The reason names the first wrong field, as decoding without repartitioning does.
        let first = context.assemble(event, &mut LeftOut::default(), drop).err();
        first.unwrap_or(refusal)
    })?;
    let payload = with_key_id(&key, context.client_behind_proxy(event), event);
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(too_large(payload.len()));
    }
    Ok(KeyedRecord { key: key.into(), payload })
}

fn too_large(bytes: usize) -> Refusal {
    let detail = format!(
        "the event has {bytes} bytes, expected at most {MAX_PAYLOAD_BYTES} \
         (source.kafka.repartition_topic)"
    );
    Refusal::new(RejectReason::TooLarge, detail)
}

/// Fields that this program sets. Values from the log are not passed on.
const WRITTEN_ANEW: [Field; 4] =
    [Field::KeyId, Field::ApiKey, Field::HasSecret, Field::ForwardedFor];
/// Fields in which every character counts: replaced ones could make two values equal.
const EXACT: [Field; 3] = [Field::Nonce, Field::Signature, Field::RequestId];

fn with_key_id(key_id: &str, client: Option<IpAddr>, event: &RawEvent<'_>) -> Vec<u8> {
    let mut payload = format!("{{\"key_id\":{}", serde_json::Value::from(key_id));
    if event.key_id.is_absent() {
        payload.push_str(",\"keywatch_has_secret\":true");
    }
    for field in Field::ALL.iter().filter(|field| !WRITTEN_ANEW.contains(field)) {
        let value = event.value(*field);
        let is_uncertain = event.is_lossy && EXACT.contains(field);
        let is_replaced = || value.text().is_some_and(|text| text.contains('\u{fffd}'));
        let json = if let (Field::ClientIp, Some(client)) = (field, client) {
            Some(client.to_string().into())
        } else if let (Field::Path, Scalar::Text(path)) = (field, value) {
            // The query may hold a raw key.
            Some(path::path(path).as_str().into())
        } else if is_uncertain && is_replaced() {
            Some(serde_json::Value::Array(Vec::new()))
        } else {
            json(value)
        };
        if let Some(json) = json {
            // Writing to a string does not fail.
            let _ = write!(payload, ",\"{}\":{json}", field.name());
        }
    }
    payload.push('}');
    payload.into_bytes()
}

/// Writes a value so that it is read again as the same; `None` for one that is absent. A value that
/// no field can use stays one.
fn json(value: &Scalar<'_>) -> Option<serde_json::Value> {
    use serde_json::Value;
    Some(match value {
        Scalar::Absent => return None,
        Scalar::Empty => Value::from(""),
        Scalar::Text(text) => Value::from(&**text),
        Scalar::Unsigned(number) => Value::from(*number),
        Scalar::Negative(number) => Value::from(*number),
        Scalar::Float(number) => Value::from(*number),
        Scalar::Boolean(boolean) => Value::from(*boolean),
        Scalar::Time(time) => Value::from(time.to_string()),
        Scalar::Other(_) => Value::Array(Vec::new()),
    })
}

fn passed_on(
    place: &str,
    payload: &[u8],
    trust: Trust,
    format: &Format,
    refusal: Refusal,
) -> KeyedRecord {
    let Refusal { reason, detail } = refusal;
    let masked_payload = mask::payload(payload, trust, format);
    let position = RecordPosition { offset: 0, index: 0 };
    let parts = 1;
    envelope(place, Rejection { position, reason, detail, masked_payload, parts, key_id: None })
}

fn envelope(place: &str, rejection: Rejection) -> KeyedRecord {
    let Rejection { reason, detail, masked_payload, parts, .. } = rejection;
    let reason = reason.as_str().to_owned();
    let passed_on = PassedOn { reason, detail, masked_payload, parts };
    // Strings can always be written as JSON.
    let payload = serde_json::to_vec(&Envelope { keywatch_rejection: passed_on });
    KeyedRecord { key: place.to_owned(), payload: payload.unwrap_or_default() }
}

/// Returns the rejection that a record contains, if it was passed on as one.
pub(super) fn rejection(offset: i64, text: &str) -> Option<Rejection> {
    if !text.starts_with(MARK) {
        return None;
    }
    let Envelope { keywatch_rejection } = serde_json::from_str(text).ok()?;
    let PassedOn { reason, detail, masked_payload, parts } = keywatch_rejection;
    let reason = reason.parse().unwrap_or(RejectReason::Rejected);
    let position = RecordPosition { offset, index: 0 };
    Some(Rejection { position, reason, detail, masked_payload, parts, key_id: None })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{DecodeConfig, Secret};
    use crate::event::PartitionId;
    use crate::record::RawBatch;

    fn decoder() -> Decoder {
        let pepper = Secret::new("sixteen bytes or more");
        Decoder::new(&DecodeConfig { pepper, ..DecodeConfig::default() }).unwrap()
    }

    fn batch(payloads: &[Vec<u8>]) -> RawBatch {
        let mut batch = RawBatch::new(PartitionId { topic: "t".into(), partition: 0 });
        (0..).zip(payloads).for_each(|(offset, payload)| batch.push(offset, payload));
        batch
    }

    /// The event decoded directly, and decoded after repartitioning.
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
    fn a_record_too_large_for_kafka_is_passed_on_as_a_rejection() {
        let long = EVENT.replace("\"s\"", &format!("\"{}\"", "s".repeat(900_000)));
        let records = decoder().rekey("0-0", long.as_bytes());
        assert!(records[0].payload.len() < 10_000, "{}", records[0].payload.len());
        let payloads: Vec<_> = records.into_iter().map(|record| record.payload).collect();
        let decoder = decoder().of_repartitioned();
        let decoded = decoder.decode(&batch(&payloads), EventTime::from_seconds(1_800_000_000));
        assert_eq!(decoded.rejections[0].reason, RejectReason::TooLarge);
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
