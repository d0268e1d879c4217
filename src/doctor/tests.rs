//! Tests the diagnosis: of every gateway's log as a snapshot, and of logs with one fault each.

#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::*;
use crate::config::Secret;
use crate::event::PartitionId;

const NOW: EventTime = EventTime::from_seconds(1_800_000_000);
const WIDTH: usize = 100;

fn config() -> Config {
    let mut config = Config::default();
    config.decode.format = "auto".into();
    config
}

fn plain(diagnosis: &Diagnosis) -> String {
    anstream::adapter::strip_str(&render(diagnosis, WIDTH)).to_string()
}

/// The text without its line breaks.
fn words(diagnosis: &Diagnosis) -> String {
    plain(diagnosis).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The fixtures, under names that do not depend on where they are.
fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new("tests/fixtures/logs");
    let files = folder.read_dir().unwrap().map(|file| file.unwrap().path());
    let mut logs: Vec<PathBuf> =
        files.filter(|path| !path.to_str().unwrap().ends_with(".expected.jsonl")).collect();
    logs.sort();
    logs
}

#[test]
fn every_log_of_a_gateway() {
    for log in fixtures() {
        let name = log.file_stem().unwrap().to_str().unwrap().to_owned();
        let diagnosis = examine(&[log], Extent::SAMPLE, &config(), NOW).unwrap();
        let text = plain(&diagnosis);
        for mark in ["live_example", "EXAMPLE-invented", "5e9d9544a1dcd60001d0ed204f"] {
            assert!(!text.contains(mark), "{name}: {mark} shows");
            assert!(!serde_json::to_string(&diagnosis).unwrap().contains(mark), "{name}: {mark}");
        }
        insta::assert_snapshot!(name, text);
    }
}

/// A log with `lines` requests, each of which `edit` makes of its number.
fn examined(lines: usize, config: &Config, edit: impl Fn(usize) -> String) -> Diagnosis {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.jsonl");
    let mut text = String::new();
    (0..lines).for_each(|number| writeln!(text, "{}", edit(number)).unwrap());
    std::fs::write(&file, text).unwrap();
    examine(&[file], Extent::SAMPLE, config, NOW).unwrap()
}

/// One request in the format `keywatch`, with more fields.
fn request(number: usize, more: &str) -> String {
    let time = 1_799_990_000.0 + number as f64 * 1.125;
    format!(
        r#"{{"time":{time},"key_id":"k{}","client_ip":"198.51.100.{}","method":"GET","path":"/v1","status":200{more}}}"#,
        number % 30,
        number % 200
    )
}

fn titles(diagnosis: &Diagnosis) -> Vec<String> {
    let findings = diagnosis.logs.iter().flat_map(|log| &log.findings);
    findings.filter(|it| it.level != Level::Note).map(|it| it.title.clone()).collect()
}

fn notes(diagnosis: &Diagnosis) -> Vec<String> {
    let findings = diagnosis.logs.iter().flat_map(|log| &log.findings);
    let of_log =
        findings.filter(|it| it.level == Level::Note && !it.title.contains("is configured"));
    of_log.map(|it| it.title.clone()).collect()
}

#[test]
fn a_sound_log_raises_nothing() {
    let diagnosis =
        examined(300, &config(), |it| request(it, &format!(r#","request_id":"r{it}""#)));
    assert_eq!(titles(&diagnosis), Vec::<String>::new());
    assert_eq!(notes(&diagnosis), Vec::<String>::new());
    assert_eq!(diagnosis.failure(), None);
    assert!(plain(&diagnosis).starts_with("Read all 300 records of 1 file"));
}

#[test]
fn a_log_without_keys_fails_and_says_what_to_log() {
    let diagnosis = examined(300, &config(), |it| request(it, "").replace("key_id", "key"));
    let failure = diagnosis.failure().unwrap();
    assert!(failure.contains("names no API key"), "{failure}");
    assert!(plain(&diagnosis).contains(r#"-> keywatch: "key_id":"k_81f0""#), "{diagnosis:#?}");
}

#[test]
fn an_empty_log_and_one_that_is_none_fail() {
    let empty = examined(0, &config(), |_| String::new());
    assert!(empty.failure().unwrap().contains("nothing was read"));
    let text = examined(3, &config(), |_| "Lorem ipsum dolor sit amet".to_owned());
    assert!(text.failure().unwrap().contains("not one record could be read"));
}

#[test]
fn private_addresses_mean_a_proxy_and_the_header_is_looked_for() {
    let private = |it, more: &str| {
        request(it, more).replace("198.51.100.", if it % 2 == 0 { "10.0.0." } else { "fd00::" })
    };
    let without = examined(300, &config(), |it| private(it, ""));
    assert_eq!(titles(&without), ["100 % of the addresses are private"]);
    let text = words(&without);
    assert!(text.contains("no header in the log names the"), "{text}");
    assert!(text.contains("trusted_proxies = [\"10.0.0.0/24\", \"fd00::/64\"]"), "{text}");

    let header = |it| format!(r#","forwarded_for":"203.0.113.{}""#, it % 200);
    let with = examined(300, &config(), |it| private(it, &header(it)));
    assert!(words(&with).contains("names another client in 100 % of"), "{}", words(&with));

    let mut trusting = config();
    trusting.decode.trusted_proxies = vec!["10.0.0.0/8".into(), "fd00::/8".into()];
    let trusted = examined(300, &trusting, |it| private(it, &header(it)));
    assert_eq!(titles(&trusted), Vec::<String>::new());
}

#[test]
fn one_address_for_many_keys_is_a_proxy_too() {
    let from = |keys: usize| {
        let diagnosis = examined(300, &config(), |it| {
            let event =
                request(it, "").replace(&format!("k{}\"", it % 30), &format!("k{}\"", it % keys));
            event.replace(&format!("100.{}\"", it % 200), "100.1\"")
        });
        titles(&diagnosis)
    };
    assert_eq!(from(30), ["all requests of 30 keys come from 1 address"]);
    assert_eq!(from(3), Vec::<String>::new());
}

#[test]
fn whole_seconds_are_told_also_behind_a_subtracted_duration() {
    let whole = |more: &str| {
        let diagnosis = examined(50, &config(), |it| {
            let time = (1_799_990_000.0 + it as f64 * 1.125).to_string();
            request(it, more).replace(&time, &(1_799_990_000 + it).to_string())
        });
        notes(&diagnosis)
    };
    assert_eq!(whole(""), ["all times are whole seconds"]);
    let nginx = |time: &str| {
        let diagnosis = examined(50, &config(), |it| {
            format!(
                r#"{{{time},"request_time":"0.{:03}","remote_addr":"198.51.100.7","remote_user":"k","request_method":"GET","request_uri":"/","status":"200"}}"#,
                17 + it
            )
        });
        notes(&diagnosis)
    };
    assert_eq!(
        nginx(r#""time_iso8601":"2027-01-15T05:00:00+00:00""#),
        ["all times are whole seconds"]
    );
    assert_eq!(nginx(r#""msec":"1799990000.123""#), Vec::<String>::new());
}

#[test]
fn clocks_that_are_off_are_told_from_a_wrong_zone() {
    let skewed = |seconds: f64| {
        let diagnosis = examined(60, &config(), |it| {
            let signed = 1_799_990_000.0 + it as f64 * 1.125 - seconds;
            request(it, &format!(r#","client_time":{signed}"#))
        });
        (titles(&diagnosis), words(&diagnosis))
    };
    assert_eq!(skewed(0.2).0, Vec::<String>::new());
    let (titles, text) = skewed(40.0);
    assert_eq!(titles, ["the log's times are 40 s later than the clients' (half of 30 keys)"]);
    assert!(text.contains("the server's clock is wrong"), "{text}");
    let (titles, text) = skewed(-7_200.2);
    assert!(titles[0].contains("earlier"), "{titles:?}");
    assert!(text.contains("read in the wrong one"), "{text}");
}

#[test]
fn ids_that_occur_again_are_repeated_requests_or_shared_ids() {
    let twice = examined(300, &config(), |it| {
        let number = it / 2;
        request(number, &format!(r#","request_id":"r{number}""#))
    });
    assert_eq!(notes(&twice), ["150 requests are in the log twice"]);
    let shared =
        examined(300, &config(), |it| request(it, &format!(r#","request_id":"r{}""#, it / 2)));
    assert_eq!(titles(&shared), ["150 requests have the id of another one"]);
}

#[test]
fn raw_keys_ask_for_a_pepper_and_do_not_show() {
    let raw = |config: &Config| {
        examined(40, config, |it| {
            request(it, "").replace("\"key_id\":\"k", "\"api_key\":\"sk_live_invented_example_")
        })
    };
    let diagnosis = raw(&config());
    assert_eq!(
        titles(&diagnosis),
        ["100 % of the requests carry a raw key, and there is no pepper"]
    );
    assert!(!plain(&diagnosis).contains("invented_example"));
    let mut peppered = config();
    peppered.decode.pepper = Secret::new("a pepper for tests only");
    assert_eq!(titles(&raw(&peppered)), Vec::<String>::new());
}

#[test]
fn a_named_format_that_does_not_fit_is_told() {
    let mut config = config();
    config.decode.format = "kong".into();
    let diagnosis = examined(40, &config, |it| request(it, ""));
    assert_eq!(titles(&diagnosis)[0], "not one record could be read");
    assert!(titles(&diagnosis)[1].contains("looks like keywatch, and not kong"), "{diagnosis:#?}");
}

#[test]
fn sampled_old_and_future_logs_are_told() {
    let sampled = examined(40, &config(), |it| request(it, r#","sample_rate":0.25"#));
    assert_eq!(titles(&sampled), ["the log is sampled: records have `sample_rate` 0.25"]);
    let at = |time: i64| {
        examined(40, &config(), |it| {
            let own = (1_799_990_000.0 + it as f64 * 1.125).to_string();
            request(it, "").replace(&own, &format!("{}.5", time + it as i64))
        })
    };
    assert_eq!(titles(&at(1_700_000_000)), ["40 events are older than 30 days"]);
    assert_eq!(titles(&at(1_900_000_000)), ["40 events are in the future"]);
}

#[test]
fn the_summary_has_three_lines() {
    let diagnosis = examined(50, &config(), |it| request(it, r#","sample_rate":0.5"#));
    let summary = summary(&diagnosis);
    assert_eq!(summary.lines().count(), 3, "{summary}");
    assert!(summary.contains("is sampled") && summary.contains("blind: replay."), "{summary}");
}

#[test]
fn a_long_log_is_sampled_and_the_sample_is_stated() {
    let diagnosis = examined(301_000, &config(), |it| request(it, ""));
    assert_eq!(diagnosis.sample.records, 300_000);
    assert!(!diagnosis.sample.is_whole);
    assert!(plain(&diagnosis).starts_with("Read the first 300,000 records ("));
}

#[test]
fn hostile_text_is_shown_without_effect() {
    let diagnosis = examined(1, &config(), |_| {
        "{\"time\":1799990000,\"\u{202e}\\u001b[31m\":1,\"key_id\":\"\u{202e}\\u001b[31m\"}".into()
    });
    let text = render(&diagnosis, WIDTH);
    let text = anstream::adapter::strip_str(&text).to_string();
    assert!(!text.contains(['\u{202e}', '\u{1b}']), "{text:?}");
}

/// Whoever adds a detector's field to the table gives the gateways' settings for it.
#[test]
fn every_format_says_how_its_missing_fields_are_logged() {
    let log = examined(1, &config(), |it| request(it, ""));
    let fields: Vec<&str> = log.logs[0].blind.iter().map(|it| it.field).collect();
    assert!(fields.contains(&"nonce") && fields.contains(&"client_fingerprint"), "{fields:?}");
    let decoders = Decoders::new(&config().decode).unwrap();
    // The environment and such are in no gateway's log by themselves.
    for field in fields.iter().filter(|field| **field != "environment") {
        for format in crate::decode::formats() {
            let to_log = decoders.by_content.to_log(format, field);
            assert_ne!(to_log, crate::decode::ToLog::Unknown, "{format}: {field}");
        }
    }
}

/// Two partitions of a topic, of which `key` names the key of a request.
fn partitioned(config: &Config, key: impl Fn(i32, usize) -> usize) -> Diagnosis {
    let batch = |partition: i32| {
        let mut batch = RawBatch::new(PartitionId { topic: "access".into(), partition });
        for number in 0..50 {
            let own = format!("\"k{}\"", number % 30);
            let other = format!("\"k{}\"", key(partition, number));
            batch.push(number as i64, request(number, "").replace(&own, &other).as_bytes());
        }
        batch
    };
    examine_batches(&[batch(0), batch(1)], config, NOW).unwrap()
}

#[test]
fn keys_in_several_partitions_are_told_unless_the_service_partitions_them() {
    let scattered = partitioned(&config(), |_, number| number % 10);
    assert_eq!(titles(&scattered), ["the requests of 10 of 10 API keys are in several partitions"]);
    let apart = partitioned(&config(), |partition, number| number % 10 + 10 * partition as usize);
    assert_eq!(titles(&apart), Vec::<String>::new());
    let mut repartitioning = config();
    repartitioning.source.kafka.repartition_topic = Some("by-key".into());
    let scattered = partitioned(&repartitioning, |_, number| number % 10);
    assert_eq!(titles(&scattered), Vec::<String>::new());
}
