//! `keywatch alerts suppress` and `keywatch alerts suppressions`.

use anyhow::{Context, anyhow};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::json;

use super::acting::unknown_incident;
use super::{filter, person, print};
use crate::alert::DetectorId;
use crate::casework::{NoSuppression, Preview, Wish};
use crate::cli::CommandError;
use crate::cli::moment::ahead;
use crate::event::EventTime;
use crate::store::Store;
use crate::text::{counted, visible, visible_json};
use crate::workflow::{Scope, Suppression};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch alerts suppress inc_9c0f6a1b2d3e4f5061728394 --until 14d -m 'new data centre'
  keywatch alerts suppress --detector geo.impossible_travel --cidr 192.0.2.0/24 --until 2027-01-01 -m VPN
  keywatch alerts suppress --tenant acme --from 2026-12-01T22:00:00Z --until 2026-12-02 -m 'load test'

Without --yes it only tells what it would have hidden in the last 90 days. An alert is hidden if each
item of its evidence is suppressed. Critical alerts are not hidden, unless --critical says so. Without
--detector it is a maintenance window of keys or tenants.")]
pub struct SuppressArgs {
    /// The incident whose evidence is suppressed, for its key or its address
    #[arg(value_name = "ID")]
    id: Option<String>,
    #[arg(long, value_delimiter = ',', value_parser = filter::detector, value_name = "DETECTOR")]
    detector: Vec<DetectorId>,
    #[arg(long, value_delimiter = ',', value_name = "KEY_ID")]
    key: Vec<String>,
    #[arg(long, value_delimiter = ',', value_name = "TENANT")]
    tenant: Vec<String>,
    /// The network (AS) of the request behind the evidence
    #[arg(long, value_name = "NUMBER")]
    asn: Option<u32>,
    /// The addresses of the request behind the evidence
    #[arg(long, value_name = "CIDR")]
    cidr: Option<IpNet>,
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// The beginning, if it is not now: a time
    #[arg(long, value_parser = ahead, value_name = "TIME")]
    from: Option<EventTime>,
    /// The end: a time (2027-01-01, 2026-12-01T22:00:00Z) or a duration from now (8h, 14d)
    #[arg(long, value_parser = ahead, value_name = "TIME")]
    until: EventTime,
    /// Hide critical alerts too
    #[arg(long)]
    critical: bool,
    /// The reason
    #[arg(short, long, value_name = "TEXT")]
    message: String,
    /// Do it
    #[arg(long)]
    yes: bool,
    /// Your name, if it is not the login name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub struct SuppressionsArgs {
    #[command(subcommand)]
    action: Option<SuppressionsAction>,
}

#[derive(clap::Subcommand)]
enum SuppressionsAction {
    /// List suppressions and maintenance windows, with what they have hidden
    List {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// End one before its time
    End {
        /// The id, as `suppressions list` shows it
        id: String,
        /// The reason
        #[arg(short, long, value_name = "TEXT", default_value = "")]
        message: String,
        /// Your name, if it is not the login name
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
}

pub async fn suppress(args: &SuppressArgs, store: &Store) -> Result<(), CommandError> {
    let suppression = args.suppression(store).await?;
    let preview = Preview::of(&suppression, store).await.map_err(anyhow::Error::from)?;
    if args.json {
        print(&(visible_json(&preview.as_json(&suppression, args.yes).to_string()) + "\n"))?;
    } else {
        print(&preview.in_words(&suppression, "--critical"))?;
    }
    if !args.yes {
        let sentence = "nothing was changed: repeat the command with --yes";
        return Err(CommandError::Usage(anyhow!(sentence)));
    }
    store.begin_suppression(&suppression).await.context("the suppression could not be stored")?;
    if args.json {
        return Ok(());
    }
    let (id, from, until) = (&suppression.id, suppression.from, suppression.until);
    print(&format!(
        "{id}: suppressed from {from} until {until}; `keywatch alerts suppressions end {id}` ends it\n"
    ))
}

impl SuppressArgs {
    async fn suppression(&self, store: &Store) -> Result<Suppression, CommandError> {
        let who = person::acting(self.by.as_deref())?;
        let note = person::message(&self.message).map_err(usage)?;
        let scope = Scope {
            detectors: self.detector.clone(),
            keys: self.key.clone(),
            tenants: self.tenant.clone(),
            asn: self.asn,
            cidr: self.cidr,
            route: self.route.clone(),
        };
        let (id, from, until) = (self.id.clone(), self.from, self.until);
        let wish = Wish { id, scope, from, until, hides_critical: self.critical, note, who };
        wish.suppression(store).await.map_err(|error| match error {
            NoSuppression::Unknown(id) => unknown_incident(&id),
            NoSuppression::Until => usage(format!("--until {error}")),
            NoSuppression::Unbounded => usage(error.to_string()),
            NoSuppression::Store(error) => anyhow::Error::from(error).into(),
        })
    }
}

/// Counts what each suppression has hidden. The detail of such a delivery begins with the suppression's id.
const HIDDEN: &str = "SELECT splitByChar(' ', detail)[1] AS id, uniqExact(alert_id) AS incidents, \
    uniqExact(alert_id, revision) AS revisions FROM deliveries WHERE outcome = 'suppressed' GROUP BY id";

#[derive(Deserialize)]
struct Hidden {
    id: String,
    incidents: u64,
    revisions: u64,
}

pub async fn suppressions(args: &SuppressionsArgs, store: &Store) -> Result<(), CommandError> {
    match &args.action {
        None => list(false, store).await,
        Some(SuppressionsAction::List { json }) => list(*json, store).await,
        Some(SuppressionsAction::End { id, message, by }) => {
            end(id, message, by.as_deref(), store).await
        }
    }
}

async fn list(as_json: bool, store: &Store) -> Result<(), CommandError> {
    let all = store.suppressions().await.map_err(anyhow::Error::from)?;
    let hidden: Vec<Hidden> = store.query_rows(HIDDEN, &[]).await.map_err(anyhow::Error::from)?;
    let now = EventTime::now();
    let mut text = String::new();
    for it in &all {
        let count = hidden.iter().find(|hidden| hidden.id == it.id);
        let (incidents, revisions) = count.map_or((0, 0), |it| (it.incidents, it.revisions));
        if as_json {
            let json = json!({
                "suppression": it, "state": state(it, now), "incidents": incidents,
                "revisions": revisions,
            });
            text += &(visible_json(&json.to_string()) + "\n");
            continue;
        }
        let ended = it.ended.as_ref().map(|(at, who)| format!(", ended by {who} at {at}"));
        let line = format!(
            "{} ({}): {}{}\n  from {} until {} by {}{}: {}\n  it has hidden {} in {}",
            it.id,
            state(it, now),
            it.scope,
            if it.hides_critical { ", critical too" } else { "" },
            it.from,
            it.until,
            it.who,
            ended.unwrap_or_default(),
            it.note.replace('\n', " "),
            counted(revisions as usize, "revision"),
            counted(incidents as usize, "incident"),
        );
        text += &line.lines().map(|line| visible(line) + "\n").collect::<String>();
    }
    if all.is_empty() && !as_json {
        text = "Nothing is suppressed.\n".to_owned();
    }
    print(&text)
}

fn state(suppression: &Suppression, now: EventTime) -> &'static str {
    match suppression {
        it if it.is_active(now) => "active",
        it if it.ended.is_none() && it.from > now => "to come",
        _ => "over",
    }
}

async fn end(id: &str, note: &str, by: Option<&str>, store: &Store) -> Result<(), CommandError> {
    let who = person::acting(by)?;
    let known = store.suppressions().await.map_err(anyhow::Error::from)?;
    let id_shown = visible(id);
    let Some(suppression) = known.iter().find(|it| it.id == id) else {
        let sentence = format!(
            "no suppression has the id {id_shown}; `keywatch alerts suppressions list` names all"
        );
        return Err(anyhow!(sentence).into());
    };
    if let Some((at, other)) = &suppression.ended {
        return Err(anyhow!("{id_shown} was ended by {} at {at}", visible(other)).into());
    }
    if suppression.until <= EventTime::now() {
        return Err(anyhow!("{id_shown} was over at {}", suppression.until).into());
    }
    store.end_suppression(suppression, &who, note).await.context("the end could not be stored")?;
    print(&format!("{id_shown}: ended; what it hid stays stored, and is not sent\n"))
}

fn usage(sentence: String) -> CommandError {
    CommandError::Usage(anyhow!(sentence))
}
