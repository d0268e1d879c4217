//! The page on which the registered owner of a key answers "Was it you?". It is for everybody who has
//! a signed link, and shows nothing of an incident.
//!
//! A `GET` reads nothing and changes nothing: programs that look into mails open every link. Only the
//! button of the page gives the answer.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::Console;
use super::routes::VERSION;
use crate::alert::OwnerAnswer;
use crate::casework::{Answered, answer_as_owner};
use crate::event::EventTime;
use crate::facts::time;
use crate::workflow::{BadLink, Link};

/// The beginning of the addresses of these pages.
pub const PATH: &str = "/was-it-you/";

pub async fn form(State(console): State<Arc<Console>>, Path(token): Path<String>) -> Response {
    match read(&console, &token) {
        Ok(link) => page(StatusCode::OK, "Was it you?", question(&link)),
        Err(refusal) => *refusal,
    }
}

pub async fn answer(State(console): State<Arc<Console>>, Path(token): Path<String>) -> Response {
    let link = match read(&console, &token) {
        Ok(link) => link,
        Err(refusal) => return *refusal,
    };
    match answer_as_owner(&console.store, &link.incident, link.answer).await {
        Ok(answered) => {
            console.known.outdate();
            told(answered, link.answer)
        }
        // The reason is the operator's, and the reader is not.
        Err(error) => {
            tracing::warn!(%error, "an owner's answer could not be stored");
            let words = "Your answer could not be stored now. Please try again in a few minutes.";
            message(StatusCode::SERVICE_UNAVAILABLE, "Not stored", words)
        }
    }
}

fn read(console: &Console, token: &str) -> Result<Link, Box<Response>> {
    let unknown = || {
        let words = "This link is not complete, or not ours. Copy the whole link from the mail.";
        Box::new(message(StatusCode::NOT_FOUND, "Unknown link", words))
    };
    let links = console.owner_links.as_ref().ok_or_else(unknown)?;
    links.read(token, EventTime::now()).map_err(|fault| match fault {
        BadLink::Forged => unknown(),
        BadLink::Ended => {
            let words = "This link has ended. Please answer the people who look after your key in \
                another way.";
            Box::new(message(StatusCode::GONE, "The link has ended", words))
        }
    })
}

/// The form has no `action`, so that it goes to the address of the page.
fn question(link: &Link) -> Markup {
    let (label, meaning) = match link.answer {
        OwnerAnswer::ItWasMe => {
            ("It was me", "You say that you, a program or a colleague of yours used the key.")
        }
        OwnerAnswer::ItWasNotMe => {
            ("It was not me", "You say that nobody you know of used the key like this.")
        }
    };
    html! {
        p { (meaning) " Your answer goes to the people who look after the key. By itself it neither blocks nor frees the key." }
        p { "Nothing is sent before you press the button. You may change your answer, by the other link of the mail, until " (time(link.ends)) "." }
        form method="post" { button.primary type="submit" { (label) } }
    }
}

fn told(answered: Answered, answer: OwnerAnswer) -> Response {
    let thanks = format!("Thank you. Your answer is kept: {}.", answer.words());
    match answered {
        Answered::Kept { is_closed: false } => message(StatusCode::OK, "Thank you", &thanks),
        Answered::Kept { is_closed: true } => {
            let words = format!(
                "{thanks} The incident was closed before. The people who look after your key see \
                 your answer; if it is urgent, call them."
            );
            message(StatusCode::OK, "Thank you", &words)
        }
        Answered::TooOften => {
            let words = "You changed your answer several times, and all of that is kept. Please \
                answer the people who look after your key in another way.";
            message(StatusCode::CONFLICT, "Not changed again", words)
        }
        Answered::Unknown => {
            let words = "Nobody was asked about this.";
            message(StatusCode::NOT_FOUND, "Unknown link", words)
        }
    }
}

fn message(status: StatusCode, title: &str, words: &str) -> Response {
    page(status, title, html! { p { (words) } })
}

/// A page without the console's navigation, which is for the people who respond.
fn page(status: StatusCode, title: &str, body: Markup) -> Response {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) }
                link rel="stylesheet" href={ "/assets/console.css?" (*VERSION) };
            }
            body { main #main { section.card.message { h1 { (title) } (body) } } }
        }
    };
    (status, Html(document.into_string())).into_response()
}
