//! Renders the page of a key.

use maud::{Markup, html};

use super::DAYS;
use super::load::Key;
use crate::console::frame::{ago, card};
use crate::console::visible::shown;
use crate::console::{facet, incidents, plot};
use crate::event::EventTime;
use crate::text::{count, counted, share};

/// The kinds of facets, in the order of the page.
const KINDS: [(&str, &str, &str); 6] = [
    ("place", "Places", "unknown place"),
    ("network", "Networks", "unknown network"),
    ("address", "Addresses", "unknown"),
    ("client", "Clients", "no user agent"),
    ("route", "Routes", "unknown"),
    ("answer", "Answers", "unknown"),
];

pub(super) fn view(id: &str, key: &Key, now: EventTime) -> Markup {
    html! {
        p.crumbs { a href="/keys" { "Keys" } }
        header.incident-head { h1.mono { (shown(id)) } p.said { (summary(key, now)) } }
        (card("incidents", "Incidents of this key", "", listed(key, now)))
        (card("hours", "Use by hour and day", "Requests in each hour, UTC; a darker cell has more.", usage(key, now)))
        div.facets {
            @for (kind, heading, unknown) in KINDS { (card(kind, heading, "", facet::list(&key.facets, kind, unknown, now))) }
        }
    }
}

/// The key's use in a sentence.
fn summary(key: &Key, now: EventTime) -> Markup {
    let requests: u64 = key.hours.iter().map(|hour| hour.requests).sum();
    let failed: u64 = key.hours.iter().map(|hour| hour.failed).sum();
    let mut busy: Vec<u64> = key.hours.iter().map(|hour| hour.requests).collect();
    busy.sort_unstable();
    let quantile = |s: f64| busy.get((s * busy.len() as f64) as usize).copied().unwrap_or(0);
    let last = key.facets.iter().map(|facet| facet.last).max();
    html! {
        @if requests == 0 { "Not used in the last " (DAYS) " days." }
        @else {
            strong { (counted(requests as usize, "request")) } " in " (DAYS) " days, "
            (share(failed as f64 / requests as f64)) " of them refused or failed. In an hour of use it usually makes "
            strong { (count(quantile(0.1) as usize)) " to " (count(quantile(0.9) as usize)) } " requests."
            @if let Some(last) = last { " Last used " (ago(EventTime::from_micros(last), now)) "." }
        }
    }
}

fn listed(key: &Key, now: EventTime) -> Markup {
    html! {
        @if key.incidents.is_empty() { p { "None." } }
        @else { (incidents::table(&key.incidents, false, now)) }
    }
}

fn usage(key: &Key, now: EventTime) -> Markup {
    let hours: Vec<_> = key.hours.iter().map(|hour| (hour.start, hour.requests)).collect();
    plot::heat_map(&hours, now, DAYS)
}
