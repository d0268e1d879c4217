//! Takes the forms of an incident's page: one act of a person.

use axum::http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::actions::{self, Draft};
use crate::access::Role;
use crate::alert::CloseReason;
use crate::casework::{self, Case, Order, Outcome, Reading, Told, Version, act_once};
use crate::console::Console;
use crate::console::answer::{Answer, Failure};
use crate::console::frame::{Page, Tab, card, encoded, time};
use crate::console::visible::{shown, visible};
use crate::console::visitor::Visitor;
use crate::workflow::{Kind, Origin};

/// The form as it came; every value is somebody's input.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    token: String,
    version: String,
    kind: String,
    text: String,
    assignee: String,
    confirm_reason: String,
    dismiss_reason: String,
}

/// Carries out what the form asks for.
///
/// # Errors
/// [`Failure`].
pub async fn act(
    console: &Console,
    visitor: &Visitor,
    id: &str,
    form: &Form,
) -> Result<Answer, Failure> {
    visitor.require(Role::Responder)?;
    let order = match form.order(console, visitor) {
        Ok(order) if visitor.sent(&form.token) => order,
        Ok(_) => return again(console, visitor, id, form, EARLIER_SESSION).await,
        Err(sentence) => return again(console, visitor, id, form, &sentence).await,
    };
    let reading = Reading::Page(Version::parse(&form.version).unwrap_or_default());
    match act_once(&order, &console.store, id, &reading, form.act_id(id)).await? {
        Outcome::Unknown => Err(super::unknown(id)),
        // The id follows from the form, so that only the same form has it.
        Outcome::Taken => again(console, visitor, id, form, "This form was used before.").await,
        Outcome::Moved(case) => Ok(conflict(moved(visitor, &case, form))),
        Outcome::Done(told) if told.is_refused() => {
            console.known.outdate();
            Ok(conflict(refused(visitor, *told, &order, form)))
        }
        Outcome::Done(_) => {
            console.known.outdate();
            Ok(Answer::Done(format!("/incidents/{}?act={}#notice", encoded(id), form.act_id(id))))
        }
    }
}

const EARLIER_SESSION: &str =
    "Nothing was changed yet: the form was of an earlier session. Here it is again.";

impl Form {
    fn order(&self, console: &Console, visitor: &Visitor) -> Result<Order, String> {
        let kind = Kind::named(&self.kind).filter(|kind| kind.is_of_responders());
        let kind = kind.ok_or("Choose what to do.")?;
        let reason = self.reason(kind)?;
        let assignee = (kind == Kind::Assign).then(|| casework::person(&self.assignee));
        let text = Some(self.text.trim()).filter(|text| !text.is_empty() || kind == Kind::Comment);
        // Browsers send line ends as CR LF.
        let text = text.map(|text| casework::comment(&text.replace("\r\n", "\n")));
        let quiet_seconds = if kind.closes() { console.quiet_seconds } else { 0 };
        Ok(Order {
            kind,
            reason,
            assignee: assignee.transpose().map_err(sentence)?,
            text: text.transpose().map_err(sentence)?.unwrap_or_default(),
            quiet_seconds,
            who: visitor.name().unwrap_or_default().to_owned(),
            origin: Origin::Console,
        })
    }

    fn reason(&self, kind: Kind) -> Result<Option<CloseReason>, String> {
        let text = match kind {
            Kind::Confirm => &self.confirm_reason,
            Kind::Dismiss => &self.dismiss_reason,
            _ => return Ok(None),
        };
        let reason = CloseReason::named(text).filter(|reason| kind.fits(*reason));
        reason.map(Some).ok_or_else(|| "Choose a reason.".to_owned())
    }

    /// The same form has the same id: pressing a button twice acts once.
    fn act_id(&self, incident: &str) -> String {
        let parts = [
            incident,
            &self.token,
            &self.version,
            &self.kind,
            &self.text,
            &self.assignee,
            &self.confirm_reason,
            &self.dismiss_reason,
        ];
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        format!("act_{}", hex::encode(&hash.finalize()[..16]))
    }

    fn draft(&self) -> Draft {
        Draft {
            text: self.text.clone(),
            assignee: self.assignee.clone(),
            confirm_reason: CloseReason::named(&self.confirm_reason),
            dismiss_reason: CloseReason::named(&self.dismiss_reason),
        }
    }
}

fn conflict(page: Page) -> Answer {
    Answer::Again(StatusCode::CONFLICT, page)
}

fn sentence(words: String) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

async fn again(
    console: &Console,
    visitor: &Visitor,
    id: &str,
    form: &Form,
    sentence: &str,
) -> Result<Answer, Failure> {
    let case = casework::load(&console.store, &[id]).await?.remove(id);
    let case = case.ok_or_else(|| super::unknown(id))?;
    let page = page(visitor, &case, html! { p { (sentence) } }, form);
    Ok(Answer::Again(StatusCode::UNPROCESSABLE_ENTITY, page))
}

/// Others were first. Nothing is lost: the form comes again with what the person wrote.
fn moved(visitor: &Visitor, case: &Case, form: &Form) -> Page {
    let read = Version::parse(&form.version).unwrap_or_default();
    let news = html! {
        p { strong { "Nothing was changed, because the incident has changed since you read it:" } }
        ul {
            @for (act, _) in case.acts_since(&read) {
                li { (time(act.time)) " " strong { (shown(&act.who)) } " " (shown(&act.to_string())) "." @if !act.text.is_empty() { " “" (shown(&act.text)) "”" } }
            }
            @if case.seen().revision > read.revision { li { "There is new evidence." } }
        }
        p { "Look at the incident, and decide again. Your comment is still in the form." }
    };
    page(visitor, case, news, form)
}

fn refused(visitor: &Visitor, told: Told, order: &Order, form: &Form) -> Page {
    let remedy = told.obstacle.as_ref().map_or("", casework::remedy);
    let news = html! {
        p { strong { "Nothing was changed." } " " (shown(&sentence(told.sentence(order)))) }
        @if !remedy.is_empty() { p { (sentence(remedy.to_owned())) } }
    };
    let case = Case { course: told.course, ..told.case };
    page(visitor, &case, news, form)
}

fn page(visitor: &Visitor, case: &Case, news: Markup, form: &Form) -> Page {
    let alert = case.latest();
    let address = format!("/incidents/{}", encoded(&alert.id));
    let body = html! {
        p.crumbs { a href="/incidents?state=open" { "Incidents" } " / " a.mono href=(address) { (shown(&alert.id)) } }
        header.incident-head { h1 { (shown(&alert.title)) } }
        div #notice.notice.refused role="alert" { (news) }
        div.narrow {
            (card("act", "Act on it", "", actions::forms(case, visitor, &form.draft())))
            p { a.button href=(address) { "Back to the incident" } }
        }
    };
    let title = visible(&alert.title);
    Page { title, tab: Some(Tab::Incidents), body: body.into_string(), ..Page::default() }
}

/// What came of the act of this person, which the address names.
pub fn notice(case: &Case, visitor: &Visitor, act_id: &str) -> Option<Markup> {
    let steps = &case.course.steps;
    let (act, obstacle) = steps.iter().find(|(act, _)| act.id == act_id)?;
    let is_own = act.origin == Origin::Console && visitor.name() == Some(act.who.as_str());
    let words = casework::told_of(case, act, obstacle.as_ref());
    is_own.then(|| html! { div #notice.notice role="status" { p { (shown(&words)) "." } } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_form_acts_once() {
        let form = Form { token: "t".into(), kind: "comment".into(), ..Form::default() };
        assert_eq!(form.act_id("a"), form.clone().act_id("a"));
        assert_ne!(form.act_id("a"), form.act_id("b"));
        // The parts of a form do not run into one another.
        let moved = Form { token: "tc".into(), kind: "omment".into(), ..Form::default() };
        assert_ne!(form.act_id("a"), moved.act_id("a"));
        assert!(Version::parse(&format!("1-{}", form.act_id("a"))).is_some());
    }
}
