//! Tests `keywatch formats` as a user runs it.

use std::fs;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use keywatch::decode;

fn formats(arguments: &[&str]) -> Assert {
    Command::cargo_bin("keywatch").unwrap().arg("formats").args(arguments).assert()
}

fn output(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

fn message(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

/// Checks a mapping of one's own.
fn check(mapping: &str) -> Assert {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mapping.toml");
    fs::write(&file, mapping).unwrap();
    formats(&["check", file.to_str().unwrap()])
}

#[test]
fn every_format_is_listed_with_what_it_reads() {
    let list = output(&formats(&["list"]).success());
    for format in decode::formats() {
        let line = list.lines().find(|line| line.split(' ').next() == Some(format));
        assert!(line.is_some_and(|line| line.len() > 30), "{format}: {list}");
    }
}

#[test]
fn every_mapping_that_is_shown_is_right() {
    for (format, _) in decode::presets() {
        let mapping = output(&formats(&["show", format]).success());
        assert!(output(&check(&mapping).success()).contains("the mapping is right"), "{format}");
    }
}

#[test]
fn an_unknown_format_is_a_usage_error_that_names_the_known_ones() {
    let assert = formats(&["show", "ngnix"]).code(2);
    let message = message(&assert);
    assert!(message.contains("ngnix") && message.contains("nginx-json"), "{message}");
}

#[test]
fn a_mapping_with_a_mistake_is_a_usage_error_that_names_its_key() {
    for (mapping, words) in [
        ("extends = \"kong\"\nforwardedfor = \"xff\"", "did you mean `forwarded_for`?"),
        ("extends = \"ngnix\"", "`extends`: is not a preset"),
        ("extends = \"kong\"\ntime = { path = \"t\", unit = \"h\" }", "`time.unit`"),
        ("extends = \"kong\"\nnonce = \"a..b\"", "the path `a..b` has an empty name"),
        ("key_id = \"k\"", "the mapping lacks this field"),
        ("key_id = ", "mapping.toml"),
    ] {
        let assert = check(mapping).code(2);
        let message = message(&assert);
        assert!(message.starts_with("keywatch: ") && message.contains(words), "{message}");
    }
    let assert = formats(&["check", "missing.toml"]).code(1);
    assert!(message(&assert).contains("cannot read missing.toml"));
}
