//! Lists the keys that a source used, and those that it only tried.

use maud::{Markup, html};

use super::load::{NamedKey, Traffic};
use crate::console::frame::{ago, key_link};
use crate::console::visible::shown;
use crate::event::EventTime;
use crate::text::{count, counted, share};

pub(super) fn used(traffic: &Traffic, now: EventTime) -> Markup {
    let keys = of(traffic, true);
    html! {
        @if keys.is_empty() { p { "None: no request from here was accepted." } }
        @else { (table(&keys, true, now)) (more(&keys)) }
    }
}

pub(super) fn tried(traffic: &Traffic, now: EventTime) -> Markup {
    let keys = of(traffic, false);
    html! {
        @if keys.is_empty() { p { "None." } }
        @else { (table(&keys, false, now)) (more(&keys)) }
    }
}

fn of(traffic: &Traffic, is_used: bool) -> Vec<&NamedKey> {
    traffic.keys.iter().filter(|key| (key.is_used == 1) == is_used).collect()
}

/// Keys of one kind, also those that are not listed.
pub(super) fn total(traffic: &Traffic, is_used: bool) -> u64 {
    of(traffic, is_used).first().map_or(0, |key| key.keys)
}

fn table(keys: &[&NamedKey], is_used: bool, now: EventTime) -> Markup {
    let has_tenants = keys.iter().any(|key| !key.tenant.is_empty());
    html! {
        div.scroll { table.plain {
            thead { tr {
                th { "Key" } @if has_tenants { th { "Tenant" } }
                th.number { "Requests" } @if is_used { th.number { "Accepted" } }
                th.number { "Refused" } @if is_used { th.number { "Of its use" } }
                th { "First" } th { "Last" }
            } }
            tbody { @for key in keys { (row(key, has_tenants, is_used, now)) } }
        } }
    }
}

fn row(key: &NamedKey, has_tenants: bool, is_used: bool, now: EventTime) -> Markup {
    let at = |micros: i64| ago(EventTime::from_micros(micros), now);
    html! {
        tr {
            td { (key_link(&key.key)) }
            @if has_tenants { td { (shown(&key.tenant)) } }
            td.number { (count(key.requests as usize)) }
            @if is_used { td.number { (count(key.accepted as usize)) } }
            td.number { (count(key.refused as usize)) }
            @if is_used { td.number { (of_its_use(key)) } }
            td { (at(key.first)) }
            td { (at(key.last)) }
        }
    }
}

/// The share of the key's accepted requests that came from here: of a stranger it is small.
fn of_its_use(key: &NamedKey) -> Markup {
    let share = key.everywhere.map(|all| share(key.accepted as f64 / all.max(1) as f64));
    html! { @match share { Some(share) => (share), None => span.faint { "unknown" } } }
}

fn more(keys: &[&NamedKey]) -> Markup {
    let all = keys.first().map_or(0, |key| key.keys as usize);
    let hidden = all.saturating_sub(keys.len());
    html! {
        @if hidden > 0 { p.note { (counted(hidden, "more key")) " with fewer requests: " code { "keywatch hunt" } " finds the requests of all." } }
    }
}
