//! The forms with which people act on an incident. They work without the script.

use maud::{Markup, html};
use strum::VariantArray;

use crate::access::Role;
use crate::alert::CloseReason;
use crate::casework::{Case, Version};
use crate::console::frame::{encoded, form_token};
use crate::console::visible::shown;
use crate::console::visitor::Visitor;
use crate::workflow::Kind;

/// What the reader has written so far.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub text: String,
    pub assignee: String,
    pub confirm_reason: Option<CloseReason>,
    pub dismiss_reason: Option<CloseReason>,
}

/// The forms for this visitor, or how to get them.
pub fn forms(case: &Case, visitor: &Visitor, draft: &Draft) -> Markup {
    match visitor.role() {
        Some(role) if role >= Role::Responder => {
            html! { (act(case, draft)) (suppress(case, role)) }
        }
        Some(_) => {
            html! { p { "Your account is a viewer: it reads. A responder acts on incidents." } }
        }
        None => html! {
            p { "To act here, somebody with Keywatch's configuration adds an account for you:" }
            p { code { "keywatch users add NAME --role responder" } }
            p.note { "The command line acts without one: " code { "keywatch alerts ack " (shown(&case.latest().id)) } "." }
        },
    }
}

/// One form: the comment goes with whatever is chosen. The first button is the one that the Enter
/// key presses, and changes nothing.
fn act(case: &Case, draft: &Draft) -> Markup {
    let address = format!("/incidents/{}/act", encoded(&case.latest().id));
    let can = |kind: Kind| case.obstacle(kind).is_none();
    html! {
        form.act action=(address) method="post" {
            (form_token())
            (version(&case.version()))
            @if can(Kind::Approve) { (proposal(case)) }
            label { span { "Comment, for whatever you choose" }
                textarea name="text" rows="2" maxlength="4000" { (draft.text) }
            }
            div.choices {
                (button(Kind::Comment, "Comment", false))
                @if can(Kind::Acknowledge) { (button(Kind::Acknowledge, "Acknowledge", true)) }
                @if can(Kind::Reopen) && !can(Kind::Confirm) { (button(Kind::Reopen, "Reopen", true)) }
            }
            @if can(Kind::Assign) {
                div.choices {
                    label { span { "Assign to" } input name="assignee" value=(draft.assignee) maxlength="64" autocapitalize="none" autocomplete="off"; }
                    (button(Kind::Assign, "Assign", false))
                }
            }
            @if can(Kind::Dismiss) {
                div.choices { (reasons("dismiss_reason", "It was a false alarm:", Kind::Dismiss, draft.dismiss_reason)) (button(Kind::Dismiss, "Dismiss", false)) }
                div.choices { (reasons("confirm_reason", "The key was misused:", Kind::Confirm, draft.confirm_reason)) (button(Kind::Confirm, "Confirm", false)) }
            }
        }
    }
}

/// The evidence and the acts that the reader knows go with the form.
fn version(version: &Version) -> Markup {
    html! { input type="hidden" name="version" value=(version); }
}

fn proposal(case: &Case) -> Markup {
    let action = case.seen().action;
    html! {
        div.proposal {
            p { "Keywatch proposes to " strong { (action) } " the key. Once approved, the request is sent to the webhook when the budget allows it." }
            div.choices {
                // Before them, so that the Enter key does not approve.
                button.unseen-heading type="submit" name="kind" value="comment" tabindex="-1" aria-hidden="true" { "Comment" }
                (button(Kind::Approve, &format!("Approve: {action} the key"), false))
                (button(Kind::Reject, "Reject", false))
            }
        }
    }
}

fn button(kind: Kind, label: &str, is_primary: bool) -> Markup {
    html! { button.primary[is_primary] type="submit" name="kind" value=(kind.as_str()) { (label) } }
}

fn reasons(name: &str, label: &str, kind: Kind, chosen: Option<CloseReason>) -> Markup {
    let reasons = CloseReason::VARIANTS.iter().copied().filter(|reason| kind.fits(*reason));
    html! {
        label { span { (label) }
            select name=(name) {
                @if kind == Kind::Dismiss { option value="" { "choose a reason" } }
                @for reason in reasons { option value=(reason) selected[chosen == Some(reason)] { (words(reason)) } }
            }
        }
    }
}

const fn words(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Theft => "theft",
        CloseReason::MisuseByOwner => "misuse by its owner",
        CloseReason::Test => "a test",
        CloseReason::FalseTravel => "the owner travels",
        CloseReason::FalseDeploy => "a deploy",
        CloseReason::FalseOther => "another reason",
        CloseReason::Duplicate => "a duplicate",
    }
}

/// The ends that the form for a suppression offers, in days.
pub const ENDS: [u32; 5] = [1, 7, 14, 30, 90];

fn suppress(case: &Case, role: Role) -> Markup {
    let address = format!("/incidents/{}/suppress", encoded(&case.latest().id));
    html! {
        details.suppress {
            summary { "Suppress this evidence for a time" }
            form.act action=(address) method="post" {
                (form_token())
                p.note { "Evidence of the same detectors for the same key or address is stored and not shown to people. The next page says what it would have hidden." }
                div.choices {
                    label { span { "For" }
                        select name="days" { @for days in ENDS { option value=(days) selected[days == 14] { (days) @if days == 1 { " day" } @else { " days" } } } }
                    }
                    label { span { "Because" } input name="note" maxlength="4000" required; }
                }
                @if role >= Role::Admin { label.check { input type="checkbox" name="critical" value="yes"; " Hide critical alerts too" } }
                div.choices { button type="submit" { "Show what it would hide" } }
            }
        }
    }
}
