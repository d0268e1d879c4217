//! Holds each preset against a log of its gateway and the events that must come out, which were
//! written by hand from the gateways' documentation.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::{DecodeConfig, Secret};
use crate::decode::{DecodedBatch, Decoder};
use crate::event::{AccessEvent, EventTime, PartitionId, RecordPosition};
use crate::record::RawBatch;

const NOW: EventTime = EventTime::from_seconds(1_800_000_000);

fn decoder(format: &str) -> Decoder {
    let pepper = Secret::new("a pepper for tests only");
    Decoder::new(&DecodeConfig { format: format.into(), pepper, ..DecodeConfig::default() })
        .unwrap()
}

fn decode(format: &str, log: &[u8]) -> DecodedBatch {
    let mut batch = RawBatch::new(PartitionId { topic: "log".into(), partition: 0 });
    let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    for (line, payload) in (1..).zip(lines) {
        batch.push(line, payload);
    }
    decoder(format).decode(&batch, NOW)
}

/// One sentence for each request, in the order of the log. Skipped ones leave no trace.
fn outcomes(decoded: &DecodedBatch) -> Vec<String> {
    let events = decoded.events.iter().map(|(at, event)| (at, shown(event)));
    let rejections = decoded.rejections.iter().map(|it| (&it.position, "rejected".to_owned()));
    let mut lines: Vec<(&RecordPosition, String)> = events.chain(rejections).collect();
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

/// The event without a method that no log has.
fn shown(event: &AccessEvent) -> String {
    format!("{event:?}")
}

/// The outcomes that a file of expectations describes: events in the format `keywatch` (with
/// `raw_key` for a key that must become its HMAC), rejections, and skipped requests.
fn expected(text: &str) -> (Vec<String>, u64) {
    let mut outcomes = Vec::new();
    let mut skipped = 0;
    for line in text.lines() {
        let mut record: Value = serde_json::from_str(line).unwrap();
        let fields = record.as_object_mut().unwrap();
        if fields.contains_key("skipped") {
            skipped += 1;
            continue;
        }
        if fields.contains_key("rejected") {
            outcomes.push("rejected".to_owned());
            continue;
        }
        if let Some(key) = fields.remove("raw_key") {
            fields.insert("api_key".into(), key);
        }
        // Logs without methods get one for all.
        fields.entry("method").or_insert("CALL".into());
        let decoded = decode("keywatch", record.to_string().as_bytes());
        assert!(decoded.rejections.is_empty(), "{line}: {:?}", decoded.rejections);
        outcomes.push(shown(&decoded.events[0].1));
    }
    (outcomes, skipped)
}

/// The logs with the presets that read them.
fn logs() -> Vec<(PathBuf, &'static str)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/logs");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut logs: Vec<_> = files
        .filter(|path| !path.to_str().unwrap().ends_with(".expected.jsonl"))
        .map(|path| {
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let preset = super::ALL.iter().find(|preset| stem.starts_with(preset.name));
            (path, preset.unwrap_or_else(|| panic!("{stem} has no preset")).name)
        })
        .collect();
    logs.sort();
    logs
}

#[test]
fn every_log_gives_the_events_that_were_written_by_hand() {
    let mut wrong = Vec::new();
    for (path, format) in logs() {
        let decoded = decode(format, &std::fs::read(&path).unwrap());
        let hand = path.with_extension("expected.jsonl");
        let (expected, skipped) = expected(&std::fs::read_to_string(hand).unwrap());
        let outcomes = outcomes(&decoded);
        let name = path.file_name().unwrap().to_str().unwrap();
        for (number, (is, must)) in outcomes.iter().zip(&expected).enumerate() {
            if is != must {
                let reason = decoded
                    .rejections
                    .iter()
                    .map(|it| format!("{}: {}", it.position.offset, it.detail));
                wrong.push(format!(
                    "{name} {number}:\n  is   {is}\n  must {must}\n  {:?}",
                    reason.collect::<Vec<_>>()
                ));
            }
        }
        if (outcomes.len(), decoded.skipped) != (expected.len(), skipped) {
            wrong.push(format!(
                "{name}: {} outcomes and {} skipped, expected {} and {skipped}",
                outcomes.len(),
                decoded.skipped,
                expected.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_raw_key_of_a_log_shows_anywhere() {
    for (path, format) in logs() {
        let log = std::fs::read(&path).unwrap();
        let decoded = format!("{:?}", decode(format, &log));
        for mark in ["live_example", "EXAMPLE-invented", "5e9d9544a1dcd60001d0ed204f"] {
            assert!(!decoded.contains(mark), "{}: {mark} shows", path.display());
        }
    }
}

#[test]
fn a_raw_key_that_is_the_user_of_basic_authentication_is_hashed() {
    let log = br#"203.0.113.9 - sk_live_invented0example0key [27/Nov/2026:10:00:00 +0000] "GET /v1/x HTTP/1.1" 200 12 "-" "curl/8""#;
    let decoded = decode("combined", log);
    assert_eq!(decoded.events.len(), 1, "{decoded:?}");
    assert!(!format!("{decoded:?}").contains("invented0example"), "{decoded:?}");

    let none = DecodeConfig { format: "combined".into(), ..DecodeConfig::default() };
    let mut batch = RawBatch::new(PartitionId { topic: "log".into(), partition: 0 });
    batch.push(1, log);
    let decoded = Decoder::new(&none).unwrap().decode(&batch, NOW);
    assert_eq!(decoded.rejections.len(), 1, "without a pepper nothing can be hashed");
    assert!(!format!("{decoded:?}").contains("invented0example"), "{decoded:?}");
}

#[test]
fn the_format_of_every_log_is_recognised() {
    for (path, format) in logs() {
        let mut batch = RawBatch::new(PartitionId { topic: "log".into(), partition: 0 });
        let log = std::fs::read(&path).unwrap();
        let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        (1..).zip(lines).for_each(|(line, payload)| batch.push(line, payload));
        let decoder = decoder("auto");
        let by_name = decode(format, &log);
        let recognised = decoder.decode(&batch, NOW);
        let choices = decoder.choices();
        assert_eq!(choices[0].format, format, "{}: {}", path.display(), choices[0].sentence());
        assert_eq!(recognised.events, by_name.events, "{}", path.display());
    }
}

/// What reaches the judging stage behind a repartitioned topic is what it would have read itself.
#[test]
fn repartitioning_a_log_changes_no_event() {
    for (path, format) in logs() {
        let log = std::fs::read(&path).unwrap();
        let direct = decode(format, &log);
        let writer = decoder(format);
        let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let records: Vec<_> = lines.flat_map(|line| writer.rekey("0-0", line)).collect();
        let mut batch = RawBatch::new(PartitionId { topic: "log".into(), partition: 0 });
        for (offset, record) in (0..).zip(&records) {
            assert!(
                !String::from_utf8_lossy(&record.payload).contains("live_example"),
                "{record:?}"
            );
            batch.push(offset, &record.payload);
        }
        let after = decoder(format).of_repartitioned().decode(&batch, NOW);
        let events = |decoded: &DecodedBatch| -> Vec<AccessEvent> {
            decoded.events.iter().map(|(_, event)| event.clone()).collect()
        };
        assert_eq!(events(&after), events(&direct), "{}", path.display());
        assert_eq!(after.rejected(), direct.rejected(), "{}", path.display());
    }
}

/// A client wrote the line into a header so long that the container runtime cut it there.
#[test]
fn the_end_of_a_line_that_a_container_runtime_cut_is_no_event() {
    let line = "canonical-log-line key_id=victim time=2026-11-27T10:00:00Z client_ip=192.0.2.7 \
                http_method=GET http_path=/ http_status=200 duration=0";
    assert_eq!(decode("canonical", line.as_bytes()).events.len(), 1);
    for kind in ["F", "P"] {
        let cut = format!("2026-11-27T10:00:00.123456789Z stdout {kind} {line}");
        let decoded = decode("canonical", cut.as_bytes());
        assert!(decoded.events.is_empty());
        assert!(decoded.rejections[0].detail.contains("let the shipper join the parts"));
    }
}
