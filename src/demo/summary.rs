//! Prints the results of the demo: figures, attacks, and three questions of analysts.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use indicatif::HumanCount;

use super::Parts;
use super::journal::{Found, Journal, Sighting};
use super::screen::{Screen, seconds_after};
use super::source::LiveSince;
use super::tables::{answer, columns, facts, heading};
use crate::alert::{AlertType, DetectorId};
use crate::event::EventTime;
use crate::store::{Store, StoreError, analyst_query};

const QUESTIONS: [&str; 3] = ["open_alerts", "top_keys", "shared_addresses"];
const ROWS: &str = "6";
/// Columns that are left out of the answers, because a terminal has no room for them.
const LEFT_OUT: [&str; 2] = ["id", "last_event_time"];

/// The data that the summary is made from.
pub(super) struct Results<'a> {
    pub(super) screen: &'a Screen,
    pub(super) journal: &'a Journal,
    pub(super) live_since: &'a LiveSince,
    pub(super) parts: &'a Parts,
}

impl Results<'_> {
    /// # Errors
    /// When ClickHouse does not answer.
    pub(super) async fn print(&self, store: &Store) -> Result<(), StoreError> {
        let now = EventTime::now();
        let stored = count(store, "SELECT count() FROM access_events").await?;
        let sightings = self.journal.sightings();
        self.say(&heading("Volume"));
        let volume = self.volume(now, &stored);
        self.say(&facts(volume.into_iter().chain(self.deliveries(&sightings))));
        self.print_attacks(now);
        self.print_detectors(&sightings);
        self.print_answers(store).await
    }

    fn say(&self, text: &str) {
        self.screen.say(text);
    }

    fn volume(&self, now: EventTime, stored: &str) -> [(&'static str, String); 3] {
        let (history, live) = (self.screen.history_events(), self.screen.live_events());
        let seconds = self.live_since.get().map_or(0.0, |since| now.seconds_since(*since));
        let rate = live as f64 / seconds.max(1.0);
        [
            ("events", format!("{} of history, {} live", HumanCount(history), HumanCount(live))),
            ("live rate", format!("{rate:.0} events/s for {seconds:.0} s")),
            ("rows in ClickHouse", format!("{stored} in access_events")),
        ]
    }

    fn deliveries(&self, sightings: &[Sighting]) -> [(&'static str, String); 4] {
        let count = self.parts.receiver.count();
        let received = count.received.load(Ordering::Relaxed);
        let verified = count.verified.load(Ordering::Relaxed);
        let opened = sightings.iter().filter(|s| s.alert.alert_type == AlertType::Opened).count();
        let mails = self.parts.mailbox.as_ref().map_or("no mailbox".to_owned(), |mailbox| {
            format!("{} received over SMTP", mailbox.count())
        });
        [
            ("alerts", format!("{opened} opened, {} updates", sightings.len() - opened)),
            ("request to alert", latency(sightings)),
            ("e-mails", mails),
            ("webhooks", format!("{received} received, {verified} with a valid signature")),
        ]
    }

    fn print_attacks(&self, now: EventTime) {
        let found = self.journal.found(now);
        let (attacks, hits) =
            found.values().fold((0, 0), |(all, hits), f| (all + f.attacks, hits + f.seconds.len()));
        self.say(&heading(&format!(
            "Attacks: {hits} of {attacks} found, {} false alerts",
            self.journal.false_incidents()
        )));
        if attacks > 0 {
            let header = ["attack", "detected by", "made", "found", "median s", "worst s"];
            self.say(&columns(&header, found.iter().map(attack_row).collect(), 2));
        }
    }

    fn print_detectors(&self, sightings: &[Sighting]) {
        let mut latest: BTreeMap<&str, &[DetectorId]> = BTreeMap::new();
        for Sighting { alert, .. } in sightings {
            latest.insert(&alert.id, &alert.detectors);
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for detector in latest.values().copied().flatten() {
            *counts.entry(detector.as_str()).or_default() += 1;
        }
        if !counts.is_empty() {
            self.say(&heading("Detectors, and the number of incidents that each contributed to"));
            let row = |(name, count): (&&str, &usize)| vec![(*name).to_owned(), count.to_string()];
            self.say(&columns(&["detector", "incidents"], counts.iter().map(row).collect(), 1));
        }
    }

    async fn print_answers(&self, store: &Store) -> Result<(), StoreError> {
        for query in QUESTIONS.into_iter().filter_map(analyst_query) {
            let table = store.query_table(query.sql, &[("limit", ROWS)]).await?;
            self.say(&heading(&format!("{} (sql/queries/{}.sql)", query.question(), query.name)));
            self.say(&answer(&table, &LEFT_OUT));
        }
        Ok(())
    }
}

/// Runs `sql`, which returns a single number.
async fn count(store: &Store, sql: &str) -> Result<String, StoreError> {
    let table = store.query_table(sql, &[]).await?;
    let value = table.rows.into_iter().flatten().next().unwrap_or_default();
    Ok(value.parse().map_or(value, |number| HumanCount(number).to_string()))
}

fn attack_row((kind, found): (&&str, &Found)) -> Vec<String> {
    let seconds = |share| quantile(&found.seconds, share).map_or("-".into(), |s| format!("{s:.1}"));
    let detectors: Vec<_> = found.detectors.iter().copied().collect();
    vec![
        (*kind).to_owned(),
        if detectors.is_empty() { "-".into() } else { detectors.join(", ") },
        found.attacks.to_string(),
        found.seconds.len().to_string(),
        seconds(0.5),
        seconds(1.0),
    ]
}

/// The latency from the request that caused an alert to the alert on the terminal.
fn latency(sightings: &[Sighting]) -> String {
    let mut seconds: Vec<f64> =
        sightings.iter().map(|s| seconds_after(s.at, s.alert.detected_event_time)).collect();
    seconds.sort_by(f64::total_cmp);
    match (quantile(&seconds, 0.5), quantile(&seconds, 0.99)) {
        (Some(p50), Some(p99)) => format!("p50 {:.0} ms, p99 {:.0} ms", p50 * 1e3, p99 * 1e3),
        _ => "no alerts".into(),
    }
}

/// Nearest-rank quantile of ascending values.
fn quantile(ascending: &[f64], share: f64) -> Option<f64> {
    let rank = (share * ascending.len() as f64).ceil() as usize;
    ascending.get(rank.saturating_sub(1)).copied()
}
