//! Renders the page of an address or a network.

use maud::{Markup, html};

use super::load::{Details, Incidents, Known, SPANS, Traffic};
use super::{Source, keys, who};
use crate::console::facet::{self, Facet};
use crate::console::frame::{ago, card};
use crate::console::incidents::{self, Incident};
use crate::console::plot;
use crate::event::{EventTime, HOUR_SECONDS};
use crate::text::{count, counted, duration_figure};

/// A kind of facets, its heading, and the words for an empty value.
type Kind = (&'static str, &'static str, &'static str);

/// Of the raw rows.
const DETAILS: [Kind; 3] = [
    ("client", "Clients", "no user agent"),
    ("route", "Routes", "unknown"),
    ("answer", "Answers", "unknown"),
];
const ADDRESSES: Kind = ("address", "Addresses", "unknown");
const PLACES: [Kind; 2] =
    [("place", "Places", "unknown place"), ("network", "Networks", "unknown network")];

pub(super) fn view(source: Source, known: &Known, now: EventTime) -> Markup {
    let span = known.traffic.as_ref().map_or(SPANS[0], |traffic| traffic.hours);
    html! {
        p.crumbs { a href="/incidents?state=open" { "Incidents" } " / " @if source.is_address() { "Address" } @else { "Network" } }
        header.incident-head { h1.mono { (source) } p.said { (summary(known.traffic.as_ref(), now)) } }
        div.columns {
            div {
                (appearances(known.incidents.as_ref(), now))
                @if let Some(traffic) = &known.traffic { (named(traffic, now)) }
            }
            div {
                @if let Some(traffic) = &known.traffic { (card("who", "Who it is", "", who::who(source, &traffic.places, addresses(source, known)))) }
                (card("further", "Look further", "", further(source, span, is_accused(known))))
            }
        }
        @if let Some(traffic) = known.traffic.as_ref().filter(|traffic| traffic.hours == SPANS[0]) {
            (card("hours", "Requests by hour and day", "UTC; a darker cell has more.", usage(traffic, now)))
        }
        (facets(source, known, now))
    }
}

fn named(traffic: &Traffic, now: EventTime) -> Markup {
    html! {
        (card("used", "Keys that it used", "At least one request was accepted. The share tells whether the key is at home here.", keys::used(traffic, now)))
        (card("tried", "Keys that it only tried", "No request was accepted. Key ids are public, so that this says nothing about the keys.", keys::tried(traffic, now)))
    }
}

/// The addresses that called: of a network in a /64 the raw rows have them, of others the places.
fn addresses(source: Source, known: &Known) -> Option<&[Facet]> {
    let details = known.details.as_ref().map(|details| details.facets.as_slice());
    let places = known.traffic.as_ref().map(|traffic| traffic.places.as_slice());
    if source.is_address() {
        None
    } else if source.is_one_counted() {
        details
    } else {
        places
    }
}

fn facets(source: Source, known: &Known, now: EventTime) -> Markup {
    let list = |facets: &[Facet], (kind, heading, unknown): Kind| {
        card(kind, heading, "", facet::list(facets, kind, unknown, now))
    };
    html! {
        @match &known.details {
            None => p.note { "Its clients, routes and answers are not counted: more rows would have to be read than a page may." },
            Some(Details { hours, .. }) if *hours != SPANS[0] => p.note { "Clients, routes and answers are those of the last " (span(*hours)) ": for more than that, more rows would have to be read than a page may." },
            Some(_) => {}
        }
        div.facets {
            @if let Some(details) = &known.details { @for kind in DETAILS { (list(&details.facets, kind)) } }
            @if let Some(facets) = addresses(source, known) { (list(facets, ADDRESSES)) }
            @if let Some(traffic) = &known.traffic { @for kind in PLACES { (list(&traffic.places, kind)) } }
        }
    }
}

/// The source's requests in a sentence.
fn summary(traffic: Option<&Traffic>, now: EventTime) -> Markup {
    let Some(traffic) = traffic else {
        return html! { "Its requests are not counted: more rows would have to be read than a page may." };
    };
    let sum = |figure: fn(&super::load::Hour) -> u64| traffic.series.iter().map(figure).sum();
    let (all, accepted, refused): (u64, u64, u64) =
        (sum(|hour| hour.requests), sum(|hour| hour.accepted), sum(|hour| hour.refused));
    let (used, tried) = (keys::total(traffic, true), keys::total(traffic, false));
    let ends = traffic.series.first().zip(traffic.series.last());
    html! {
        @if all == 0 { "No request from here in the last " (span(traffic.hours)) "." }
        @else {
            strong { (counted(all as usize, "request")) } " in the last " (span(traffic.hours)) ": "
            (count(accepted as usize)) " accepted, " (count(refused as usize)) " refused (401 or 403). It used "
            strong { (counted(used as usize, "key")) }
            @if tried > 0 { ", and only tried " strong { (counted(tried as usize, if used == 0 { "key" } else { "other" })) } }
            "."
            @if let Some((first, last)) = ends {
                " First seen " (ago(EventTime::from_micros(first.first), now)) ", last " (ago(EventTime::from_micros(last.last), now)) "."
            }
        }
        @if let Some(since) = traffic.since {
            " Requests that were stored before the upgrade " (ago(EventTime::from_micros(since), now)) " are not counted."
        }
        @if traffic.hours != SPANS[0] { " For more than that, more rows would have to be read than a page may." }
    }
}

fn span(hours: u32) -> String {
    duration_figure(f64::from(hours) * HOUR_SECONDS)
}

fn usage(traffic: &Traffic, now: EventTime) -> Markup {
    let hours: Vec<_> = traffic.series.iter().map(|hour| (hour.start, hour.requests)).collect();
    plot::heat_map(&hours, now, i64::from(SPANS[0] / 24))
}

fn is_accused(known: &Known) -> bool {
    known.incidents.as_ref().is_some_and(|incidents| !incidents.about.is_empty())
}

/// The incidents of the last 30 days in which it appears.
fn appearances(known: Option<&Incidents>, now: EventTime) -> Markup {
    let explanation = "The evidence names it: as the address of the request that stood out, or of the one before.";
    let Some(known) = known else {
        return card(
            "about",
            "Incidents",
            "",
            html! { p { "Those of the last 30 days are too many to search in the time of a page." } },
        );
    };
    html! {
        @if known.are_none() {
            (card("about", "Incidents", "", html! { p { "In the last 30 days none is about it, and none of a key names it in its evidence." } }))
        }
        @if !known.about.is_empty() { (card("about", "Incidents about it", "", about(&known.about, now))) }
        @if !known.of_keys.is_empty() {
            (card("keys-of", "Incidents of keys in which it appears", explanation, latest(&known.of_keys, true, now)))
        }
    }
}

/// The query finds one more than are shown.
const SHOWN: usize = 20;

fn latest(found: &[Incident], is_of_keys: bool, now: EventTime) -> Markup {
    html! {
        (incidents::table(&found[..found.len().min(SHOWN)], is_of_keys, now))
        @if found.len() > SHOWN { p.note { "There are more; these are the latest." } }
    }
}

fn about(known: &[Incident], now: EventTime) -> Markup {
    html! {
        (latest(known, false, now))
        p.note { "Keywatch advises what to do about a source, and asks nobody to do it: its requests are about keys alone." }
    }
}

fn further(source: Source, hours: u32, is_accused: bool) -> Markup {
    html! {
        p { "Its requests, one a line:" }
        div.copy { pre #hunt tabindex="0" { code { "keywatch hunt --address " (source) " --since " (since(hours)) } } button type="button" data-copy="hunt" hidden { "Copy" } }
        @if is_accused {
            p { "If it is expected, as a scanner of your own is:" }
            div.copy { pre #quiet tabindex="0" { code { "keywatch alerts suppress --cidr " (source.network()) " --detector auth.credential_stuffing --until 14d -m REASON" } } button type="button" data-copy="quiet" hidden { "Copy" } }
        }
    }
}

fn since(hours: u32) -> String {
    if hours.is_multiple_of(24) { format!("{}d", hours / 24) } else { format!("{hours}h") }
}
