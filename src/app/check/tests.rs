//! The check reports all errors of a configuration at once, each with its place.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use tempfile::TempDir;

use super::{check, warnings};
use crate::config::Config;

const WEBHOOK: &str = "[webhook]\nurl = \"https://example.com/\"\nsecret = \"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3\"\n";

fn load(text: &str) -> Result<Config, String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keywatch.toml");
    fs::write(&path, text).unwrap();
    Config::load(Some(&path), std::iter::empty(), check)
        .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

fn refusal(text: &str) -> String {
    load(text).err().unwrap_or_else(|| panic!("accepted:\n{text}"))
}

#[test]
fn values_that_make_no_sense_are_refused_together() {
    let error = refusal(
        "[source]\nbatch_records = 0\n\
         [source.kafka]\ntopics = [\"a\"]\ndead_letter_topic = \"a\"\nsasl_username = \"u\"\n\
         [decode]\nformat = \"csv\"\n\
         [detect]\nexpected_false_alerts_per_week = nan\n\
         [clickhouse]\nurl = \"tcp://localhost\"\ndatabase = \"a; drop\"\n\
         [email]\nhost = \"h\"\nfrom = \"nobody\"\nto = []\n\
         [webhook]\nurl = \"ftp://example.com\"\nsecret = \"whsec_short\"\n\
         [alerts_topic]\ntopic = \"a\"\n\
         [log]\nfilter = \"a=b=c\"\n",
    );
    insta::assert_snapshot!(error);
}

#[test]
fn a_short_pepper_is_refused() {
    let error = refusal("[decode]\npepper = \"short\"\n");
    assert_eq!(
        error,
        "keywatch.toml:2: `decode.pepper`: the pepper has 5 bytes; use at least 16 random ones"
    );
}

#[test]
fn warnings_name_what_deserves_a_second_look() {
    let revoking = load(&format!("[policy]\ndry_run = false\n{WEBHOOK}")).unwrap();
    let said = warnings(&revoking).join("\n");
    assert!(said.contains("keys will be revoked"), "{said}");
    assert!(!said.contains("sent to nobody"), "{said}");
    assert!(warnings(&Config::default()).iter().any(|text| text.contains("sent to nobody")));
}

#[test]
fn the_example_and_the_defaults_are_accepted() {
    load(include_str!("../../../keywatch.example.toml")).unwrap();
    assert_eq!(check(&Config::default()), []);
}

#[test]
fn secrets_are_not_quoted() {
    for text in [
        "[decode]\npepper = \"hidden1\"",
        "[webhook]\nurl = \"https://u:hidden1@example.com\"\nsecret = \"hidden1\"",
    ] {
        let error = refusal(text);
        assert!(!error.contains("hidden1"), "{error}");
    }
}
