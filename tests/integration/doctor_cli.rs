//! Tests `keywatch doctor` as a user runs it: files in, words and an exit code out.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use serde_json::{Value, json};
use tempfile::TempDir;

struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Writes a log of 40 requests, each as `edit` makes it.
    fn log(&self, name: &str, edit: impl Fn(usize, &mut Value)) {
        let mut lines = String::new();
        for number in 0..40 {
            let mut event = json!({
                "time": 1_790_000_000.25 + 1.125 * number as f64, "key_id": format!("k{}", number % 7),
                "client_ip": format!("198.51.100.{}", number % 20), "method": "GET", "path": "/v1",
                "status": 200, "request_id": format!("r{number}"),
            });
            edit(number, &mut event);
            lines += &format!("{event}\n");
        }
        self.write(name, lines);
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join(name), content).unwrap();
    }

    fn keywatch(&self, arguments: &[&str]) -> Assert {
        let mut command = Command::cargo_bin("keywatch").unwrap();
        command.current_dir(self.folder.path()).args(arguments).assert()
    }

    fn doctor(&self, arguments: &[&str]) -> Assert {
        self.keywatch(&[&["doctor", "--input"], arguments].concat())
    }
}

fn output(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

fn message(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/logs");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| !path.to_str().unwrap().ends_with(".expected.jsonl")).collect()
}

#[test]
fn the_logs_of_all_gateways_are_examined_at_once_and_no_raw_key_shows() {
    let desk = Desk::new();
    let logs = fixtures();
    let logs: Vec<&str> = logs.iter().map(|path| path.to_str().unwrap()).collect();
    let assert = desk.doctor(&logs).success();
    let text = output(&assert);
    for preset in ["kong", "aws-apigateway", "cloudtrail", "combined", "canonical"] {
        assert!(text.contains(&format!("\n{preset}\n")), "{preset} has no section: {text}");
    }
    assert!(!text.contains("live_example") && !text.contains("EXAMPLE-invented"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours without a terminal");
}

#[test]
fn a_log_without_keys_ends_with_exit_code_1_and_the_line_to_add() {
    let desk = Desk::new();
    let line = |number: usize| {
        let time = 1_790_000_000.123 + number as f64;
        format!(
            r#"{{"msec":"{time}","request_time":"0.004","remote_addr":"198.51.100.7","remote_user":"-","request_method":"GET","request_uri":"/v1","status":"200"}}"#
        )
    };
    let lines: Vec<String> = (0..50).map(line).collect();
    desk.write("access.jsonl", lines.join("\n"));
    let assert = desk.doctor(&["access.jsonl"]).code(1);
    let text = output(&assert);
    assert!(text.contains(r#"-> nginx-json: "http_x_api_key":"$http_x_api_key""#), "{text}");
    let message = message(&assert);
    assert!(message.contains("keywatch: the log names no API key"), "{message}");
}

#[test]
fn private_addresses_are_told_with_the_option_that_helps_and_the_option_helps() {
    let desk = Desk::new();
    desk.log("access.jsonl", |number, event| {
        event["client_ip"] = "10.0.0.5".into();
        event["forwarded_for"] = format!("192.0.2.1, 198.51.100.{}", number % 20).into();
    });
    let text = output(&desk.doctor(&["access.jsonl"]).success());
    assert!(text.contains("100 % of the addresses are private"), "{text}");
    assert!(text.contains(r#"-> [decode] trusted_proxies = ["10.0.0.5"]"#), "{text}");
    desk.write("keywatch.toml", "[decode]\ntrusted_proxies = [\"10.0.0.5\"]\n");
    let text = output(&desk.doctor(&["access.jsonl", "-c", "keywatch.toml"]).success());
    assert!(!text.contains("private"), "{text}");
}

#[test]
fn times_of_one_second_and_a_log_without_nonces_are_told() {
    let desk = Desk::new();
    desk.log("access.jsonl", |number, event| event["time"] = (1_790_000_000 + number).into());
    let text = output(&desk.doctor(&["access.jsonl"]).success());
    assert!(text.contains("all times are whole seconds"), "{text}");
    assert!(text.contains("replay.out_of_order_nonce"), "{text}");
}

#[test]
fn all_figures_are_given_as_json() {
    let desk = Desk::new();
    desk.log("access.jsonl", |_, event| event["nonce"] = 17.into());
    let text = output(&desk.doctor(&["access.jsonl", "--json"]).success());
    let diagnosis: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(diagnosis["sample"]["records"], 40);
    assert_eq!(diagnosis["sample"]["is_whole"], true);
    let log = &diagnosis["logs"][0];
    assert_eq!(
        [&log["format"], &log["events"], &log["keys"]],
        [&json!("keywatch"), &40.into(), &7.into()]
    );
    let blind: Vec<&Value> =
        log["blind"].as_array().unwrap().iter().map(|blind| &blind["field"]).collect();
    assert!(blind.contains(&&json!("signature")) && !blind.contains(&&json!("nonce")), "{blind:?}");
}

#[test]
fn logs_that_cannot_be_examined_end_with_one_sentence() {
    let desk = Desk::new();
    desk.write("empty.jsonl", "");
    desk.write("prose.txt", "Lorem ipsum dolor sit amet.\nConsectetur.\n");
    for (arguments, code, words) in [
        (&["empty.jsonl"][..], 1, "keywatch: nothing was read: the log is empty"),
        (&["prose.txt"], 1, "keywatch: not one record could be read"),
        (&["missing.jsonl"], 1, "missing.jsonl"),
        (&["prose.txt", "--format", "ngnix"], 2, "the format \"ngnix\" is unknown"),
    ] {
        let assert = desk.doctor(arguments).code(code);
        let message = message(&assert);
        assert!(message.contains(words) && message.lines().count() == 1, "{message}");
    }
}

#[test]
fn a_directory_and_a_damaged_end_of_a_file_are_read() {
    let desk = Desk::new();
    fs::create_dir(desk.folder.path().join("logs")).unwrap();
    desk.log("logs/access.jsonl", |_, _| {});
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let log = fs::read(desk.folder.path().join("logs/access.jsonl")).unwrap();
    std::io::Write::write_all(&mut encoder, &log).unwrap();
    desk.write("logs/access.jsonl.1.gz", [encoder.finish().unwrap(), b"garbage".to_vec()].concat());
    let text = output(&desk.doctor(&["logs"]).success());
    assert!(text.starts_with("Read all 80 records of 2 files"), "{text}");
    assert!(text.contains("logs/access.jsonl.1.gz: what follows the last gzip member"), "{text}");
    let assert = desk.keywatch(&["backtest", "--input", "logs/*.gz"]).success();
    assert!(message(&assert).contains("what follows the last gzip member"), "{}", message(&assert));
    let assert = desk.doctor(&["*.parquet"]).code(2);
    assert!(message(&assert).contains("no file matches the pattern"));
}

#[test]
fn help_has_examples() {
    let assert = Desk::new().keywatch(&["doctor", "--help"]).success();
    assert!(output(&assert).contains("keywatch doctor --input access.jsonl"));
}

#[test]
fn a_backtest_begins_with_what_the_log_lacks() {
    let desk = Desk::new();
    desk.log("access.jsonl", |_, event| event["client_ip"] = "10.0.0.5".into());
    let assert = desk.keywatch(&["backtest", "--input", "access.jsonl"]).success();
    let message = message(&assert);
    let lines: Vec<&str> = message.lines().take(3).collect();
    assert!(lines[0].starts_with("keywatch: 100 % of 40 requests decoded"), "{message}");
    assert!(lines[1].contains("100 % of the addresses are private"), "{message}");
    assert!(lines[2].contains("blind: replay.duplicate_nonce"), "{message}");
}
