//! Tests the decoder as a whole: every fixture as a snapshot, and properties for all input.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::Secret;
use crate::event::{PartitionId, RecordPosition};

const NOW: EventTime = EventTime::from_seconds(1_772_366_400);

fn decoder() -> Decoder {
    let pepper = Secret::new("a pepper for tests only");
    Decoder::new(&DecodeConfig { pepper, ..DecodeConfig::default() }).unwrap()
}

fn batch<'a>(payloads: impl IntoIterator<Item = &'a [u8]>) -> RawBatch {
    let mut batch = RawBatch::new(PartitionId { topic: Arc::from("test"), partition: 0 });
    for (offset, payload) in (1..).zip(payloads) {
        batch.push(offset, payload);
    }
    batch
}

fn decode_one(payload: &[u8]) -> DecodedBatch {
    decoder().decode(&batch([payload]), NOW)
}

fn reason(payload: &str) -> RejectReason {
    let decoded = decode_one(payload.as_bytes());
    assert!(decoded.events.is_empty(), "{payload} is an event");
    decoded.rejections[0].reason
}

/// The JSON breaks off within a character.
#[test]
fn an_escape_that_is_cut_by_a_character_of_two_bytes_is_rejected() {
    assert_eq!(reason("{\"a\":\":\\u00é\"}"), RejectReason::InvalidJson);
}

proptest! {
    #[test]
    fn no_text_of_json_signs_and_long_characters_panics(text in r#"[\\"u0-9é€:,{}]{0,40}"#) {
        decode_one(format!("{{\"a\":\"{text}\"}}").as_bytes());
    }
}

#[test]
fn lines_of_containers_and_of_json_sequences_are_unwrapped() {
    let event = r#"{"time": 1700000000, "key_id": "k", "client_ip": "192.0.2.7", "method": "GET",
        "path": "/", "status": 200}"#
        .replace('\n', " ");
    let plain = decode_one(event.as_bytes()).events;
    assert_eq!(plain.len(), 1);
    for wrapped in [
        format!("2026-11-27T10:00:00.123456789Z stdout F {event}"),
        format!("2026-11-27T10:00:00.123456789+01:00 stderr F {event}"),
        format!("\u{1e}{event}"),
    ] {
        assert_eq!(decode_one(wrapped.as_bytes()).events, plain, "{wrapped}");
    }
    for torn in [
        format!("2026-11-27T10:00:00.123456789Z stdout P {}", &event[..60]),
        format!("2026-11-27 stdout F {event}"),
        "2026-11-27T10:00:00.123456789Z stdout F ".to_owned(),
    ] {
        assert!(decode_one(torn.as_bytes()).events.is_empty(), "{torn}");
    }
}

/// Every fixture line by line: what came out, in the order of the log.
#[test]
fn fixtures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decode");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let lines = bytes.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n');
        let decoded = decoder().decode(&batch(lines), NOW);
        let shown = format!("{decoded:?}");
        assert!(!shown.contains("hidden") && !shown.contains("sk_live"), "a secret shows");
        let name = path.file_stem().unwrap().to_str().unwrap();
        insta::assert_snapshot!(name, in_order(&decoded));
    }
}

fn in_order(decoded: &DecodedBatch) -> String {
    let events = decoded.events.iter().map(|(at, event)| (at, format!("{event:?}")));
    let rejections = decoded.rejections.iter().map(|rejection| {
        let Rejection { position, reason, detail, masked_payload, .. } = rejection;
        (position, format!("rejected as {reason}: {detail}\n    {masked_payload}"))
    });
    let mut lines: Vec<_> = events.chain(rejections).collect();
    lines.sort();
    let left_out: Vec<_> = decoded.fields_left_out.iter().collect();
    let mut text = format!("fields left out: {left_out:?}\n");
    for (RecordPosition { offset, index }, line) in lines {
        writeln!(text, "{offset}.{index}: {line}").unwrap();
    }
    text
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let new = |format: &str, pepper: &str| {
        let (format, pepper) = (format.into(), Secret::new(pepper));
        Decoder::new(&DecodeConfig { format, pepper, ..DecodeConfig::default() }).err()
    };
    assert_eq!(new("csv", ""), Some(DecodeError::UnknownFormat { format: "csv".into() }));
    assert_eq!(new("keywatch", "short"), Some(DecodeError::ShortPepper { bytes: 5 }));
    assert_eq!(new("keywatch", ""), None);
}

#[test]
fn raw_keys_need_a_pepper() {
    let decoder = Decoder::new(&DecodeConfig::default()).unwrap();
    let record = json!({"time": 1_772_366_400, "api_key": "sk_live_1", "client_ip": "::1",
        "method": "GET", "path": "/", "status": 200});
    let decoded = decoder.decode(&batch([record.to_string().as_bytes()]), NOW);
    assert_eq!(decoded.rejections[0].reason, RejectReason::MissingPepper);
    assert!(!format!("{decoded:?}").contains("sk_live_1"));
}

#[test]
fn large_records_are_rejected_unread() {
    let huge = format!(r#"{{"api_key":"{}"}}"#, "sk_".repeat(3_500_000));
    assert_eq!(reason(&huge), RejectReason::TooLarge);
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    for open in ["[", r#"{"time":"#, r#"{"nonce":["#] {
        let deep = open.repeat(100_000);
        assert_eq!(reason(&deep), RejectReason::TruncatedJson, "{open}");
    }
}

#[test]
fn what_docker_wraps_is_read() {
    let line = json!({"time": 1_772_366_400, "client_ip": "192.0.2.1", "method": "GET",
        "path": "/", "status": 200, "key_id": "k"});
    let wrapped = json!({"log": format!("{line}\n"), "stream": "stdout", "time": "x"});
    assert_eq!(decode_one(wrapped.to_string().as_bytes()).events[0].1.key_id, "k");
}

#[test]
fn broken_json_is_named_by_the_field_that_breaks_it() {
    for (json, name) in [
        (r#"{"key_id":"k","time":-}"#, "time"),
        (r#"{"key_id":"k","upstream": 192.0.2.1:80,"a":1}"#, "upstream"),
        (r#"{"key_id":"k","status":NaN}"#, "status"),
    ] {
        let detail = decode_one(json.as_bytes()).rejections[0].detail.clone();
        assert!(detail.ends_with(&format!(", in the value of `{name}`")), "{detail}");
    }
    let secret = decode_one(br#"{"sk_live_1234":-}"#).rejections[0].detail.clone();
    assert!(!secret.contains("sk_live"), "{secret}");
}

#[test]
fn rejections_of_one_record_are_bounded_and_counted() {
    let decoded = decode_one(format!("[{}{{}}]", "{},".repeat(99_999)).as_bytes());
    assert_eq!(decoded.rejections.len(), 11);
    assert_eq!(decoded.rejected(), 100_000);
    let rest = &decoded.rejections[10];
    assert_eq!(rest.detail, "99990 more parts of this record were rejected");
    assert_eq!(rest.position, RecordPosition { offset: 1, index: 10 });
}

#[test]
fn bad_bytes_count_only_where_every_character_does() {
    let event = |name: &str, value: &[u8]| {
        let record = json!({"time": 1_772_366_400, "client_ip": "192.0.2.1", "method": "GET",
            "path": "/", "status": 200, "key_id": "k", "user_agent": "a", "nonce": "n"});
        let mut record = record;
        record[name] = "@".into();
        let text = record.to_string().into_bytes();
        let at = text.iter().position(|byte| *byte == b'@').unwrap();
        [&text[..at], value, &text[at + 1..]].concat()
    };
    for bad in [&b"a\xffb"[..], br"a\ud800b", br"a\xE9b"] {
        let agent = decode_one(&event("user_agent", bad));
        assert_eq!(agent.events[0].1.user_agent.as_deref(), Some("a\u{fffd}b"));
        assert_eq!(decode_one(&event("path", bad)).events[0].1.path, "a\u{fffd}b");
        assert_eq!(decode_one(&event("unknown", bad)).events.len(), 1);
        let nonce = decode_one(&event("nonce", bad));
        assert_eq!(nonce.events[0].1.nonce, None);
        assert_eq!(nonce.fields_left_out.iter().collect::<Vec<_>>(), [("nonce", 1)]);
        let key = decode_one(&event("key_id", bad));
        assert_eq!(key.rejections[0].reason, RejectReason::BadKeyId);
    }
}

#[test]
fn an_empty_batch_decodes_to_nothing() {
    let decoded = decoder().decode(&batch([]), NOW);
    assert!(decoded.events.is_empty() && decoded.rejections.is_empty());
}

/// A valid record and what must come out of it.
fn record() -> impl Strategy<Value = (Value, i64, IpAddr)> {
    let micros = 1_700_000_000_000_000_i64..1_772_366_400_000_000;
    let optional = prop::option::of("[ -~é]{1,40}");
    (micros, any::<IpAddr>(), "[a-z0-9-]{1,64}", 100u16..600, any::<u64>(), optional).prop_map(
        |(micros, ip, key, status, nonce, agent)| {
            let record = json!({"time": micros, "client_ip": ip, "key_id": key, "status": status,
                "method": "POST", "path": "/v1/é", "nonce": nonce, "user_agent": agent});
            (record, micros, ip.to_canonical())
        },
    )
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => record().prop_map(|(record, ..)| record.to_string().into_bytes()),
        1 => record().prop_map(|(record, ..)| format!("[{record},5,{record}]").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..60),
        1 => r#"[\[\]{}:,"a-z0-9\\ ]{0,60}"#.prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn never_panics_and_accounts_for_every_object(payload in payload()) {
        let decoded = decode_one(&payload);
        let is_empty_array = serde_json::from_slice::<[(); 0]>(&payload).is_ok();
        prop_assert!(is_empty_array || decoded.events.len() + decoded.rejections.len() > 0);
    }

    #[test]
    fn valid_records_keep_their_values((record, micros, ip) in record()) {
        let decoded = decode_one(record.to_string().as_bytes());
        prop_assert!(decoded.rejections.is_empty(), "{:?}", decoded.rejections);
        let (position, event) = &decoded.events[0];
        prop_assert_eq!(*position, RecordPosition { offset: 1, index: 0 });
        prop_assert_eq!(event.time, EventTime::from_micros(micros));
        prop_assert_eq!(event.client_ip, ip);
        prop_assert_eq!(Some(event.key_id.as_str()), record["key_id"].as_str());
        prop_assert_eq!(Some(u64::from(event.status)), record["status"].as_u64());
        prop_assert_eq!(event.nonce.unwrap().number, record["nonce"].as_u64());
        prop_assert_eq!(event.user_agent.as_deref(), record["user_agent"].as_str());
    }

    #[test]
    fn every_truncation_is_a_rejection((record, ..) in record(), cut in any::<prop::sample::Index>()) {
        let json = record.to_string().into_bytes();
        let decoded = decode_one(&json[..cut.index(json.len())]);
        prop_assert_eq!((decoded.events.len(), decoded.rejections.len()), (0, 1));
    }

    #[test]
    fn splitting_a_batch_changes_nothing(
        payloads in prop::collection::vec(payload(), 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let decode = |from: usize, to: usize| {
            let mut batch = batch([]);
            for (offset, payload) in payloads.iter().enumerate().take(to).skip(from) {
                batch.push(offset as i64, payload);
            }
            decoder().decode(&batch, NOW)
        };
        let whole = decode(0, payloads.len());
        let cut = cut.index(payloads.len() + 1);
        let (mut left, right) = (decode(0, cut), decode(cut, payloads.len()));
        left.events.extend(right.events);
        left.rejections.extend(right.rejections);
        prop_assert_eq!(left.events, whole.events);
        prop_assert_eq!(left.rejections, whole.rejections);
    }
}
