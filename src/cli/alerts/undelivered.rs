//! `keywatch alerts undelivered`: dead letters, and what waits for another attempt.

use anyhow::anyhow;
use comfy_table::ColumnConstraint;
use serde::{Deserialize, Serialize};

use super::{person, print, sending};
use crate::casework;
use crate::cli::moment::moment;
use crate::cli::{CommandError, listing};
use crate::config::Config;
use crate::event::EventTime;
use crate::store::Store;
use crate::text::{count, counted, plural, visible, visible_json, visible_within};

/// Letters that are read at once: the limit of the query.
const MOST: usize = 10_000;

/// The last attempt at each revision that was not delivered.
const UNDELIVERED: &str = "SELECT alert_id AS id, revision, channel, \
        argMax(deliveries.outcome, (time, attempt)) AS last, \
        argMax(deliveries.detail, (time, attempt)) AS detail, max(attempt) AS attempts, \
        formatDateTime(max(time), '%Y-%m-%d %H:%i:%S') AS at \
    FROM deliveries FINAL \
    WHERE time >= fromUnixTimestamp64Micro({since:Int64}) \
        AND ({channel:String} = '' OR channel = {channel:String}) \
    GROUP BY id, revision, channel \
    HAVING last IN ('gave_up', 'failed') \
    ORDER BY at DESC, id, revision, channel LIMIT 10000";

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch alerts undelivered
  keywatch alerts undelivered --channel oncall --since 24h --json
  keywatch alerts undelivered --channel oncall --send

The service tries a failed delivery again for three days. What was given up it does not try again:
--send does, each under the id of its first delivery.")]
pub struct Args {
    /// Only this channel
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// Attempts since then: a time, or a duration before now
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = moment)]
    since: EventTime,
    /// Send again what was given up
    #[arg(long)]
    send: bool,
    /// Print one JSON object a line
    #[arg(long, conflicts_with = "send")]
    json: bool,
    /// Your name, if it is not the login name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Letter {
    id: String,
    revision: u32,
    channel: String,
    /// `gave_up`, or `failed` while it is tried again.
    #[serde(rename(deserialize = "last", serialize = "outcome"))]
    outcome: String,
    detail: String,
    attempts: u32,
    at: String,
}

pub async fn run(args: &Args, config: &Config, store: &Store) -> Result<(), CommandError> {
    let letters = load(args, store).await?;
    if letters.len() >= MOST {
        let most = count(MOST);
        anstream::eprintln!(
            "the latest {most} are taken, and there may be more; --channel names one channel"
        );
    }
    if args.send {
        return send(args, config, store, &letters).await;
    }
    print(&if args.json {
        let line = |letter| serde_json::to_string(letter).map(|json| visible_json(&json) + "\n");
        letters.iter().map(line).collect::<Result<_, _>>().map_err(anyhow::Error::from)?
    } else {
        listing::rows(|width| table(&letters, width), COLUMNS, letters.iter().map(cells))
    })
}

async fn load(args: &Args, store: &Store) -> Result<Vec<Letter>, CommandError> {
    let since = args.since.as_micros().to_string();
    let channel = args.channel.as_deref().unwrap_or_default();
    let values = [("since", since.as_str()), ("channel", channel)];
    Ok(store.query_rows(UNDELIVERED, &values).await.map_err(anyhow::Error::from)?)
}

/// Scripts rely on the order: further columns come last.
const COLUMNS: [&str; 7] =
    ["incident", "revision", "channel", "outcome", "attempts", "last", "because"];

/// Longer reasons are cut; `--json` has the whole.
const LONGEST_REASON: usize = 120;

fn cells(letter: &Letter) -> [String; 7] {
    [
        visible(&letter.id),
        letter.revision.to_string(),
        visible(&letter.channel),
        letter.outcome.clone(),
        letter.attempts.to_string(),
        letter.at.clone(),
        visible_within(&letter.detail, LONGEST_REASON),
    ]
}

/// A table of at most `width` columns.
fn table(letters: &[Letter], width: u16) -> String {
    if letters.is_empty() {
        return "Nothing is undelivered.\n".to_owned();
    }
    let header = ["incident", "channel", "outcome", "last (UTC)", "because"];
    let mut table = listing::table(header, letters.iter().map(line), &[(2, 14), (3, 12)], width);
    // An id that is copied stays whole; the reason takes what is left.
    if let Some(incident) = table.column_mut(0) {
        incident.set_constraint(ColumnConstraint::ContentWidth);
    }
    listing::text_of(&table)
}

fn line(letter: &Letter) -> [String; 5] {
    let [id, revision, channel, outcome, attempts, last, because] = cells(letter);
    let tries = plural(u64::from(letter.attempts), "attempt");
    [
        format!("{id}\nrevision {revision}"),
        channel,
        format!("{outcome}\n{attempts} {tries}"),
        last,
        because,
    ]
}

/// Goes on after a failure: one letter that its receiver refuses must not hold up the others.
async fn send(
    args: &Args,
    config: &Config,
    store: &Store,
    letters: &[Letter],
) -> Result<(), CommandError> {
    let who = person::acting(args.by.as_deref())?;
    let given_up: Vec<&Letter> = letters.iter().filter(|it| it.outcome == "gave_up").collect();
    let mut failed = 0;
    for letter in &given_up {
        if let Err(error) = send_one(letter, config, store, &who).await {
            let (CommandError::Usage(reason) | CommandError::Failure(reason)) = error;
            let (id, revision) = (visible(&letter.id), letter.revision);
            anstream::eprintln!("{id}, revision {revision}: {reason:#}");
            failed += 1;
        }
    }
    let sent = counted(given_up.len() - failed, "letter");
    match failed {
        0 => print(&format!("{sent} sent\n")),
        _ => Err(anyhow!("{sent} sent, {failed} failed").into()),
    }
}

async fn send_one(
    letter: &Letter,
    config: &Config,
    store: &Store,
    who: &str,
) -> Result<(), CommandError> {
    let mut cases = casework::load(store, &[&letter.id]).await.map_err(anyhow::Error::from)?;
    let case = cases.remove(&letter.id).ok_or_else(|| anyhow!("the incident is not stored"))?;
    let alert = sending::chosen(&case, Some(letter.revision))?;
    sending::send_again(config, store, &letter.channel, &alert, who).await
}
