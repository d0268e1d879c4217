//! Tests the walk through forwarded headers, alone and in records of gateways.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::config::{DecodeConfig, Secret};
use crate::decode::{DecodedBatch, Decoder};
use crate::event::{EventTime, PartitionId};
use crate::record::RawBatch;

fn proxies() -> Proxies {
    Proxies::new(&["10.0.0.0/8".into(), "2001:db8:1::/48".into(), "203.0.113.9".into()]).unwrap()
}

fn client(header: &str) -> Option<String> {
    proxies().client(header).map(|address| address.to_string())
}

#[test]
fn the_first_address_from_the_right_that_is_not_a_proxy_counts() {
    for (header, expected) in [
        ("198.51.100.7", "198.51.100.7"),
        ("198.51.100.7, 10.1.1.1", "198.51.100.7"),
        ("198.51.100.7,10.1.1.1 , 203.0.113.9", "198.51.100.7"),
        ("192.0.2.1, 198.51.100.7, 10.1.1.1", "198.51.100.7"),
        ("198.51.100.7:4711, [2001:db8:1::5]:443", "198.51.100.7"),
        ("2001:db8:2::7, 2001:db8:1::5", "2001:db8:2::7"),
        ("::ffff:198.51.100.7, ::ffff:10.0.0.1", "198.51.100.7"),
        (", 198.51.100.7", "198.51.100.7"),
        ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
        ("unknown, 10.1.1.1", "10.1.1.1"),
        ("<script>, 10.1.1.1", "10.1.1.1"),
    ] {
        assert_eq!(client(header).as_deref(), Some(expected), "{header}");
    }
}

#[test]
fn forwarded_is_read_with_quotes_ports_and_other_parameters() {
    for (header, expected) in [
        ("for=198.51.100.7", "198.51.100.7"),
        ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ("proto=https;host=\"a,b;for=192.0.2.9\";for=198.51.100.7", "198.51.100.7"),
        ("for=198.51.100.7;host=\"a\\\",for=192.0.2.9\"", "198.51.100.7"),
        ("for=192.0.2.43, for=\"[2001:db8:1::17]:_http\"", "192.0.2.43"),
        ("for=_hidden, for=10.1.1.1", "10.1.1.1"),
        ("for=\"198.51.100.7, for=10.1.1.1", "10.1.1.1"),
    ] {
        assert_eq!(client(header).as_deref(), Some(expected), "{header}");
    }
}

#[test]
fn what_the_last_proxy_wrote_must_be_an_address() {
    let long = format!("for=198.51.100.7;host={}", "x".repeat(MAX_ELEMENT_BYTES));
    for header in
        ["", ",,", "-", "unknown", "for=unknown", "198.51.100.7, x", "host=a", "\"", &long]
    {
        assert_eq!(client(header), None, "{header}");
    }
    assert_eq!(client("for=198.51.100.7;for=192.0.2.1"), None, "a parameter occurs once");
}

#[test]
fn a_long_header_is_read_from_its_end_only() {
    let chain = "10.0.0.1, ".repeat(MAX_HOPS);
    assert_eq!(client(&format!("192.0.2.1, {chain}10.0.0.2")).as_deref(), Some("10.0.0.1"));
    let flood = format!("{}198.51.100.7", "\\\",".repeat(200_000));
    assert_eq!(client(&flood).as_deref(), Some("198.51.100.7"));
}

#[test]
fn networks_that_cannot_be_meant_are_refused() {
    for network in ["10.0.0.0/33", "proxy.example.com", ""] {
        let error = Proxies::new(&[network.into()]).unwrap_err();
        assert_eq!(error, DecodeError::BadProxy { network: network.into() });
        assert_eq!(error.key(), "decode.trusted_proxies");
    }
    for network in ["0.0.0.0/0", "::/0"] {
        let error = Proxies::new(&[network.into()]).unwrap_err();
        assert!(error.to_string().contains("every address"), "{error}");
    }
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(|bytes| IpAddr::from(bytes).to_canonical()),
    ]
}

/// An element as a proxy writes it.
fn written(address: IpAddr, form: usize) -> String {
    match (address, form) {
        (_, 0) => address.to_string(),
        (IpAddr::V4(address), 1) => format!("{address}:8080"),
        (IpAddr::V6(address), 1) => format!("[{address}]:8080"),
        (IpAddr::V4(address), _) => format!("for={address};host=\"a,b\";proto=https"),
        (IpAddr::V6(address), _) => format!("proto=https;for=\"[{address}]:443\""),
    }
}

proptest! {
    /// An outsider controls all that stands left of the address that the first proxy saw.
    #[test]
    fn an_outsider_never_changes_the_address(
        prefix in prop_oneof![
            ".{0,60}",
            "[\", ;=\\\\\\[\\]:.0-9a-f]{0,600}",
            "((for=|\")?10\\.0\\.0\\.[0-9](:80|\")?(,|, |;)){0,40}",
        ],
        outsider in address(),
        hops in prop::collection::vec(0u8..255, 0..5),
        form in 0usize..3,
    ) {
        let proxies = proxies();
        prop_assume!(!proxies.trusts(outsider));
        let hops = hops.iter().map(|last| written(IpAddr::from([10, 0, 0, *last]), form));
        let elements: Vec<String> =
            std::iter::once(written(outsider, form)).chain(hops).collect();
        let honest = elements.join(", ");
        prop_assert_eq!(proxies.client(&honest), Some(outsider));
        prop_assert_eq!(proxies.client(&format!("{prefix},{honest}")), Some(outsider));
        prop_assert_eq!(proxies.client(&format!("{prefix}, {honest}")), Some(outsider));
    }

    #[test]
    fn no_header_makes_it_panic(header in ".{0,400}") {
        proxies().client(&header);
    }
}

fn decoder(format: &str, proxies: &[&str], mapping: Option<&str>) -> Decoder {
    Decoder::new(&DecodeConfig {
        format: format.into(),
        pepper: Secret::new("a pepper for tests only"),
        trusted_proxies: proxies.iter().map(ToString::to_string).collect(),
        mapping: mapping.map(|text| text.parse().unwrap()),
        ..DecodeConfig::default()
    })
    .unwrap()
}

const TRUSTED: [&str; 1] = ["10.0.0.0/8"];
const NOW: EventTime = EventTime::from_seconds(1_800_000_000);

fn decode<'a>(decoder: &Decoder, records: impl IntoIterator<Item = &'a [u8]>) -> DecodedBatch {
    let mut batch = RawBatch::new(PartitionId { topic: "log".into(), partition: 0 });
    (1..).zip(records).for_each(|(offset, record)| batch.push(offset, record));
    decoder.decode(&batch, NOW)
}

/// The client of a record, and the number of values that were left out.
fn found(decoder: &Decoder, record: &str) -> (String, u64) {
    let decoded = decode(decoder, [record.as_bytes()]);
    assert_eq!(decoded.events.len(), 1, "{record}: {:?}", decoded.rejections);
    (decoded.events[0].1.client_ip.to_string(), decoded.fields_left_out.total())
}

fn own(peer: &str, forwarded: &str) -> String {
    format!(
        r#"{{"time": 1700000000, "key_id": "k", "client_ip": "{peer}", "method": "GET",
            "path": "/", "status": 200, "forwarded_for": {forwarded}}}"#
    )
}

#[test]
fn a_header_counts_only_if_a_trusted_proxy_sent_the_request() {
    let decoder = decoder("keywatch", &TRUSTED, None);
    for (peer, forwarded, client, left_out) in [
        ("10.0.0.1", r#""192.0.2.1, 198.51.100.7""#, "198.51.100.7", 0),
        ("10.0.0.1:443", r#"["192.0.2.1", "198.51.100.7, 10.0.0.2"]"#, "198.51.100.7", 0),
        ("203.0.113.5", r#""192.0.2.1""#, "203.0.113.5", 0),
        ("192.168.1.1", r#""192.0.2.1""#, "192.168.1.1", 0),
        ("10.0.0.1", "null", "10.0.0.1", 0),
        ("10.0.0.1", "[]", "10.0.0.1", 0),
        ("10.0.0.1", r#""unknown""#, "10.0.0.1", 1),
        ("10.0.0.1", r#"["198.51.100.7", 5]"#, "10.0.0.1", 1),
        ("10.0.0.1", r#"{"for": "192.0.2.1"}"#, "10.0.0.1", 1),
    ] {
        let expected = (client.to_owned(), left_out);
        assert_eq!(found(&decoder, &own(peer, forwarded)), expected, "{peer} {forwarded}");
    }
}

#[test]
fn without_configuration_the_header_is_not_read() {
    let decoder = decoder("keywatch", &[], None);
    for forwarded in [r#""198.51.100.7""#, r#""x""#, "[{}]"] {
        assert_eq!(found(&decoder, &own("10.0.0.1", forwarded)), ("10.0.0.1".to_owned(), 0));
    }
}

const KONG: &str = r#"{"started_at": 1700000000000, "authenticated_entity": {"id": "k"},
    "client_ip": "10.0.0.1", "response": {"status": 200},
    "request": {"method": "GET", "uri": "/", "headers": HEADERS}}"#;

#[test]
fn a_mapping_names_the_header_that_the_proxies_set() {
    let spoofed = "192.0.2.1";
    for (path, header) in [
        (r#"request.headers."x-forwarded-for""#, r#"["192.0.2.1", "198.51.100.7, 10.0.0.2"]"#),
        ("request.headers.forwarded", r#""for=192.0.2.1, for=\"198.51.100.7:80\";proto=https""#),
        (r#"request.headers."x-real-ip""#, r#""198.51.100.7""#),
        (r#"request.headers."cf-connecting-ip""#, r#""198.51.100.7""#),
    ] {
        let mapping = format!("extends = \"kong\"\nforwarded_for = '{path}'");
        let decoder = decoder("custom", &TRUSTED, Some(&mapping));
        let name = path.rsplit('.').next().unwrap().trim_matches('"');
        // An outsider adds the headers that the proxies do not set.
        let others = ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip"];
        let others = others.iter().filter(|other| **other != name);
        let mut headers: Vec<String> =
            others.map(|other| format!(r#""{other}": "{spoofed}""#)).collect();
        headers.push(format!(r#""{name}": {header}"#));
        let record = KONG.replace("HEADERS", &format!("{{{}}}", headers.join(", ")));
        assert_eq!(found(&decoder, &record), ("198.51.100.7".to_owned(), 0), "{path}");
    }
}

/// Presets find the header in the logs of the fixtures, and nothing else about an event changes.
#[test]
fn presets_find_the_header_of_their_gateway() {
    let mut changed = Vec::new();
    let everybody = ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"];
    for (format, log) in [
        ("kong", include_str!("../../../tests/fixtures/logs/kong.jsonl")),
        ("envoy", include_str!("../../../tests/fixtures/logs/envoy.jsonl")),
        ("nginx-json", include_str!("../../../tests/fixtures/logs/nginx-json.jsonl")),
        ("traefik", include_str!("../../../tests/fixtures/logs/traefik.jsonl")),
        ("ocsf", include_str!("../../../tests/fixtures/logs/ocsf.jsonl")),
    ] {
        let lines = || log.lines().map(str::as_bytes);
        let before = decode(&decoder(format, &[], None), lines());
        let after = decode(&decoder(format, &everybody, None), lines());
        assert_eq!(before.events.len(), after.events.len());
        for ((_, before), (_, mut after)) in before.events.into_iter().zip(after.events) {
            let (was, is) = (before.client_ip, after.client_ip);
            if was != is {
                changed.push(format!("{format}: {was} -> {is}"));
            }
            after.client_ip = was;
            assert_eq!(before, after);
        }
    }
    insta::assert_snapshot!(changed.join("\n"));
}

#[test]
fn a_repartitioned_event_has_the_client_and_no_header() {
    let decoder = decoder("keywatch", &TRUSTED, None);
    let record = own("10.0.0.1", r#""192.0.2.1, 198.51.100.7""#);
    let [record] = decoder.rekey("0-0", record.as_bytes()).try_into().unwrap();
    let payload = String::from_utf8(record.payload).unwrap();
    assert!(payload.contains(r#""client_ip":"198.51.100.7""#), "{payload}");
    assert!(!payload.contains("forwarded"), "{payload}");
    assert_eq!(found(&decoder.of_repartitioned(), &payload), ("198.51.100.7".to_owned(), 0));
}

#[test]
fn the_lines_of_nginx_have_the_header_last() {
    let line = |peer: &str, last: &str| {
        format!(
            r#"{peer} - alice [27/Nov/2026:10:00:00 +0000] "GET /v1/x HTTP/1.1" 200 12 "-" "curl/8" "{last}""#
        )
    };
    let decoder = decoder("combined", &TRUSTED, None);
    let client = |peer, last| found(&decoder, &line(peer, last)).0;
    assert_eq!(client("10.0.0.1", "192.0.2.1, 198.51.100.7"), "198.51.100.7");
    assert_eq!(client("10.0.0.1", "-"), "10.0.0.1");
    assert_eq!(client("203.0.113.5", "192.0.2.1"), "203.0.113.5");
}
