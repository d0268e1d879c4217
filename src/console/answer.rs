//! Answers with a page, with what was last known of it while ClickHouse is away, or with an error.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use tokio::time::timeout;

use super::Console;
use super::frame::{self, Page};
use super::known::Known;
use super::refusal::Refusal;
use super::visible::visible;
use crate::store::StoreError;

/// A page is made within this time.
const PAGE_TIMEOUT: Duration = Duration::from_secs(6);
/// ClickHouse counts as away when it does not answer a ping within this time, if the page can be
/// shown as it was last known ...
const PING_TIMEOUT: Duration = Duration::from_millis(750);
/// ... and within this time, if there is nothing to show instead.
const LONG_PING_TIMEOUT: Duration = Duration::from_millis(2_500);

/// The reason for which a page cannot be made.
pub enum Failure {
    NotFound(String),
    /// Part of the address cannot be read.
    BadAddress(String),
    TooSlow,
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Makes the page of `address` (path and query), or says why not.
pub async fn answer(
    console: &Arc<Console>,
    address: &str,
    make: impl Future<Output = Result<Page, Failure>>,
) -> Response {
    if let Some(known) = console.known.fresh(address) {
        return Html(frame::document(&known.page, None)).into_response();
    }
    let made = tokio::select! {
        made = timeout(PAGE_TIMEOUT, make) => made.unwrap_or(Err(Failure::TooSlow)),
        reason = clickhouse_is_away(console, address) => return without_store(console, address, &reason),
    };
    match made {
        Ok(page) => {
            let known = console.known.keep(address, page);
            Html(frame::document(&known.page, None)).into_response()
        }
        Err(Failure::TooSlow) => without_store(console, address, "it took too long to answer"),
        Err(Failure::NotFound(sentence)) => refusal(StatusCode::NOT_FOUND, sentence),
        Err(Failure::BadAddress(sentence)) => refusal(StatusCode::BAD_REQUEST, sentence),
        Err(Failure::Store(error)) => without_store(console, address, &error.to_string()),
    }
}

fn refusal(status: StatusCode, sentence: String) -> Response {
    Refusal::new(status, sentence).for_people(true).into_response()
}

/// Returns the reason once ClickHouse does not answer; waits for ever while it does.
async fn clickhouse_is_away(console: &Console, address: &str) -> String {
    let is_known = console.known.get(address).is_some();
    let within = if is_known { PING_TIMEOUT } else { LONG_PING_TIMEOUT };
    match timeout(within, console.store.ping()).await {
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} ms", within.as_millis()),
    }
}

/// The page as it was last known, with the reason for which it is not newer.
fn without_store(console: &Console, address: &str, reason: &str) -> Response {
    let known: Option<Known> = console.known.get(address);
    let reason = visible(reason);
    let body = match &known {
        Some(known) => frame::document(&known.page, Some((&reason, Some(known.at)))),
        None => frame::document(&frame::unknown_page(), Some((&reason, None))),
    };
    (StatusCode::SERVICE_UNAVAILABLE, Html(body)).into_response()
}
