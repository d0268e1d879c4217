//! `keywatch alerts redeliver` and `keywatch alerts test`: send through a channel at once, without
//! the service.

use anyhow::{Context, anyhow};

use super::acting::unknown_incident;
use super::{person, print};
use crate::alert::Alert;
use crate::casework::{self, Case};
use crate::cli::CommandError;
use crate::config::Config;
use crate::deliver::record::{DeliveryOutcome, DeliveryRow};
use crate::deliver::{DeliveryLog, OnceError, deliver_once, delivery_id, sample};
use crate::event::EventTime;
use crate::store::Store;
use crate::text::visible;
use crate::workflow::{Verdict, annotated, judge};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch alerts redeliver inc_9c0f6a1b2d3e4f5061728394 --channel webhook
  keywatch alerts redeliver inc_9c0f6a1b2d3e4f5061728394 --revision 3

The delivery has the id of the first one: a receiver that has taken it may ignore it.")]
pub struct RedeliverArgs {
    /// The incident's id
    id: String,
    /// The revision, if it is not the latest
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u32>,
    /// The channel: email, webhook, topic, or the NAME of a [channel.NAME]; without it, all of them
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// Your name, if it is not the login name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch alerts test --channel email -c keywatch.toml
  keywatch alerts test --channel oncall -c keywatch.toml

The sample concerns no key and asks for nothing. It is not stored.")]
pub struct TestArgs {
    /// The channel: email, webhook, topic, or the NAME of a [channel.NAME]
    #[arg(long, value_name = "NAME")]
    channel: String,
    /// Your name, if it is not the login name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

pub async fn test(args: &TestArgs, config: &Config) -> Result<(), CommandError> {
    let who = person::acting(args.by.as_deref())?;
    let sample = sample(&format!("{:016x}", rand::random::<u64>()), &who, EventTime::now());
    let answer = deliver_once(config, &args.channel, &sample).await.map_err(not_sent)?;
    print(&format!(
        "{}: the sample {} is delivered: {}\n",
        args.channel,
        sample.id,
        visible(&answer)
    ))
}

pub async fn redeliver(
    args: &RedeliverArgs,
    config: &Config,
    store: &Store,
) -> Result<(), CommandError> {
    let who = person::acting(args.by.as_deref())?;
    let mut cases = casework::load(store, &[&args.id]).await.map_err(anyhow::Error::from)?;
    let case = cases.remove(&args.id).ok_or_else(|| unknown_incident(&args.id))?;
    let alert = chosen(&case, args.revision)?;
    let channels = match &args.channel {
        Some(name) => vec![name.as_str()],
        None => config.channel_names(),
    };
    if channels.is_empty() {
        return Err(usage(
            "no channel is configured: set [email], [webhook], [channel.NAME] or [alerts_topic]",
        ));
    }
    for channel in channels {
        send_again(config, store, channel, &alert, &who).await?;
    }
    Ok(())
}

/// The revision, with the state of its incident.
pub(super) fn chosen(case: &Case, revision: Option<u32>) -> Result<Alert, CommandError> {
    let wanted = revision.unwrap_or(case.latest().revision);
    let found = case.revisions.iter().find(|alert| alert.revision == wanted);
    let alert = found.ok_or_else(|| {
        let known: Vec<_> = case.revisions.iter().map(|it| it.revision.to_string()).collect();
        anyhow!("there is no revision {wanted}; the incident has {}", known.join(", "))
    })?;
    let standing = &case.course.standing;
    if let Verdict::Withdraw(closing) = judge(standing, alert) {
        let id = visible(&alert.id);
        let sentence = visible(&format!(
            "this revision asks for an action on the key, and the incident was {closing}; `keywatch \
             alerts reopen {id}` comes first"
        ));
        return Err(anyhow!(sentence).into());
    }
    if let Some(deadline) = alert.handling.deadline.filter(|it| *it < EventTime::now()) {
        let sentence = format!(
            "this revision asks to {} the key until {deadline}, which is past: tell the service that \
             holds your keys by hand",
            alert.action
        );
        return Err(anyhow!(sentence).into());
    }
    Ok(annotated(standing, alert))
}

/// Sends the alert and records the attempt as the service does.
pub(super) async fn send_again(
    config: &Config,
    store: &Store,
    channel: &str,
    alert: &Alert,
    who: &str,
) -> Result<(), CommandError> {
    let attempt = store.attempts(channel, alert).await.map_err(anyhow::Error::from)? + 1;
    let sent = deliver_once(config, channel, alert).await;
    let (outcome, answer) = match &sent {
        Ok(answer) => (DeliveryOutcome::Delivered, answer.clone()),
        Err(OnceError::Delivery(reason)) => (DeliveryOutcome::Failed, reason.to_string()),
        // Nothing was attempted.
        Err(_) => return sent.map(drop).map_err(not_sent),
    };
    let row = DeliveryRow {
        alert_id: alert.id.clone(),
        revision: alert.revision,
        channel: channel.to_owned(),
        attempt,
        outcome,
        detail: format!("sent again by {who}: {answer}"),
        time: EventTime::now(),
        webhook_id: delivery_id(alert),
    };
    store.record_delivery(&row).await.context("the attempt could not be recorded")?;
    sent.map_err(not_sent)?;
    let revision = alert.revision;
    print(&format!("{channel}: revision {revision} is delivered: {}\n", visible(&answer)))
}

fn not_sent(error: OnceError) -> CommandError {
    match error {
        OnceError::Delivery(_) => anyhow!("not delivered: {error}").into(),
        OnceError::Unknown { .. } | OnceError::Channel(_) => CommandError::Usage(error.into()),
    }
}

fn usage(sentence: &str) -> CommandError {
    CommandError::Usage(anyhow!(sentence.to_owned()))
}
