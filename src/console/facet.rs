//! Values of one kind, such as clients or routes, with the requests that had them.

use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{ago, source_link};
use super::visible::shown;
use crate::event::EventTime;
use crate::page::draw;
use crate::text::{count, counted};

/// A value of one kind (`place`, `network`, `client`, ...) and the requests with it.
#[derive(Debug, Deserialize)]
pub struct Facet {
    pub kind: String,
    pub name: String,
    /// Of the autonomous system; 0 if unknown, and for all other kinds.
    #[serde(default)]
    pub number: u32,
    pub requests: u64,
    pub failed: u64,
    pub first: i64,
    pub last: i64,
}

/// The values of one kind with their shares. `unknown` stands for an empty value.
pub fn list(facets: &[Facet], kind: &str, unknown: &str, now: EventTime) -> Markup {
    let rows: Vec<&Facet> = facets.iter().filter(|facet| facet.kind == kind).collect();
    let most = rows.iter().map(|row| row.requests).max().unwrap_or(1).max(1);
    html! {
        @if rows.is_empty() { p.faint { "No requests are kept of these days." } }
        @else { ul.facet { @for row in rows { (item(row, unknown, most, now)) } } }
    }
}

fn item(row: &Facet, unknown: &str, most: u64, now: EventTime) -> Markup {
    let requests = counted(row.requests as usize, "request");
    let at = |micros: i64| ago(EventTime::from_micros(micros), now);
    html! {
        li {
            div.name { (name(row, unknown)) span.figure { (count(row.requests as usize)) } }
            (draw::bar(row.requests as f64 / most as f64, "fill", &requests))
            div.faint { "since " (at(row.first)) ", last " (at(row.last)) @if row.failed > 0 { ", " (count(row.failed as usize)) " failed" } }
        }
    }
}

fn name(row: &Facet, unknown: &str) -> Markup {
    html! {
        @if row.name.is_empty() && row.number == 0 { span.faint { (unknown) } }
        @else if row.kind == "address" { (source_link(&row.name)) }
        @else { span { @if row.number > 0 { "AS" (row.number) " " } (shown(&row.name)) } }
    }
}
