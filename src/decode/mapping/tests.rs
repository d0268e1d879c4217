//! Tests the mapping language on small mappings.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::decode::presets;

/// The fields that every mapping needs, under their own names.
const REST: &str = r#"
    key_id = "k"
    time = "time"
    client_ip = "ip"
    method = "m"
    path = "p"
    status = "s"
"#;

fn table(text: &str) -> Table {
    let mut table: Table = REST.parse().unwrap();
    table.extend(text.parse::<Table>().unwrap());
    table
}

fn mapping(text: &str) -> Mapping {
    Mapping::compile(&table(text)).unwrap()
}

/// The values of one field in the requests of a record; `skipped` where a rule leaves one out.
fn values(toml: &str, record: &str, field: &str) -> Vec<String> {
    let field = Field::named(field).unwrap();
    let mut values = Vec::new();
    let read = mapping(toml).read(record, false, &mut |_, part| {
        values.push(match part {
            Part::Request(event) => match event.value(field) {
                Scalar::Time(time) => time.to_string(),
                Scalar::Float(number) => number.to_string(),
                value if value.is_absent() => "absent".into(),
                value => value::shown(value).into_owned(),
            },
            Part::Skipped { .. } => "skipped".into(),
            Part::Unread(_) => "unread".into(),
        });
    });
    read.unwrap_or_else(|error| panic!("{record}: {error:?}"));
    values
}

fn value(toml: &str, record: &str, field: &str) -> String {
    let values = values(toml, record, field);
    assert_eq!(values.len(), 1, "{record}");
    values.into_iter().next().unwrap()
}

fn mistake(text: &str) -> String {
    Mapping::compile(&table(text)).unwrap_err().to_string()
}

#[test]
fn every_preset_compiles_and_says_what_it_reads() {
    for preset in presets::ALL {
        let mapping = Mapping::compile(&preset.table().unwrap());
        assert!(mapping.is_ok(), "{}: {}", preset.name, mapping.unwrap_err());
        assert!(!preset.about().is_empty(), "{}", preset.name);
    }
}

#[test]
fn the_first_of_a_list_that_has_a_value_counts() {
    let toml = r#"tenant = ["a", { path = "b.c" }, 'd."e.f"[0]']"#;
    for (record, tenant) in [
        (r#"{"a":"1","b":{"c":"2"}}"#, "1"),
        (r#"{"a":"","b":{"c":"2"}}"#, "2"),
        (r#"{"a":"-","b":{"c":null},"d":{"e.f":["3","4"]}}"#, "3"),
        (r#"{"a":null,"b":7,"d":{"e.f":"5"}}"#, "5"),
        (r#"{"d":{"e.f":[]}}"#, "absent"),
        (r#"{"d":{"e":{"f":"6"}}}"#, "absent"),
    ] {
        assert_eq!(value(toml, record, "tenant"), tenant, "{record}");
    }
}

#[test]
fn absent_values_can_be_named() {
    let toml = "absent = [\"none\"]\nlatency_ms = { path = \"l\", absent = [\"-1\"] }";
    assert_eq!(value(toml, r#"{"k":"none","l":-1}"#, "key_id"), "absent");
    assert_eq!(value(toml, r#"{"k":"-","l":-1}"#, "key_id"), "-");
    assert_eq!(value(toml, r#"{"l":-1}"#, "latency_ms"), "absent");
    assert_eq!(value(toml, r#"{"l":"-1"}"#, "latency_ms"), "absent");
    assert_eq!(value(toml, r#"{"l":1}"#, "latency_ms"), "1");
}

#[test]
fn durations_are_brought_to_milliseconds() {
    for (unit, expected) in [("s", "21000"), ("ms", "21"), ("us", "0.021"), ("ns", "0.000021")] {
        let toml = format!("latency_ms = {{ path = \"l\", unit = \"{unit}\" }}");
        assert_eq!(value(&toml, r#"{"l":"21"}"#, "latency_ms"), expected);
    }
}

#[test]
fn times_have_units_patterns_and_zones() {
    for (rule, json, expected) in [
        (r#"unit = "ms""#, "1772452800123", "2026-03-02T12:00:00.123000Z"),
        (r#"unit = "ms""#, "\"1772452800123\"", "2026-03-02T12:00:00.123000Z"),
        (r#"unit = "ms""#, "1772452800123.5", "2026-03-02T12:00:00.123500Z"),
        (r#"unit = "s""#, "\"1772452800.123\"", "2026-03-02T12:00:00.123000Z"),
        (r#"unit = "ns""#, "1772452800123456789", "2026-03-02T12:00:00.123456Z"),
        (r#"unit = "us""#, "1000000", "1970-01-01T00:00:01.000000Z"),
        // A form that every format accepts is read although the rule names another.
        (r#"unit = "ns""#, "\"2026-03-02T12:00:00Z\"", "2026-03-02T12:00:00.000000Z"),
        ("", "\"02/Mar/2026:13:00:00 +0100\"", "2026-03-02T12:00:00.000000Z"),
        (
            r#"strptime = "%d.%m.%Y %H:%M:%S %z""#,
            "\"02.03.2026 12:00:00 +0000\"",
            "2026-03-02T12:00:00.000000Z",
        ),
        (
            r#"strptime = "%d.%m.%Y %H:%M:%S", zone = "+01:00""#,
            "\"02.03.2026 12:00:00\"",
            "2026-03-02T11:00:00.000000Z",
        ),
        (r#"zone = "UTC""#, "\"2026-03-02 12:00:00.5\"", "2026-03-02T12:00:00.500000Z"),
        (r#"zone = "-0530""#, "\"2026-03-02T12:00:00\"", "2026-03-02T17:30:00.000000Z"),
        // Without a zone the time is not known, and is left to be rejected.
        ("", "\"2026-03-02 12:00:00\"", "2026-03-02 12:00:00"),
    ] {
        let comma = if rule.is_empty() { "" } else { ", " };
        let toml = format!("time = {{ path = \"t\"{comma}{rule} }}");
        assert_eq!(value(&toml, &format!("{{\"t\":{json}}}"), "time"), expected, "{rule} {json}");
    }
}

#[test]
fn the_end_of_a_request_minus_its_duration_is_its_beginning() {
    let toml = r#"time = { path = "t", unit = "s", minus = { path = "d", unit = "s" } }"#;
    let begin = |record| value(toml, record, "time");
    assert_eq!(begin(r#"{"t":"1772452800.123","d":"0.021"}"#), "2026-03-02T12:00:00.102000Z");
    assert_eq!(begin(r#"{"t":1772452800,"d":"-"}"#), "2026-03-02T12:00:00.000000Z");
    assert_eq!(begin(r#"{"t":1772452800,"d":-5}"#), "2026-03-02T12:00:00.000000Z");
    assert!(begin(r#"{"t":1,"d":1e300}"#).starts_with('-'), "long before 1970");
}

#[test]
fn constants_templates_and_maps_make_values() {
    let toml = r#"
        path = { template = "/${a.b}/${c}" }
        status = [
            { path = "error", map = { "Throttl*" = 429, "ThrottledForGood" = 403, "*" = 400 } },
            { constant = 200 },
        ]
        scope = { path = "c", map = { "GET" = "read" } }
        tenant = { path = "c", default = "one" }
    "#;
    let record = r#"{"a":{"b":"x"},"c":7,"error":"ThrottlingException"}"#;
    assert_eq!(value(toml, record, "path"), "/x/7");
    assert_eq!(value(toml, record, "status"), "429");
    assert_eq!(value(toml, r#"{"error":"ThrottledForGood"}"#, "status"), "403");
    assert_eq!(value(toml, r#"{"error":"Other"}"#, "status"), "400");
    assert_eq!(value(toml, r#"{"c":"get"}"#, "status"), "200");
    assert_eq!(value(toml, r#"{"c":"get"}"#, "scope"), "read");
    assert_eq!(value(toml, record, "scope"), "absent");
    assert_eq!(value(toml, record, "tenant"), "one");
    assert_eq!(value(toml, r#"{"c":7}"#, "path"), "absent");
}

#[test]
fn patterns_choose_among_values() {
    let toml = r#"key_id = [{ path = "k", except = ["ASIA*"] }, { path = "role", only = ["arn:*"] }, "k"]"#;
    assert_eq!(value(toml, r#"{"k":"AKIA1","role":"arn:1"}"#, "key_id"), "AKIA1");
    assert_eq!(value(toml, r#"{"k":"ASIA1","role":"arn:1"}"#, "key_id"), "arn:1");
    assert_eq!(value(toml, r#"{"k":"ASIA1","role":"other"}"#, "key_id"), "ASIA1");
}

#[test]
fn raw_keys_come_from_headers_and_queries_and_are_marked() {
    let toml = r#"key_id = [
        "id",
        { path = "h", strip = "Bearer ", secret = true },
        { path = "url", query = "api_key", secret = true },
    ]"#;
    assert_eq!(value(toml, r#"{"id":"1","h":"Bearer s"}"#, "key_id"), "1");
    assert_eq!(value(toml, r#"{"id":"1","h":"Bearer s"}"#, "api_key"), "absent");
    assert_eq!(value(toml, r#"{"h":"Bearer s"}"#, "api_key"), "s");
    assert_eq!(value(toml, r#"{"h":"Bearer s"}"#, "key_id"), "absent");
    assert_eq!(value(toml, r#"{"url":"/a?b=c&api_key=s%201"}"#, "api_key"), "s 1");
    let mapping = mapping(toml);
    assert_eq!(mapping.shown_field("id"), None, "a list with a secret in it shows nothing");
    assert_eq!(mapping.shown_field("ip"), Some("client_ip"));
    assert_eq!(mapping.shown_field("url"), None);
}

#[test]
fn arrays_are_exploded_with_what_stands_around_them() {
    let toml =
        "explode = \"Records\"\ntenant = \"^.owner\"\nskip = [{ path = \"k\", is = [\"x*\"] }]";
    let record = r#"{"Records":[{"k":"1"},{"k":"2","owner":"no"},{"k":"x3"},5],"owner":"acme"}"#;
    assert_eq!(values(toml, record, "tenant"), ["acme", "acme", "skipped", "unread"]);
    assert_eq!(values(toml, record, "key_id"), ["1", "2", "skipped", "unread"]);
    assert_eq!(values(toml, r#"{"k":"1"}"#, "key_id"), ["1"], "a record may stand alone");
    assert!(values(toml, r#"{"Records":[]}"#, "key_id").is_empty());
}

#[test]
fn an_element_with_a_broken_escape_is_repaired() {
    let toml = "explode = \"Records\"\ntenant = \"t\"";
    let record = r#"{"Records":[{"t":"a"},{"t":"b\ud800"},{"t":"c"}]}"#;
    assert_eq!(values(toml, record, "tenant"), ["a", "b\u{fffd}", "c"]);
}

#[test]
fn json_in_a_string_is_read_like_json() {
    let toml = "json_in_text = [\"inner\"]\nignore_case = true\ntenant = \"inner.Name\"";
    for record in [
        r#"{"inner":{"name":"acme"}}"#,
        r#"{"INNER":"{\"NAME\":\"acme\"}"}"#,
        r#"{"inner":"{\"other\":[1],\"name\":\"ac\\u006de\"}"}"#,
    ] {
        assert_eq!(value(toml, record, "tenant"), "acme", "{record}");
    }
    assert_eq!(value(toml, r#"{"inner":"no JSON"}"#, "tenant"), "absent");
}

#[test]
fn nonces_keep_all_their_digits() {
    let toml = "nonce = \"h.n[0]\"";
    assert_eq!(value(toml, r#"{"h":{"n":20240101123045123456}}"#, "nonce"), "20240101123045123456");
    assert_eq!(value(toml, r#"{"h":{"n":["17","18"]}}"#, "nonce"), "17");
    assert_eq!(value(toml, r#"{"h":{"n":[]}}"#, "nonce"), "absent");
}

#[test]
fn mistakes_name_their_key() {
    for (text, words) in [
        (
            "tenent = \"a\"",
            "`tenent`: neither a field of an event nor a setting of a mapping; did you mean `tenant`?",
        ),
        ("tenant = { pth = \"a\" }", "`tenant.pth`: this key is unknown; did you mean `path`?"),
        ("tenant = \"a..b\"", "`tenant`: the path `a..b` has an empty name"),
        ("tenant = 5", "`tenant`: expected a path"),
        ("tenant = []", "`tenant`: the list of paths is empty"),
        ("tenant = { path = \"a\", constant = \"b\" }", "`tenant`: expected a path"),
        (
            "tenant = { path = \"a\", unit = \"s\" }",
            "`tenant.unit`: this field is not measured in time",
        ),
        ("tenant = { path = \"a\", zone = \"UTC\" }", "`tenant.zone`: only `time`"),
        ("tenant = { template = \"${a\" }", "`tenant.template`: a `${` is not closed"),
        ("latency_ms = { path = \"a\", unit = \"min\" }", "`latency_ms.unit`: expected a unit"),
        ("zone = \"Mars\"", "`zone`: expected `UTC`"),
        ("shape = \"xml\"", "`shape`: use `json`"),
        ("skip = [{ path = \"a\" }]", "`skip`: expected"),
        ("path = { path = \"a\", part = \"host\" }", "`path.part`: use `path`"),
    ] {
        let mistake = mistake(text);
        assert!(mistake.starts_with(words), "{text}: {mistake}");
    }
    let lacking = Mapping::compile(&"time = \"t\"".parse().unwrap()).unwrap_err().to_string();
    assert_eq!(lacking, "`client_ip`: the mapping lacks this field, which every event needs");
}

#[test]
fn a_mapping_may_extend_a_preset() {
    let table = "extends = \"kong\"\ntenant = \"service.name\"".parse().unwrap();
    let mapping = Mapping::compile(&presets::extended(&table).unwrap()).unwrap();
    assert_eq!(mapping.name(Field::Tenant).as_deref(), Some("`service.name`"));
    assert_eq!(mapping.name(Field::Time).as_deref(), Some("`started_at`"));
    let unknown = presets::extended(&"extends = \"knog\"".parse().unwrap()).unwrap_err();
    assert!(unknown.to_string().contains("kong"), "{unknown}");
}
