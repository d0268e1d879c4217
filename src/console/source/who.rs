//! Says who an address or a network is.

use maud::{Markup, html};

use super::Source;
use crate::console::facet::Facet;
use crate::console::frame::source_link;
use crate::console::visible::shown;
use crate::enrich::network_kind;
use crate::network::NetworkKind;

/// `callers` are the addresses of a network that called, as far as they are counted.
pub(super) fn who(source: Source, places: &[Facet], callers: Option<&[Facet]>) -> Markup {
    let of = |kind: &'static str| places.iter().filter(move |facet| facet.kind == kind);
    let wider = source.wider();
    html! {
        dl.fields {
            dt { "Place" } dd { (several(of("place").map(place))) }
            dt { "Network" } dd { (several(of("network").map(network))) }
            dt { "Used by" } dd { (several(of("network").filter(|it| it.number > 0).take(1).map(used_by))) }
            @if !wider.is_empty() {
                dt { "Part of" } dd { @for net in wider { (source_link(&net.to_string())) " " } }
            }
            @if let Some(callers) = callers { dt { (if source.is_many_of_ipv6() { "Networks seen" } else { "Addresses seen" }) } dd { (addresses(callers)) } }
        }
    }
}

/// The busiest; the cards below have others.
fn several(mut values: impl Iterator<Item = Markup>) -> Markup {
    let first = values.next();
    let has_others = values.next().is_some();
    html! {
        @match first { Some(first) => (first), None => span.faint { "unknown" } }
        @if has_others { span.faint { ", and others" } }
    }
}

fn place(facet: &Facet) -> Markup {
    html! { @if facet.name.is_empty() { span.faint { "unknown" } } @else { (shown(&facet.name)) } }
}

fn network(facet: &Facet) -> Markup {
    html! {
        @if facet.number == 0 { span.faint { "unknown" } }
        @else { "AS" (facet.number) " " (shown(&facet.name)) }
    }
}

fn used_by(facet: &Facet) -> Markup {
    html! { (users(network_kind(facet.number, &facet.name))) }
}

/// The kind is guessed from the number and the name of the autonomous system, as the detectors do.
const fn users(kind: NetworkKind) -> &'static str {
    match kind {
        NetworkKind::Access => "homes and offices, as far as its name tells",
        NetworkKind::Hosting => "a data centre: anybody can rent a server there",
        NetworkKind::Relay => "a private relay: its users come from a whole country or more",
        NetworkKind::Vpn => "a virtual private network: its users come from anywhere",
        NetworkKind::Satellite => "satellites and aircraft: the client may be on another continent",
        NetworkKind::Carrier => "a mobile carrier: many customers share an address",
        NetworkKind::Education => "a university or school",
    }
}

/// The facets hold at most eight.
fn addresses(callers: &[Facet]) -> String {
    let count = callers.iter().filter(|facet| facet.kind == "address").count();
    if count < 8 { count.to_string() } else { format!("{count} or more") }
}
