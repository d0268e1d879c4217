//! Takes the form of a suppression: shows what it would have hidden, and then stores it.

use axum::http::StatusCode;
use maud::html;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::actions::ENDS;
use crate::access::Role;
use crate::casework::{self, NoSuppression, Preview, Wish};
use crate::console::Console;
use crate::console::answer::{Answer, Failure};
use crate::console::frame::{Page, Tab, encoded, form_token, time};
use crate::console::visible::shown;
use crate::console::visitor::Visitor;
use crate::event::{DAY_SECONDS, EventTime};
use crate::workflow::{Scope, Suppression};

/// The form as it came; every value is somebody's input.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    token: String,
    days: u32,
    note: String,
    critical: String,
    /// Random, from the page that shows what it would have hidden: that page suppresses once.
    sure: String,
}

/// # Errors
/// [`Failure`].
pub async fn suppress(
    console: &Console,
    visitor: &Visitor,
    id: &str,
    form: &Form,
) -> Result<Answer, Failure> {
    let hides_critical = form.critical == "yes";
    visitor.require(if hides_critical { Role::Admin } else { Role::Responder })?;
    let suppression = form.wish(visitor, id)?.suppression(&console.store).await;
    let mut suppression = suppression.map_err(|error| match error {
        NoSuppression::Unknown(id) => super::unknown(&id),
        NoSuppression::Store(error) => Failure::Store(error),
        error => Failure::BadAddress(format!("Nothing can be suppressed: {error}.")),
    })?;
    if form.sure.is_empty() || !visitor.sent(&form.token) {
        let preview = Preview::of(&suppression, &console.store).await?;
        return Ok(Answer::Again(StatusCode::OK, page(id, form, &suppression, &preview)));
    }
    let digest = Sha256::new().chain_update(&form.token).chain_update("/").chain_update(&form.sure);
    suppression.id = format!("sup_{}", hex::encode(&digest.finalize()[..12]));
    console.store.begin_suppression(&suppression).await?;
    console.known.outdate();
    Ok(Answer::Done(format!("/incidents/{}?suppression={}#notice", encoded(id), suppression.id)))
}

impl Form {
    fn wish(&self, visitor: &Visitor, id: &str) -> Result<Wish, Failure> {
        let note = casework::comment(&self.note).map_err(|words| {
            Failure::BadAddress(format!("Say why it is suppressed: {words}. Go back to the form."))
        })?;
        let days = ENDS.iter().find(|days| **days == self.days);
        let days = days.ok_or_else(|| Failure::BadAddress("Choose for how long.".into()))?;
        Ok(Wish {
            id: Some(id.to_owned()),
            scope: Scope::default(),
            from: None,
            until: EventTime::now().plus_seconds(f64::from(*days) * DAY_SECONDS),
            hides_critical: self.critical == "yes",
            note,
            who: visitor.name().unwrap_or_default().to_owned(),
        })
    }
}

fn page(id: &str, form: &Form, suppression: &Suppression, preview: &Preview) -> Page {
    let address = format!("/incidents/{}", encoded(id));
    let words = preview.in_words(suppression, "the box in the form");
    let body = html! {
        p.crumbs { a href="/incidents?state=open" { "Incidents" } " / " a.mono href=(address) { (shown(id)) } }
        h1 { "Suppress this evidence?" }
        section.card.narrow {
            pre.words { @for line in words.lines() { (shown(line)) "\n" } }
            p { "From " (time(suppression.from)) " until " (time(suppression.until)) @if suppression.hides_critical { ", critical alerts too" } ", because: " (shown(&suppression.note)) }
            p.note { "An alert is hidden only if each item of its evidence is suppressed. What is hidden is stored and counted." }
            form.act action={ (address) "/suppress" } method="post" {
                (form_token())
                input type="hidden" name="days" value=(form.days);
                input type="hidden" name="note" value=(form.note);
                input type="hidden" name="critical" value=(form.critical);
                input type="hidden" name="sure" value=(hex::encode(rand::random::<[u8; 16]>()));
                div.choices { button.primary type="submit" { "Suppress it" } a.button href=(address) { "Leave it" } }
            }
        }
    };
    let title = "Suppress this evidence?".to_owned();
    Page { title, tab: Some(Tab::Incidents), body: body.into_string(), ..Page::default() }
}
