//! Tests `keywatch check-config` as a user or a script calls it.

#![allow(clippy::unwrap_used)]

use std::fs;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

fn check_config(text: &str, arguments: &[&str]) -> assert_cmd::assert::Assert {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keywatch.toml");
    fs::write(&path, text).unwrap();
    let mut command = Command::cargo_bin("keywatch").unwrap();
    command.arg("check-config").arg("-c").arg(path).args(arguments);
    command.env("KEYWATCH__DECODE__PEPPER", "a pepper from the environment").assert()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn what_is_in_effect_is_shown_with_secrets_masked_and_warnings_apart() {
    let assert = check_config("[policy]\ndry_run = false\n", &[]).success();
    let output = assert.get_output();
    let shown: toml::Table = toml::from_str(&text(&output.stdout)).unwrap();
    assert_eq!(shown["policy"]["dry_run"].as_bool(), Some(false));
    assert_eq!(shown["decode"]["pepper"].as_str(), Some("********"));
    assert_eq!(shown["source"]["kafka"]["brokers"].as_str(), Some("localhost:9092"));
    assert!(text(&output.stderr).contains("warning: policy.dry_run is false"));
}

#[test]
fn scripts_get_json() {
    let assert = check_config("", &["--json"]).success();
    let report: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!(report["config"]["decode"]["pepper"], "********");
    assert!(report["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty()));
    assert!(assert.get_output().stderr.is_empty());
}

#[test]
fn mistakes_are_named_with_their_line_and_exit_code_2() {
    let assert = check_config("[source]\nknd = \"file\"\n", &[]).code(2);
    let stderr = text(&assert.get_output().stderr);
    assert!(stderr.contains("keywatch.toml:2: unknown key `source.knd`; did you mean `kind`?"));
    assert!(assert.get_output().stdout.is_empty());
}

#[test]
fn the_rules_of_the_policy_are_explained_in_words() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("policy.toml");
    let rules = "[[rule]]\nname = \"bank\"\nmatch.tenants = [\"bank\"]\nmatch.min_severity = \"high\"\n\
                 action = \"suspend\"\napproval = true\n[exempt]\nkeys = [\"ak_1\"]\n";
    fs::write(&path, rules).unwrap();
    let config = format!("[policy]\nrules_file = \"{}\"\n", path.display());
    let assert = check_config(&config, &[]).success();
    let shown = text(&assert.get_output().stdout);
    let rule = "# 1. \"bank\": incidents of severity high or higher, and of tenant bank: at most suspend; \
                all channels are told; a person approves each suspension and revocation.";
    assert!(shown.contains(rule), "{shown}");
    assert!(shown.contains("nothing but a notice for keys ak_1"), "{shown}");
    toml::from_str::<toml::Table>(&shown).unwrap();
    let report = check_config(&config, &["--json"]).success();
    let report: Value = serde_json::from_slice(&report.get_output().stdout).unwrap();
    assert_eq!(report["rules"].as_array().map(Vec::len), Some(4));
}
