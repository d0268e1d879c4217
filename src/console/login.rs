//! The pages on which people log in and out.

use std::sync::Arc;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Extension, Query, State};
use axum::http::header::{LOCATION, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use maud::html;
use serde::Deserialize;

use super::Console;
use super::frame::{self, Page, encoded};
use super::refusal::Refusal;
use super::visitor::{Visitor, clear_cookie, cookie, set_cookie};
use crate::access::{LoginRefused, Pass};
use crate::http::server::Peer;

/// The longest address that a login leads to.
const MOST_NEXT: usize = 2_048;

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Next {
    next: String,
}

#[derive(Deserialize)]
pub struct Credentials {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub struct Leave {
    #[serde(default)]
    token: String,
}

/// Where somebody without a session is sent, to come back to `address` afterwards.
pub fn redirect(address: &str) -> Response {
    see_other(&format!("/login?next={}", encoded(address)))
}

pub fn see_other(address: &str) -> Response {
    let location = HeaderValue::from_str(address).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

pub async fn form(State(console): State<Arc<Console>>, uri: Uri) -> Response {
    let next = Query::<Next>::try_from_uri(&uri).map(|Query(next)| next.next).unwrap_or_default();
    let is_empty = console.directory.is_empty().await.unwrap_or(false);
    page(StatusCode::OK, &next, "", is_empty, None)
}

pub async fn login(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    form: Result<Form<Credentials>, FormRejection>,
) -> Response {
    let Ok(Form(Credentials { name, password, next })) = form else { return unreadable() };
    let address = peer.map(|Extension(Peer(address))| address);
    match console.directory.login(name.trim(), password, address).await {
        Ok(cookie) => {
            leave_earlier(&console, &visitor, &headers).await;
            let mut response = see_other(local(&next));
            let cookie = set_cookie(&cookie, visitor.is_encrypted);
            response.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
            response
        }
        Err(refused) => {
            let status = match refused {
                LoginRefused::Wrong => StatusCode::FORBIDDEN,
                LoginRefused::TooOften => StatusCode::TOO_MANY_REQUESTS,
                LoginRefused::Busy | LoginRefused::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            };
            page(status, &next, name.trim(), false, Some(refused))
        }
    }
}

/// Ends the session that the browser had before, if it had one.
async fn leave_earlier(console: &Console, visitor: &Visitor, headers: &HeaderMap) {
    let Some(cookie) = cookie(headers, visitor.is_encrypted) else { return };
    if let Ok(Some(visit)) = console.directory.by_cookie(cookie).await {
        // It ends by itself if this fails.
        let _ = console.directory.logout(&visit).await;
    }
}

pub async fn logout(
    State(console): State<Arc<Console>>,
    Extension(visitor): Extension<Visitor>,
    form: Result<Form<Leave>, FormRejection>,
) -> Response {
    let Ok(Form(leave)) = form else { return unreadable() };
    let session = visitor.visit.as_ref().filter(|visit| matches!(visit.pass, Pass::Session(_)));
    if let Some(visit) = session.filter(|_| visitor.sent(&leave.token))
        && console.directory.logout(visit).await.is_err()
    {
        let sentence = "ClickHouse does not answer, and you are still logged in. Try again.";
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, sentence);
        return refusal.for_people(true).into_response();
    }
    let mut response = see_other("/login");
    let cookie = clear_cookie(visitor.is_encrypted);
    response.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
    response
}

/// The address, if it is one of the console.
fn local(next: &str) -> &str {
    let mut letters = next.chars();
    let is_path = letters.next() == Some('/') && !matches!(letters.next(), Some('/' | '\\'));
    let is_plain = next.len() <= MOST_NEXT && !next.contains(char::is_control);
    if is_path && is_plain { next } else { "/" }
}

pub fn unreadable() -> Response {
    let sentence = "The form cannot be read. Go back, load the page again, and repeat it.";
    Refusal::new(StatusCode::BAD_REQUEST, sentence).for_people(true).into_response()
}

fn page(
    status: StatusCode,
    next: &str,
    name: &str,
    is_empty: bool,
    refused: Option<LoginRefused>,
) -> Response {
    let body = html! {
        section.card.message.login {
            h1 { "Log in" }
            @if let Some(refused) = refused { p.refused role="alert" { (refused) } }
            @if is_empty {
                p { "Nobody has an account yet. Add one on a machine with Keywatch's configuration:" }
                p { code { "keywatch users add NAME --role responder" } }
            }
            form action="/login" method="post" {
                input type="hidden" name="next" value=(local(next));
                label { span { "Name" }
                    input name="name" value=(name) autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="64" required autofocus[name.is_empty()];
                }
                label { span { "Password" }
                    input type="password" name="password" autocomplete="current-password" maxlength="1024" required autofocus[!name.is_empty()];
                }
                button.primary type="submit" { "Log in" }
            }
        }
    };
    let page = Page { title: "Log in".to_owned(), body: body.into_string(), ..Page::default() };
    let document = frame::document(&page, None, &Visitor::default());
    let mut response = (status, Html(document)).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_pages_of_the_console_alone() {
        for good in ["/", "/incidents/inc_1", "/key?id=a%2Fb"] {
            assert_eq!(local(good), good);
        }
        for bad in ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nb"] {
            assert_eq!(local(bad), "/", "{bad}");
        }
    }
}
