//! Writes the facts of an alert for people and analysts: the names and values of its evidence, the
//! measures taken, and SQL that lists the requests around it.
//!
//! An attacker with a stolen key chooses many values in an alert. Each caller passes `show`, which
//! makes a text safe for the place where it is shown.

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::Value;

use crate::alert::{Action, Alert};
use crate::event::EventTime;
use crate::text::precise_number;

/// `distance_km` becomes `Distance km`, `from_ip` becomes `From IP`.
pub fn label(field: &str, show: &dyn Fn(&str) -> String) -> String {
    let words = show(&field.replace('_', " "));
    let words = words.split(' ').map(spelled).collect::<Vec<_>>().join(" ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

fn spelled(word: &str) -> &str {
    match word {
        "as" => "AS",
        "asn" => "ASN",
        "asns" => "ASNs",
        "id" => "ID",
        "ip" => "IP",
        "ips" => "IPs",
        "kmh" => "km/h",
        other => other,
    }
}

/// A JSON value as a person would write it. The name of the field decides whether a number is a
/// count or an identifier.
pub fn value(field: &str, value: &Value, show: &dyn Fn(&str) -> String) -> String {
    match value {
        Value::Null => "unknown".into(),
        Value::Bool(flag) => if *flag { "yes" } else { "no" }.into(),
        Value::Number(n) if is_name(field) => n.to_string(),
        Value::Number(n) => n.as_f64().map_or_else(|| n.to_string(), precise_number),
        Value::String(text) => string(text, show),
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Array(items) => {
            show(&items.iter().map(|v| self::value(field, v, show)).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let pairs = fields
                .iter()
                .map(|(name, v)| format!("{}: {}", label(name, show), self::value(name, v, show)));
            show(&pairs.collect::<Vec<_>>().join("; "))
        }
    }
}

fn is_name(field: &str) -> bool {
    ["asn", "port", "status", "partition", "offset"].iter().any(|name| field.contains(name))
}

fn string(text: &str, show: &dyn Fn(&str) -> String) -> String {
    match text.parse::<Timestamp>() {
        Ok(timestamp) => time(EventTime::from_micros(timestamp.as_microsecond())),
        Err(_) => show(text),
    }
}

/// UTC, to the second.
pub fn time(time: EventTime) -> String {
    match Timestamp::from_microsecond(time.as_micros()) {
        Ok(timestamp) => timestamp.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => time.to_string(),
    }
}

/// The measures that Keywatch took or asked for.
pub fn what_was_done(alert: &Alert) -> String {
    let subject = if alert.key_id.is_some() { "key" } else { "source" };
    let (ask, done) = match alert.action {
        Action::Observe => return "Nothing. The incident is recorded and watched.".into(),
        Action::Notify => return format!("You are notified. The {subject} was not touched."),
        Action::Throttle => ("throttle", "throttled"),
        Action::Suspend => ("suspend", "suspended"),
        Action::Revoke => ("revoke", "revoked"),
    };
    if alert.dry_run {
        format!(
            "DRY RUN: nothing was changed and the {subject} still works. Without dry run \
             Keywatch would have asked to {ask} it."
        )
    } else {
        format!(
            "Keywatch asked for the {subject} to be {done}. The service that holds your keys \
             carries this out: check that it has."
        )
    }
}

/// SQL that lists the requests around the incident, with half an hour before and after.
/// `database` is the ClickHouse database that holds the requests.
pub fn requests_sql(alert: &Alert, database: &str) -> String {
    const MARGIN_SECONDS: f64 = 1_800.0;
    let who = match (&alert.key_id, alert.source_ip) {
        (Some(key), _) => format!("key_id = {}\n  AND ", sql_string(key)),
        (None, Some(ip)) => format!("client_ip = {}\n  AND ", sql_address(ip)),
        (None, None) => String::new(),
    };
    let from = sql_time(alert.first_event_time.plus_seconds(-MARGIN_SECONDS));
    let to = sql_time(alert.last_event_time.plus_seconds(MARGIN_SECONDS));
    format!(
        "SELECT time, client_address, country, city, as_name, method, path, status, user_agent\n\
         FROM {database}.access_events\n\
         WHERE {who}time BETWEEN {from} AND {to}\n\
         ORDER BY time\n\
         LIMIT 1000"
    )
}

fn sql_time(at: EventTime) -> String {
    format!("'{}'", time(at).trim_end_matches(" UTC"))
}

/// A ClickHouse string literal. All but printable ASCII is written as `\xHH`, so that
/// a key id can neither end the literal nor hide in it.
pub fn sql_string(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    });
    format!("'{}'", escaped.collect::<String>())
}

/// SQL for an address as the store keeps it: always as IPv6.
fn sql_address(ip: IpAddr) -> String {
    format!("toIPv6('{ip}')")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    const TRAVEL: &str = include_str!("../tests/fixtures/alerts/impossible_travel.json");
    const HOSTILE: &str = include_str!("../tests/fixtures/alerts/hostile.json");
    const SOURCE: &str = include_str!("../tests/fixtures/alerts/source_resolved.json");

    fn alert(text: &str) -> Alert {
        serde_json::from_str(text).unwrap()
    }

    fn said(field: &str, v: &Value) -> String {
        value(field, v, &|text| text.to_owned())
    }

    #[test]
    fn values_read_easily() {
        assert_eq!(said("known_asns", &json!([16509, 14618])), "16509, 14618");
        assert_eq!(said("count", &json!(16509)), "16,509");
        assert_eq!(
            said("from_time", &json!("2026-03-14T02:47:11.204000Z")),
            "2026-03-14 02:47:11 UTC"
        );
        assert_eq!(said("place", &json!({ "city": "Tokyo", "km": 3 })), "City: Tokyo; Km: 3");
        assert_eq!(said("known", &json!([])), "none");
    }

    #[test]
    fn a_key_id_cannot_leave_its_sql_literal() {
        assert_eq!(sql_string("a'; DROP TABLE t; --\\\n"), r"'a\'; DROP TABLE t; --\\\x0a'");
    }

    #[test]
    fn a_dry_run_is_said_openly() {
        let mut alert = alert(TRAVEL);
        assert!(what_was_done(&alert).starts_with("DRY RUN: nothing was changed"));
        alert.dry_run = false;
        assert!(what_was_done(&alert).contains("asked for the key to be suspended"));
        alert.action = Action::Notify;
        assert!(what_was_done(&alert).contains("was not touched"));
    }

    #[test]
    fn the_query_asks_for_whom_the_alert_is_about() {
        let by_key = requests_sql(&alert(HOSTILE), "keywatch");
        assert!(by_key.contains(r"key_id = 'ak\'; DROP TABLE events; --\\'"), "{by_key}");
        let by_source = requests_sql(&alert(SOURCE), "keywatch");
        assert!(by_source.contains("client_ip = toIPv6('198.51.100.200')"), "{by_source}");
    }
}
