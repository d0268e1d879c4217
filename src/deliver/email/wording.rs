//! Values from the log, made fit for a reader. Whoever holds a stolen key chooses
//! much of what stands in an alert, so nothing of it may pass for our own words,
//! reach a header or become a link.

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::Value;

use crate::event::EventTime;

/// One line of at most `limit` characters: no control characters, none that turn the
/// writing direction, no link that a mail program would make clickable.
pub(super) fn one_line(text: &str, limit: usize) -> String {
    let visible: String = text.chars().map(|c| if is_deceptive(c) { ' ' } else { c }).collect();
    let words = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    let unlinked = words.replace("://", "[:]//");
    match unlinked.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &unlinked[..end]),
        None => unlinked,
    }
}

/// Control characters, and the invisible ones that reorder or hide text (Unicode TR 36).
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `distance_km` becomes `Distance km`, `from_ip` becomes `From IP`.
pub(super) fn label(field: &str) -> String {
    let words = one_line(&field.replace('_', " "), 40);
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

/// A JSON value as a person would write it. `field` tells numbers that count
/// something from numbers that name something.
pub(super) fn value(field: &str, value: &Value) -> String {
    match value {
        Value::Null => "unknown".into(),
        Value::Bool(flag) => if *flag { "yes" } else { "no" }.into(),
        Value::Number(n) if is_name(field) => n.to_string(),
        Value::Number(n) => n.as_f64().map_or_else(|| n.to_string(), number),
        Value::String(text) => string(text),
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Array(items) => one_line(
            &items.iter().map(|v| self::value(field, v)).collect::<Vec<_>>().join(", "),
            300,
        ),
        Value::Object(fields) => {
            let pairs =
                fields.iter().map(|(name, v)| format!("{}: {}", label(name), self::value(name, v)));
            one_line(&pairs.collect::<Vec<_>>().join("; "), 300)
        }
    }
}

fn is_name(field: &str) -> bool {
    ["asn", "port", "status", "partition", "offset"].iter().any(|name| field.contains(name))
}

fn string(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(timestamp) => time(EventTime::from_micros(timestamp.as_microsecond())),
        Err(_) => one_line(text, 300),
    }
}

/// Thousands are separated; small numbers keep three significant digits.
pub(super) fn number(n: f64) -> String {
    let magnitude = n.abs();
    if n == 0.0 || (magnitude >= 100.0 || n.fract() == 0.0) && magnitude < 1e15 {
        return separated(&format!("{n:.0}"));
    }
    if (0.001..1e15).contains(&magnitude) {
        let decimals = if magnitude >= 10.0 {
            1
        } else if magnitude >= 1.0 {
            2
        } else {
            4
        };
        let fixed = format!("{n:.decimals$}");
        return fixed.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    format!("{n:.1e}")
}

fn separated(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    format!("{sign}{}", groups.join(","))
}

/// UTC, to the second.
pub(super) fn time(time: EventTime) -> String {
    match Timestamp::from_microsecond(time.as_micros()) {
        Ok(timestamp) => timestamp.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => time.to_string(),
    }
}

/// A ClickHouse string literal. All but printable ASCII is written as `\xHH`, so that
/// a key id can neither end the literal nor hide in it.
pub(super) fn sql_string(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    });
    format!("'{}'", escaped.collect::<String>())
}

/// Works on the stored address, which is always written as IPv6.
pub(super) fn sql_address(ip: IpAddr) -> String {
    format!("toIPv6('{ip}')")
}

/// `a***@example.com`: enough to tell who, not enough to write to them.
pub(super) fn mask_address(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => {
            format!("{}***@{domain}", local.chars().next().map(String::from).unwrap_or_default())
        }
        None => "***".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_carry_no_control_characters_no_links_and_no_more_than_the_limit() {
        assert_eq!(one_line("a\r\nBcc: x\t\0b", 100), "a Bcc: x b");
        assert_eq!(one_line("exe.\u{202e}gnp", 100), "exe. gnp");
        assert_eq!(one_line("see https://evil.example", 100), "see https[:]//evil.example");
        assert_eq!(one_line("äöüß", 2), "äö…");
    }

    #[test]
    fn numbers_read_easily() {
        for (n, text) in [
            (135_754.0, "135,754"),
            (8911.3, "8,911"),
            (0.2, "0.2"),
            (310.5, "310"),
            (12.345, "12.3"),
            (-1234.0, "-1,234"),
            (3.8e-8, "3.8e-8"),
            (1e18, "1.0e18"),
        ] {
            assert_eq!(number(n), text);
        }
    }

    #[test]
    fn values_read_easily() {
        assert_eq!(value("known_asns", &json!([16509, 14618])), "16509, 14618");
        assert_eq!(value("count", &json!(16509)), "16,509");
        assert_eq!(
            value("from_time", &json!("2026-03-14T02:47:11.204000Z")),
            "2026-03-14 02:47:11 UTC"
        );
        assert_eq!(value("place", &json!({ "city": "Tokyo", "km": 3 })), "City: Tokyo; Km: 3");
        assert_eq!(value("known", &json!([])), "none");
    }

    #[test]
    fn a_key_id_cannot_leave_its_sql_literal() {
        assert_eq!(sql_string("a'; DROP TABLE t; --\\\n"), r"'a\'; DROP TABLE t; --\\\x0a'");
    }

    #[test]
    fn addresses_are_masked() {
        assert_eq!(mask_address("alice@example.com"), "a***@example.com");
        assert_eq!(mask_address("nonsense"), "***");
    }
}
