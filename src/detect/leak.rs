//! Reports that a key has leaked, and that it was used since: `lifecycle.leaked_key`.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::Signal;
use crate::alert::DetectorId;
use crate::event::{AccessEvent, EnrichedEvent, EventTime};
use crate::registry::Leak;

/// Probability that a report is wrong: its sender has shown the key itself, or is an operator.
const REPORTED: f64 = 1e-9;
/// The same when the key was used after it leaked. This is far enough from the report to be news.
pub const USED: f64 = 1e-11;

/// The first request with a key after it leaked.
#[derive(Clone, Debug)]
pub struct FirstUse {
    pub time: EventTime,
    pub client_ip: IpAddr,
    pub country: String,
    pub status: u16,
}

/// A use of a leaked key.
#[derive(Clone, Copy, Debug)]
pub struct LeakedUse<'a>(&'a Leak);

/// Judges a proven use.
pub fn find_use<'a>(leak: &'a Leak, event: &AccessEvent) -> Option<LeakedUse<'a>> {
    (event.time >= leak.since).then_some(LeakedUse(leak))
}

impl LeakedUse<'_> {
    pub fn into_signal(self, enriched: &EnrichedEvent) -> Signal {
        let event = &enriched.event;
        let first = FirstUse {
            time: event.time,
            client_ip: event.client_ip,
            country: enriched.origin.country.to_string(),
            status: event.status,
        };
        report_signal(self.0, Some(&first))
    }
}

/// The report itself, with the first use since, if there was one.
pub fn report_signal(leak: &Leak, first_use: Option<&FirstUse>) -> Signal {
    let Leak { since, source, url, .. } = leak;
    let place = match (source.as_str(), url.as_str()) {
        ("", "") => String::new(),
        ("", url) => format!(" at {url}"),
        (source, "") => format!(" by {source}"),
        (source, url) => format!(" by {source} at {url}"),
    };
    let used = match first_use {
        None => " It was not used since.".to_owned(),
        Some(it) => format!(" It was used from {} at {} since.", it.client_ip, it.time),
    };
    Signal {
        detector: DetectorId::LeakedKey,
        p_value: if first_use.is_some() { USED } else { REPORTED },
        observed: None,
        expected: None,
        headline: match first_use {
            None => "the key was reported leaked".into(),
            Some(_) => "a key that was reported leaked is used".into(),
        },
        sentence: format!("The key was found{place}, and is public since {since} or before.{used}"),
        fields: json!({
            "leaked_since": since,
            "found_by": named(source),
            "found_at": named(url),
            "first_use_since": first_use.map(|it| json!({
                "time": it.time, "ip": it.client_ip, "country": named(&it.country),
                "status": it.status,
            })),
        }),
        ceiling: None,
    }
}

fn named(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}
