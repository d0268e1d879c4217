//! Renders the page of an incident.

use maud::{Markup, html};

use super::actions::{self, Draft};
use super::load::{Delivery, Incident};
use super::{evidence, people, pictures, replay};
use crate::alert::{Alert, AlertType, Attacks, Restraint};
use crate::console::Console;
use crate::console::frame::{card, encoded, key_link, source_link, time};
use crate::console::visible::shown;
use crate::console::visitor::Visitor;
use crate::console::words;
use crate::event::EventTime;
use crate::facts::{self, plain_id};
use crate::text::{counted, duration_figure};

pub(super) fn view(
    console: &Console,
    visitor: &Visitor,
    incident: &Incident,
    notice: Option<Markup>,
) -> Markup {
    let alert = incident.latest();
    let forms = actions::forms(&incident.case, visitor, &Draft::default());
    html! {
        p.crumbs { a href="/incidents?state=open" { "Incidents" } " / " span.mono { (shown(&alert.id)) } }
        (head(incident))
        @if let Some(notice) = notice { (notice) }
        div.columns {
            div {
                (card("happened", "What happened", "", happened(alert)))
                (card("evidence", "Evidence", "How unusual: how often ordinary use of this key would show something at least as strange.", evidence::table(alert)))
                (pictures::usage(incident))
                @if let Some(journey) = pictures::journey(incident) { (journey) }
                @if let Some(pair) = replay::side_by_side(incident) { (card("replay", "The same credential twice", "Marked rows differ.", pair)) }
                (pictures::places(incident))
            }
            div {
                (card("act", "Act on it", "", forms))
                (card("done", "What was done", "", done(console, incident)))
                (card("sure", "How sure this is", "", sure(alert)))
                (card("people", "What people did", "", people::card(incident)))
                (card("told", "Who was told", "", told(&incident.deliveries)))
                (card("course", "Course", "", course(incident.revisions())))
                (card("further", "Look further", "", further(console, alert)))
            }
        }
    }
}

fn head(incident: &Incident) -> Markup {
    let alert = incident.latest();
    html! {
        header #head.incident-head data-live {
            h1 { (shown(&alert.title)) }
            p.badges {
                (words::severity(alert.severity)) (words::state(incident.case.state()))
                @if let Some(assignee) = &incident.standing().assignee { span { "Assigned to " (shown(assignee)) } }
                span { "Risk " strong { (format!("{:.0}", alert.risk)) } " of 100" }
                span { "Action " (words::action(alert.action, alert.dry_run)) }
                @if let Some(key) = &alert.key_id { span { "Key " (key_link(key)) } }
                @if let Some(ip) = alert.source_ip { span { "Source " (source_link(&ip.to_string())) } }
                @if let Some(tenant) = &alert.tenant { span { "Tenant " (shown(tenant)) } }
                @if let Some(word) = &incident.standing().owner { span { "The owner " (shown(&word.to_string())) } }
                a.jump href="#act" { "Act on it" }
            }
        }
    }
}

/// The explanation, a sentence a line. The sentences end at a point and a space, which the engine
/// puts between them; a value from the log can at most break a line.
fn happened(alert: &Alert) -> Markup {
    let length = alert.last_event_time.seconds_since(alert.first_event_time);
    html! {
        @for sentence in alert.explanation.split_inclusive(". ") { p.said { (with_times(sentence.trim_end())) } }
        p.note {
            "First sign " (time(alert.first_event_time)) ", last sign " (time(alert.last_event_time))
            @if length >= 1.0 { ", " (duration_figure(length)) " in all" }
            ". Keywatch noticed " (noticed(alert)) "."
        }
        @if !alert.affected_keys.is_empty() {
            h3 { (counted(alert.affected_keys.len(), "affected key")) }
            ul.keys { @for key in alert.affected_keys.iter().take(50) { li { (key_link(key)) } } }
        }
    }
}

/// The sentence, with its times as times.
fn with_times(sentence: &str) -> Markup {
    let at = |word: &str| {
        let time = word.trim_end_matches([',', '.', ')', ':', ';']);
        let at = time.ends_with('Z').then(|| time.parse::<jiff::Timestamp>().ok()).flatten()?;
        Some((EventTime::from_micros(at.as_microsecond()), word[time.len()..].to_owned()))
    };
    let words: Vec<_> = sentence.split(' ').collect();
    let has_times = words.iter().any(|word| at(word).is_some());
    html! {
        @if has_times {
            @for word in words {
                @match at(word) { Some((time, rest)) => { (self::time(time)) (rest) " " }, None => { (shown(word)) " " } }
            }
        } @else { (shown(sentence)) }
    }
}

fn noticed(alert: &Alert) -> String {
    let delay = alert.detected_at.seconds_since(alert.detected_event_time);
    match delay {
        ..=0.0 => "at once".to_owned(),
        ..1.0 => format!("{:.0} ms after the request", delay * 1_000.0),
        _ => format!("{} after the request", duration_figure(delay)),
    }
}

fn done(console: &Console, incident: &Incident) -> Markup {
    let alert = incident.latest();
    html! {
        p { (facts::what_was_done(alert)) }
        @if let Some(ruling) = &incident.standing().ruling { p { "The proposed action was " (shown(&ruling.to_string())) "." } }
        @if let Some(request) = incident.case.request() { (steps(request, incident)) }
        @if let Some(restraint) = alert.restraint.filter(|restraint| !restraint.is_wait()) {
            p { "A stronger action is not advised, because " (restraint.because()) "." }
        }
        (steps_to_take(alert))
        @if console.policy.dry_run { p.note { "This installation is in a dry run." } }
    }
}

/// Where the steps are written that people take, and what the signs are called in catalogues.
fn steps_to_take(alert: &Alert) -> Markup {
    html! {
        @if let Some(own) = &alert.guidance.playbook {
            p { "What to do: " a href=(own) rel="noreferrer" { (shown(own)) } }
        } @else if !alert.detectors.is_empty() {
            p { "What to do: " code { "keywatch alerts playbook " (plain_id(alert)) } }
        }
        @if let Some(rule) = &alert.guidance.rule { p { "The policy's rule " strong { (shown(rule)) } " applies." } }
        @if let Some(attacks) = Attacks::of(&alert.detectors) { p.note { (attacks.in_words()) } }
    }
}

/// The four steps of a request: made, sent, answered, confirmed.
fn steps(request: &Alert, incident: &Incident) -> Markup {
    let is_of = |it: &&Delivery| it.revision == request.revision && it.channel == "webhook";
    let last = incident.deliveries.iter().rev().find(is_of);
    html! {
        ol.course {
            li { (time(request.detected_at)) div { strong { "Requested" } " to " (request.action.as_str()) " the key" } }
            @match last {
                None => { li { div { "Not sent yet." } } },
                Some(it) if it.outcome == "delivered" => {
                    li { (time(EventTime::from_micros(it.at))) div { strong { "Sent" } " to the webhook; " strong { "answered" } ": " (shown(&it.detail)) } }
                    @if incident.confirmed.is_none() { li { div { "Whether the action took effect is not " strong { "confirmed" } " yet." } } }
                },
                Some(it) => { li { (time(EventTime::from_micros(it.at))) div { "Not sent: " (shown(&it.detail)) } } },
            }
            @if let Some(it) = &incident.confirmed {
                li { (time(EventTime::from_micros(it.at))) div { strong { "Confirmed" } " by " (shown(&it.told_by)) ": the key was " (shown(&it.kind)) "." } }
            }
        }
    }
}

fn sure(alert: &Alert) -> Markup {
    html! {
        p { strong { (words::confidence(alert.confidence)) } "." }
        p { "It rests on " (counted(alert.evidence.len(), "item")) " of evidence. Evidence of several kinds counts for more than much of one kind." }
        p.note { "Policy " (shown(&alert.policy_version)) ", model " (shown(&alert.model_version)) "." }
    }
}

fn told(deliveries: &[Delivery]) -> Markup {
    let (skipped, tried): (Vec<_>, Vec<_>) =
        deliveries.iter().partition(|delivery| delivery.outcome == "skipped");
    let mut quiet: Vec<_> = skipped.iter().map(|delivery| delivery.channel.as_str()).collect();
    quiet.sort_unstable();
    quiet.dedup();
    html! {
        @if tried.is_empty() { p { "Nobody yet." } }
        ol.course {
            @for delivery in tried {
                li {
                    (time(EventTime::from_micros(delivery.at)))
                    div { strong { (shown(&delivery.channel)) } " " (outcome(&delivery.outcome)) " revision " (delivery.revision)
                        @if delivery.attempt > 1 { ", attempt " (delivery.attempt) } }
                    @if !delivery.detail.is_empty() { div.faint { (shown(&delivery.detail)) } }
                }
            }
        }
        @if !quiet.is_empty() { p.note { "Revisions without news for their readers were not sent: " (shown(&quiet.join(", "))) "." } }
    }
}

fn outcome(outcome: &str) -> &'static str {
    match outcome {
        "delivered" => "✓ took",
        "failed" => "✗ failed at",
        "gave_up" => "✗ gave up on",
        "kept_quiet" | "suppressed" => "was not sent",
        "withdrawn" => "was not sent",
        _ => "saw",
    }
}

/// The latest revisions, newest first.
fn course(revisions: &[Alert]) -> Markup {
    html! {
        ol.course {
            @for alert in revisions.iter().rev().take(20) {
                li {
                    (time(alert.detected_event_time))
                    div { strong { (kind(alert)) } ": " (words::severity(alert.severity)) ", risk " (format!("{:.0}", alert.risk)) ", " (words::action(alert.action, alert.dry_run)) }
                }
            }
        }
        @if revisions.len() > 20 { p.note { (counted(revisions.len() - 20, "earlier revision")) " are not shown." } }
    }
}

fn kind(alert: &Alert) -> &'static str {
    match alert.alert_type {
        AlertType::Updated if alert.restraint.is_some_and(Restraint::is_wait) => "The action waits",
        AlertType::Opened => "Opened",
        AlertType::Updated => "More evidence",
        AlertType::Resolved => "No further evidence",
        AlertType::RevocationRequested => "Request to revoke made",
        AlertType::SuspensionRequested => "Request to suspend made",
    }
}

fn further(console: &Console, alert: &Alert) -> Markup {
    let position = &alert.position;
    html! {
        p { "SQL for the requests around this incident:" }
        div.copy { pre #sql tabindex="0" { code { (facts::requests_sql(alert, &console.database)) } } button type="button" data-copy="sql" hidden { "Copy" } }
        p { "Every revision as JSON:" }
        div.copy { pre #command tabindex="0" { code { "keywatch alerts show " (encoded(&alert.id)) } } button type="button" data-copy="command" hidden { "Copy" } }
        p.note { "Log: " (shown(&position.topic)) ", partition " (position.partition) ", offsets " (position.first_offset) " to " (position.last_offset) "." }
    }
}
