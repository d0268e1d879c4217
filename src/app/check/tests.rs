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
         [clickhouse]\nurl = \"tcp://localhost\"\ndatabase = \"a; drop\"\ncluster = \"a'b\"\n\
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
fn owners_are_asked_only_with_a_secret_a_way_to_them_and_a_page_that_they_reach() {
    let error =
        refusal("[owner]\nsecret = \"short\"\nmax_per_owner_per_day = 0\nanswer_hours = 1000\n");
    for fault in [
        "`owner.secret`: needs at least 32 characters",
        "`owner.answer_hours`: must be above 0 and at most 720",
        "`owner.max_per_owner_per_day`: must be greater than 0",
        "`owner`: needs the console, and its https:// address",
        "`owner`: needs [email], or `webhook_url`",
    ] {
        assert!(error.contains(fault), "no {fault} in {error}");
    }
    let text = "[owner]\nsecret = \"0123456789abcdef0123456789abcdef\"\n\
        webhook_url = \"https://example.com/\"\n\
        webhook_secret = \"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3\"\n\
        [console]\nurl = \"https://keywatch.example.com\"\n";
    let config = load(text).unwrap();
    assert!(warnings(&config).iter().any(|it| it.contains("nobody is asked")));
    assert!(!config.channel_names().contains(&"owner"), "it is none of all channels");
    assert!(config.route_names().contains(&"owner"));
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
fn plaintext_to_anything_but_this_machine_is_warned_of() {
    let said = |text: &str| warnings(&load(text).unwrap()).join("\n");
    let plain = said(
        "[source]\nkind = \"http\"\n[source.http]\nlisten = \"0.0.0.0:1\"\ntoken = \"t\"\n\
         [service]\nlisten = \"0.0.0.0:2\"\n[clickhouse]\nurl = \"http://db:8123\"\n",
    );
    for setting in ["source.http.tls", "service.tls", "clickhouse.url is http"] {
        assert!(plain.contains(setting), "{setting}: {plain}");
    }
    let kafka = said("[source.kafka]\nbrokers = \"localhost:9092,kafka.example.com:9092\"\n");
    assert!(kafka.contains("security_protocol does not encrypt"), "{kafka}");
    let own = said("[source.kafka]\nbrokers = \"localhost:9092, [::1]:9092\"\n");
    assert!(!own.contains("unencrypted"), "{own}");
}

#[test]
fn events_of_anybody_must_not_have_keys_revoked() {
    let source = "[source]\nkind = \"http\"\n[policy]\ndry_run = false\n";
    let error = refusal(&format!("{source}{WEBHOOK}"));
    assert!(error.contains("`source.http.token`: is needed"), "{error}");
    load(&format!("{source}{WEBHOOK}[source.http]\ntoken = \"t\"\n")).unwrap();
    let hash = "sha256:".to_owned() + &"0".repeat(64);
    load(&format!("{source}{WEBHOOK}[source.http.tokens]\nkong = \"{hash}\"\n")).unwrap();
    let error = refusal("[source.http.tokens]\nkong = \"secret\"\n");
    assert!(error.contains("kong") && !error.contains("\"secret\""), "{error}");
}

#[test]
fn a_certificate_needs_its_key() {
    let error = refusal("[service.tls]\ncertificate_file = \"a.pem\"\n");
    assert!(error.contains("needs both"), "{error}");
    let both = "[service.tls]\ncertificate_file = \"a.pem\"\nkey_file = \"b.pem\"\n";
    assert!(refusal(both).contains("a.pem"));
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
