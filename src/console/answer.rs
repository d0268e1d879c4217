//! Answers with a page, with what was last known of it while ClickHouse is away, or with an error.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use tokio::time::timeout;

use super::Console;
use super::frame::{self, Page};
use super::known::Known;
use super::login::see_other;
use super::refusal::Refusal;
use super::visible::visible;
use super::visitor::Visitor;
use crate::access::Role;
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
    /// The page has this address.
    Elsewhere(String),
    /// Part of the address cannot be read.
    BadAddress(String),
    /// The account may not do this.
    Forbidden(String),
    TooSlow,
    Store(StoreError),
}

/// What follows a form.
pub enum Answer {
    /// The address to which the person is sent.
    Done(String),
    /// A page that is not remembered, such as one that says why nothing was changed.
    Again(StatusCode, Page),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Makes the page of `address` (path and query) for a visitor, or says why not. Pages are
/// remembered for each role: the roles see different forms.
pub async fn answer(
    console: &Arc<Console>,
    visitor: &Visitor,
    address: &str,
    make: impl Future<Output = Result<Page, Failure>>,
) -> Response {
    let key = format!("{} {address}", visitor.role().map(Role::as_str).unwrap_or_default());
    if let Some(known) = console.known.fresh(&key) {
        return Html(frame::document(&known.page, None, visitor)).into_response();
    }
    let made = tokio::select! {
        made = timeout(PAGE_TIMEOUT, make) => made.unwrap_or(Err(Failure::TooSlow)),
        reason = clickhouse_is_away(console, &key) => {
            return without_store(console, visitor, &key, &reason);
        }
    };
    match made {
        Ok(page) => {
            let known = console.known.keep(&key, page);
            Html(frame::document(&known.page, None, visitor)).into_response()
        }
        Err(Failure::TooSlow) => {
            without_store(console, visitor, &key, "it took too long to answer")
        }
        Err(Failure::NotFound(sentence)) => refusal(StatusCode::NOT_FOUND, sentence),
        Err(Failure::Elsewhere(address)) => see_other(&address),
        Err(Failure::BadAddress(sentence)) => refusal(StatusCode::BAD_REQUEST, sentence),
        Err(Failure::Forbidden(sentence)) => refusal(StatusCode::FORBIDDEN, sentence),
        Err(Failure::Store(error)) => without_store(console, visitor, &key, &error.to_string()),
    }
}

/// Carries out a form, and answers with what follows. The result is not remembered.
pub async fn carry_out(
    visitor: &Visitor,
    act: impl Future<Output = Result<Answer, Failure>>,
) -> Response {
    match act.await {
        Ok(Answer::Done(address)) => see_other(&address),
        Ok(Answer::Again(status, page)) => {
            (status, Html(frame::document(&page, None, visitor))).into_response()
        }
        Err(Failure::NotFound(sentence)) => refusal(StatusCode::NOT_FOUND, sentence),
        Err(Failure::Elsewhere(address)) => see_other(&address),
        Err(Failure::BadAddress(sentence)) => refusal(StatusCode::BAD_REQUEST, sentence),
        Err(Failure::Forbidden(sentence)) => refusal(StatusCode::FORBIDDEN, sentence),
        Err(Failure::TooSlow) => not_known("it took too long to answer"),
        Err(Failure::Store(error)) => not_known(&error.to_string()),
    }
}

fn not_known(reason: &str) -> Response {
    let sentence = format!(
        "It is not known whether this was stored: {}. Go back, where your browser keeps what you \
         wrote, and send the form again: it acts once.",
        visible(reason)
    );
    refusal(StatusCode::SERVICE_UNAVAILABLE, sentence)
}

fn refusal(status: StatusCode, sentence: String) -> Response {
    Refusal::new(status, sentence).for_people(true).into_response()
}

/// Returns the reason once ClickHouse does not answer; waits for ever while it does.
async fn clickhouse_is_away(console: &Console, key: &str) -> String {
    let is_known = console.known.get(key).is_some();
    let within = if is_known { PING_TIMEOUT } else { LONG_PING_TIMEOUT };
    match timeout(within, console.store.ping()).await {
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} ms", within.as_millis()),
    }
}

/// The page as it was last known, with the reason for which it is not newer.
fn without_store(console: &Console, visitor: &Visitor, key: &str, reason: &str) -> Response {
    let known: Option<Known> = console.known.get(key);
    let Some(known) = known else { return nothing_known(reason) };
    let reason = visible(reason);
    let body = frame::document(&known.page, Some((&reason, Some(known.at))), visitor);
    (StatusCode::SERVICE_UNAVAILABLE, Html(body)).into_response()
}

/// The page that says that ClickHouse is away.
pub fn nothing_known(reason: &str) -> Response {
    let reason = visible(reason);
    let away = Some((reason.as_str(), None));
    let body = frame::document(&frame::unknown_page(), away, &Visitor::default());
    (StatusCode::SERVICE_UNAVAILABLE, Html(body)).into_response()
}
