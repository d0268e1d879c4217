//! Writes the facts of an alert for people and analysts: the names and values of its evidence, the
//! measures taken, and SQL that lists the requests around it.
//!
//! An attacker with a stolen key chooses many values in an alert. Each caller passes `show`, which
//! makes a text safe for the place where it is shown.

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::Value;

use crate::alert::{Action, Alert, AlertType, Restraint};
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
    let action = alert.action;
    match (alert.alert_type, action) {
        (kind, _) if kind.is_request() => request_made(alert),
        (_, Action::Observe) => "Nothing. The incident is recorded and watched.".into(),
        (_, Action::Notify) => format!("You are notified. The {subject} was not touched."),
        _ if alert.dry_run => format!(
            "DRY RUN: nothing was changed and the {subject} still works. Without dry run \
             Keywatch would have proposed to {action} it."
        ),
        (AlertType::Resolved, _) => format!(
            "No more evidence came. Keywatch had proposed to {action} the {subject}: its earlier \
             messages tell whether that was requested."
        ),
        (_, Action::Throttle) => format!(
            "Keywatch advises to throttle the {subject}. It makes no request for that: the \
             {subject} was not touched."
        ),
        _ => proposed(alert),
    }
}

/// A request is made, then sent, then answered. The message about it is written before it is sent.
fn request_made(alert: &Alert) -> String {
    let action = alert.action;
    let mut text = format!(
        "Keywatch made a request to {action} the key. This message does not tell whether the request \
         was sent to the service that holds your keys, or what that service answered: `keywatch \
         alerts show` does."
    );
    if let Some(deadline) = alert.handling.deadline {
        text += &format!(" It is not sent after {}.", time(deadline));
    }
    if let Some(end) = alert.handling.suspend_until {
        text += &format!(" The suspension is meant to end at {}.", time(end));
    }
    text
}

/// A suspension or revocation for which no request was made yet.
fn proposed(alert: &Alert) -> String {
    let (action, id) = (alert.action, plain_id(alert));
    let proposal = format!("Keywatch proposes to {action} the key. No request was made yet");
    match alert.restraint.filter(|restraint| restraint.is_wait()) {
        None => format!("{proposal}: a message of its own tells when it is."),
        Some(Restraint::ApprovalPending) => format!(
            "{proposal}, because {}. `keywatch alerts approve {id}` approves it, with `--reject` it \
             forbids it.",
            Restraint::ApprovalPending.because()
        ),
        Some(restraint) => format!(
            "{proposal}, because {}. It is made when that is over and the incident is still open.",
            restraint.because()
        ),
    }
}

/// The incident's id for a command. Keywatch makes its ids from plain characters. The filter
/// guarantees that nothing else reaches a reader's shell.
pub fn plain_id(alert: &Alert) -> String {
    alert.id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect()
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
        assert!(what_was_done(&alert).contains("proposes to suspend the key. No request was made"));
        alert.action = Action::Notify;
        assert!(what_was_done(&alert).contains("was not touched"));
    }

    /// Only the message about a request says that one was made, and none that it was sent.
    #[test]
    fn proposed_and_requested_are_different_words() {
        let mut alert = Alert { dry_run: false, action: Action::Revoke, ..alert(TRAVEL) };
        let said = |alert: &Alert| what_was_done(alert);
        for restraint in [None, Some(Restraint::Budget), Some(Restraint::ApprovalPending)] {
            alert.restraint = restraint;
            assert!(said(&alert).contains("No request was made yet"), "{}", said(&alert));
        }
        assert!(said(&alert).contains(&format!("alerts approve {}`", alert.id)));
        alert.alert_type = AlertType::Resolved;
        assert!(!said(&alert).contains("request to revoke"), "{}", said(&alert));
        alert.alert_type = AlertType::RevocationRequested;
        assert!(said(&alert).starts_with("Keywatch made a request to revoke the key."));
    }

    #[test]
    fn the_query_asks_for_whom_the_alert_is_about() {
        let by_key = requests_sql(&alert(HOSTILE), "keywatch");
        assert!(by_key.contains(r"key_id = 'ak\'; DROP TABLE events; --\\'"), "{by_key}");
        let by_source = requests_sql(&alert(SOURCE), "keywatch");
        assert!(by_source.contains("client_ip = toIPv6('198.51.100.200')"), "{by_source}");
    }
}
