//! Tests that no secret shows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

fn masked(text: &str, trust: Trust) -> String {
    payload(text.as_bytes(), trust, &Format::own())
}

#[test]
fn harmless_values_stay_readable() {
    let json = r#"{"time": "2026-01-01T00:00:00Z", "status": 999, "client_ip": "1.2.3.4",
        "api_key": "sk_1", "nonce": 7, "path": "/v1?token=t1", "key_id": "k-1", "x": true}"#;
    insta::assert_snapshot!(masked(json, Trust::Parsed), @r#"
    {"time": "2026-01-01T00:00:00Z", "status": 999, "client_ip": "1.2.3.4",
            "api_key": "***", "nonce": ***, "path": "/v1?***", "key_id": "k-1", "x": true}
    "#);
}

#[test]
fn text_that_is_not_json_keeps_structure_and_known_names_only() {
    insta::assert_snapshot!(
        masked(r#"{"status": 200, "tenant": "acme", "secretname": {"method": "GET"}, "api_key": "sk"#, Trust::Unparsed),
        @r#"{"status": 200, "tenant": "***", "***": {"method": "***"}, "api_key": "***"#
    );
    insta::assert_snapshot!(masked("api_key=sk_live_1 GET", Trust::Unparsed), @"*** ***");
}

#[test]
fn long_payloads_are_cut() {
    let long = masked(&"x ".repeat(5_000), Trust::Unparsed);
    assert!(long.len() < 2_100 && long.ends_with('…'), "{}", long.len());
}

/// A secret with some of its characters written as `\u0061`.
fn escaped(secret: &str, escapes: &[bool]) -> String {
    let escape = |(c, escape): (char, &bool)| match escape {
        true => format!("\\u{:04x}", c as u32),
        false => c.to_string(),
    };
    secret.chars().zip(escapes.iter().cycle()).map(escape).collect()
}

fn harmless_field() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        r#""time":"2026-01-01T00:00:00Z""#,
        r#""method" : "GET""#,
        r#""path":"/v1/a?b=c""#,
        r#""status":"2x""#,
        r#""key_id":"k-1""#,
        r#""user_agent":"say \"hi\", \\""#,
        r#""extra":{"a":[1,"two",{"method":"PUT"}]}"#,
        r#""tenant":null"#,
    ])
    .prop_map(str::to_owned)
}

/// A record with the secret as value of a secret field, plain or nested, and the form in
/// which it is written.
fn record() -> impl Strategy<Value = (String, Vec<String>)> {
    (
        prop::collection::vec(harmless_field(), 0..6),
        prop::sample::select(vec!["api_key", "nonce", "signature"]),
        "[A-Z][A-Za-z0-9]{9,30}",
        prop::collection::vec(any::<bool>(), 1..8),
        prop::sample::select(vec!["\"{}\"", "{}", "[\"{}\"]", "{\"path\":\"{}\"}"]),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(mut fields, name, secret, escapes, shape, at)| {
            let written = escaped(&secret, &escapes);
            let value = shape.replace("{}", &written);
            fields.insert(at.index(fields.len() + 1), format!("\"{name}\":{value}"));
            (format!("{{{}}}", fields.join(",")), vec![secret, written])
        })
}

/// True when eight characters in a row of a secret can be read.
fn leaks(masked: &str, secrets: &[String]) -> bool {
    secrets.iter().any(|secret| {
        secret
            .as_bytes()
            .windows(8)
            .any(|part| masked.as_bytes().windows(8).any(|window| window == part))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn secrets_never_show((record, secrets) in record(), cut in any::<prop::sample::Index>()) {
        let trust = match serde_json::from_str::<serde::de::IgnoredAny>(&record) {
            Ok(_) => Trust::Parsed,
            Err(_) => Trust::Unparsed,
        };
        prop_assert!(!leaks(&masked(&record, trust), &secrets));
        let cut = &record[..cut.index(record.len())];
        prop_assert!(!leaks(&masked(cut, Trust::Unparsed), &secrets));
    }

    #[test]
    fn secrets_never_show_in_damaged_records(
        (record, secrets) in record(),
        at in any::<prop::sample::Index>(),
        patch in prop::sample::select(vec!["", "\"", "{", "}", ",", ":", "\\", "\0", "\n"]),
    ) {
        let at = at.index(record.len());
        let damaged = [&record[..at], patch, &record[at + 1..]].concat();
        let trust = match serde_json::from_str::<serde::de::IgnoredAny>(&damaged) {
            Ok(_) => Trust::Parsed,
            Err(_) => Trust::Unparsed,
        };
        prop_assert!(!leaks(&masked(&damaged, trust), &secrets), "{}", damaged);
    }

    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        payload(&bytes, Trust::Unparsed, &Format::own());
        payload(&bytes, Trust::Parsed, &Format::own());
    }
}
