//! Renders the overview.

use maud::{Markup, html};

use super::load::{Count, Overview};
use crate::alert::{Action, Severity};
use crate::console::Console;
use crate::console::frame::{ago, card};
use crate::console::sight::Blind;
use crate::console::visible::shown;
use crate::console::{incidents, plot, words};
use crate::event::{DAY_SECONDS, EventTime};
use crate::telemetry::Part;
use crate::text::{count, counted, number};

pub(super) fn view(console: &Console, overview: &Overview, now: EventTime) -> Markup {
    html! {
        h1.unseen-heading { "Overview" }
        (verdict(console, overview))
        (figures(overview, now))
        div.columns {
            div {
                (card("open", "Open incidents", "", severities(&overview.counts)))
                (latest(overview, now))
                (card("opened", "Opened in the last day", "By the hour in which an incident opened.", opened(overview, now)))
            }
            div {
                (card("health", "Health", "", health(console, overview, now)))
                (card("actions", "What actions did", "Incidents of the last day, by the strongest action that their evidence asks for.", actions(console, overview)))
                (card("blind", "What Keywatch cannot see", "", html! { (blind(overview, console)) p.note { a href="/fleet" { "All detectors, and what they promise" } } }))
            }
        }
    }
}

/// One sentence that answers whether all is well.
fn verdict(console: &Console, overview: &Overview) -> Markup {
    let waiting = console.health.readiness().waiting;
    let open = |severity| -> u64 {
        overview.counts.iter().filter(|c| c.severity == severity).map(|c| c.open).sum()
    };
    let (critical, high) = (open(Severity::Critical), open(Severity::High));
    let serious = overview.counts.iter().filter(|count| count.severity >= Severity::High);
    let in_hand = serious.map(|count| count.acknowledged).sum::<u64>();
    let (class, sentence) = if !waiting.is_empty() || !console.health.liveness().alive {
        ("bad", "Keywatch is waiting: what happens now is judged later.".to_owned())
    } else if critical > 0 {
        ("bad", format!("{} to look at now.", counted(critical as usize, "critical incident")))
    } else if high > 0 {
        ("warn", format!("{} open, none critical.", counted(high as usize, "serious incident")))
    } else if in_hand > 0 {
        let incidents = counted(in_hand as usize, "serious incident");
        ("warn", format!("Nothing is open that nobody looks at; {incidents} acknowledged."))
    } else {
        ("good", "All is quiet: no serious incident is open.".to_owned())
    };
    html! {
        div #verdict.verdict.(class) data-live role="status" {
            (verdict_icon(class))
            p { (sentence) }
        }
    }
}

/// A tick, an exclamation mark or a cross: colour alone says nothing.
fn verdict_icon(class: &str) -> Markup {
    let path = match class {
        "good" => "M6 12.5l4 4 8-9",
        "warn" => "M12 6v7M12 17v.5",
        _ => "M7 7l10 10M17 7L7 17",
    };
    html! {
        svg viewBox="0 0 24 24" width="28" height="28" aria-hidden="true" {
            circle.disc cx="12" cy="12" r="11" {}
            path.sign d=(path) {}
        }
    }
}

fn figures(overview: &Overview, now: EventTime) -> Markup {
    let rate = overview.minutes.iter().map(|minute| minute.recent).sum::<u64>() as f64 / 10.0;
    let rejected: u64 = overview.minutes.iter().map(|minute| minute.rejections).sum();
    html! {
        dl #figures.figures data-live {
            div.figure-events {
                dt { "Events a second" }
                dd { div.value { (number(rate)) } (plot::spark(&by_minute(overview, now), "Events stored in each minute of the last hour")) }
            }
            div {
                dt { "Lag" }
                dd { (lag(overview)) }
            }
            div {
                dt { "Completeness" }
                dd { (completeness(overview)) @if rejected > 0 { div.note { (counted(rejected as usize, "record")) " of the last hour could not be read." } } }
            }
            div {
                dt { "Keys watched" }
                dd { div.value { (count(overview.keys as usize)) } div.note { "used within the last day" } }
            }
        }
    }
}

/// Events of the last sixty minutes, empty minutes included.
fn by_minute(overview: &Overview, now: EventTime) -> Vec<u64> {
    let this = (now.as_seconds() as i64).div_euclid(60);
    let events = |minute: i64| {
        let found = overview.minutes.iter().find(|row| row.minute == minute * 60);
        found.map_or(0, |row| row.events)
    };
    (this - 59..=this).map(events).collect()
}

fn lag(overview: &Overview) -> Markup {
    let progress = &overview.progress;
    html! {
        @if progress.partitions == 0 {
            div.value { "–" } div.note { "nothing was stored in the last day" }
        } @else if progress.behind == 0 {
            div.value { "none" } div.note { "all read records are stored" }
        } @else {
            div.value { (count(progress.behind as usize)) }
            div.note { "records wait in " (progress.late_partitions) " of " (counted(progress.partitions as usize, "partition")) }
        }
    }
}

/// What is in, in a sentence.
fn completeness(overview: &Overview) -> Markup {
    let progress = &overview.progress;
    let at = if progress.behind > 0 { progress.oldest_late } else { progress.newest };
    html! {
        @if progress.partitions == 0 {
            p.sentence { "Nothing to say: no batch was stored in the last day." }
        } @else if overview.faults.is_empty() {
            p.sentence { "Everything that the log held at " strong { (clock(at)) } " is in." }
        } @else {
            p.sentence { "Not everything up to " strong { (clock(at)) } " is in: " (faults(overview)) "." }
            div.note { code { "sql/queries/completeness.sql" } " lists the offsets." }
        }
    }
}

fn clock(micros: i64) -> Markup {
    let at = EventTime::from_micros(micros);
    let text = crate::facts::time(at);
    let clock = text.get(11..19).unwrap_or(&text);
    html! { time datetime=(at) title=(text) { (clock) } }
}

fn faults(overview: &Overview) -> String {
    let words = overview.faults.iter().map(|(kind, count)| counted(*count, kind));
    words.collect::<Vec<_>>().join(", ")
}

fn severities(counts: &[Count]) -> Markup {
    html! {
        ul.severities {
            @for severity in Severity::ALL.iter().rev() {
                @let open: u64 = counts.iter().filter(|c| c.severity == *severity).map(|c| c.open).sum();
                li { a href={ "/incidents?state=open&severity=" (severity) } class={ (severity) @if open == 0 { " none" } } {
                    span.big { (count(open as usize)) }
                    (words::severity(*severity))
                } }
            }
        }
    }
}

fn latest(overview: &Overview, now: EventTime) -> Markup {
    html! {
        section #latest.card.flush data-live aria-label="The newest open incidents" {
            @if overview.latest.is_empty() {
                div.empty { h2 { "No incident is open" } p { "New ones appear here within two seconds." } }
            } @else {
                (incidents::table(&overview.latest, true, now))
                p.more { a href="/incidents?state=open" { "All open incidents" } }
            }
        }
    }
}

fn opened(overview: &Overview, now: EventTime) -> Markup {
    let counts: Vec<_> = overview
        .hours
        .iter()
        .map(|row| (EventTime::from_seconds(row.hour), row.severity, row.incidents))
        .collect();
    let next_hour =
        EventTime::from_seconds((now.as_seconds() as i64).div_euclid(3_600) * 3_600 + 3_600);
    let total: u64 = counts.iter().map(|(.., n)| n).sum();
    html! {
        (plot::severities_by_hour(&counts, next_hour.plus_seconds(-DAY_SECONDS), next_hour))
        p.legend {
            @for severity in Severity::ALL.iter().rev() {
                @let n: u64 = counts.iter().filter(|(_, s, _)| s == severity).map(|(.., n)| n).sum();
                span { (words::severity(*severity)) " " (count(n as usize)) }
            }
            span { (count(total as usize)) " in all" }
        }
    }
}

fn health(console: &Console, overview: &Overview, now: EventTime) -> Markup {
    let (readiness, liveness) = (console.health.readiness(), console.health.liveness());
    let part = |part: Part| readiness.waiting.get(&part).map(String::as_str);
    html! {
        ul.parts {
            (part_line("Pipeline", (!liveness.alive).then_some("makes no progress"), &format!("last step {:.0} s ago", liveness.seconds_since_beat)))
            (part_line("Source of the log", part(Part::Source), "connected"))
            (part_line("ClickHouse", part(Part::ClickHouse), "connected"))
            @for channel in &overview.channels {
                @let trouble = (channel.waiting + channel.lost > 0).then(|| {
                    format!("{} waiting, {} given up: {}", channel.waiting, channel.lost, channel.example)
                });
                (part_line(&format!("Channel {}", channel.channel), trouble.as_deref(), &format!("{} delivered in the last day", count(channel.delivered as usize))))
            }
        }
        p.note { "Last batch stored " @if overview.progress.newest > 0 { (ago(EventTime::from_micros(overview.progress.newest), now)) } @else { "more than a day ago" } "." }
    }
}

fn part_line(name: &str, trouble: Option<&str>, well: &str) -> Markup {
    html! {
        li class=(if trouble.is_some() { "bad" } else { "good" }) {
            span.lamp aria-hidden="true" { @if trouble.is_some() { "!" } @else { "✓" } }
            span.name { (name) }
            span.what { @match trouble { Some(trouble) => { "waits: " (shown(trouble)) }, None => (well) } }
        }
    }
}

fn actions(console: &Console, overview: &Overview) -> Markup {
    let of = |action: Action| -> (u64, u64) {
        let rows = overview.counts.iter().filter(|row| row.action == action);
        rows.fold((0, 0), |(all, dry), row| {
            (all + row.active, dry + if row.dry_run { row.active } else { 0 })
        })
    };
    html! {
        table.plain {
            thead { tr { th { "Action" } th.number { "Incidents" } th { "Effect" } } }
            tbody {
                @for action in [Action::Revoke, Action::Suspend, Action::Throttle, Action::Notify, Action::Observe] {
                    @let (all, dry) = of(action);
                    tr {
                        td { (action) }
                        td.number { (count(all as usize)) }
                        td.faint { (effect(action, all, dry)) }
                    }
                }
            }
        }
        p.note {
            @if console.policy.dry_run { "This is a dry run: actions are recorded, and none is requested." }
            @else {
                (overview.requested) " of " (console.policy.max_revocations_per_hour) " revocations of this hour's budget are spent."
            }
        }
    }
}

fn effect(action: Action, all: u64, dry: u64) -> String {
    match action {
        Action::Observe => "recorded".into(),
        Action::Notify => "people were told".into(),
        _ if all == 0 => "–".into(),
        _ if dry == all => "recorded only (dry run)".into(),
        Action::Throttle => format!("{} advised", count((all - dry) as usize)),
        _ => format!("{} proposed", count((all - dry) as usize)),
    }
}

fn blind(overview: &Overview, console: &Console) -> Markup {
    let blind = overview.inputs.blind(console.given);
    html! {
        @if overview.inputs.events == 0 {
            p { "Nothing can be said: no request was stored in the last hour." }
        } @else if blind.is_empty() {
            p { "Every detector has what it judges by." }
        } @else {
            p.explain { "These detectors raise no alerts, because " (count(overview.inputs.events as usize)) " requests of the last hour lack what they judge by." }
            ul.blind { @for row in &blind { (blind_line(row)) } }
        }
    }
}

fn blind_line(blind: &Blind) -> Markup {
    html! {
        li {
            div.detectors { @for detector in blind.detectors { span title=(words::sign(*detector)) { (crate::page::draw::name(detector.as_str())) } } }
            span.faint { (words::with_code(blind.lacks)) @if blind.share > 0.0 { " (" (crate::text::share(blind.share)) " do)" } }
        }
    }
}
