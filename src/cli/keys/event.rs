//! `keywatch keys event`.

use std::sync::Arc;

use anyhow::anyhow;

use super::{keys_of_file, usage};
use crate::cli::CommandError;
use crate::cli::alerts::{person, print};
use crate::cli::moment::{moment, seconds};
use crate::config::Config;
use crate::event::{EventTime, KeyId};
use crate::keys::Taking;
use crate::registry::{
    Entry, KeyEvent, KeyEventKind, Refused, RegisteredKey, Repeats, Row, Step, Told,
};
use crate::store::{Author, Store};
use crate::text::visible;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch keys event ak_123 rotated --to ak_124 --grace 7d
  keywatch keys event ak_123 revoked -m 'the laptop is lost'
  keywatch keys event ak_123 secret_read --at 2026-03-14T02:47:00Z
  keywatch keys event ak_123 answered -m 'the owner says it was a deploy'

The kinds issued, rotated, suspended, resumed and revoked change the registration; scope_changed,
secret_read and answered are only recorded. `keywatch keys leaked` records leaks.")]
pub struct Args {
    key: String,
    /// issued, rotated, scope_changed, suspended, resumed, revoked, secret_read or answered
    #[arg(value_parser = kind)]
    kind: KeyEventKind,
    /// For a rotation: the key that replaces this one
    #[arg(long, value_name = "KEY")]
    to: Option<String>,
    /// For a rotation: for so long both keys are valid (30m, 24h, 7d)
    #[arg(long, value_name = "TIME", value_parser = after)]
    grace: Option<f64>,
    /// When it happened, if it is not now: a time, or a duration before now
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<EventTime>,
    /// A comment
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Your name, if it is not the login name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

fn kind(text: &str) -> Result<KeyEventKind, String> {
    use KeyEventKind::{Changed, Leaked};
    let known = KeyEventKind::named(text).filter(|kind| !matches!(kind, Leaked | Changed));
    known.ok_or_else(|| {
        "give issued, rotated, scope_changed, suspended, resumed, revoked, secret_read or answered"
            .to_owned()
    })
}

/// Seconds of a duration such as `7d`.
fn after(text: &str) -> Result<f64, String> {
    seconds(text).ok_or_else(|| "give a duration, such as 30m, 24h or 7d".to_owned())
}

pub async fn run(args: &Args, config: &Config, store: &Arc<Store>) -> Result<(), CommandError> {
    let who = person::acting(args.by.as_deref())?;
    let step = step(args)?;
    let text = args.message.as_deref().map(person::message).transpose().map_err(usage)?;
    let key_id = KeyId::new(&args.key);
    let event = KeyEvent {
        text: text.unwrap_or_default(),
        ..KeyEvent::new(key_id.clone(), args.kind, step.time)
    };
    let row = Ok(Row::Event(Box::new(Told { event, step })));
    let author = Author { who: &who, origin: "command_line" };
    let taking = Taking::new(Arc::clone(store));
    let entries = [Entry { number: 1, row }];
    let import = taking.take(&entries, Repeats::Follow, author).await;
    let import = import.map_err(anyhow::Error::from)?;
    if let Some(Refused { reason, .. }) = import.refused.first() {
        let key = visible(&args.key);
        return Err(CommandError::Failure(anyhow!("{key}: {reason}")));
    }
    let (_, known) = store.registration(&args.key).await.map_err(anyhow::Error::from)?;
    tell(args, config, &known.unwrap_or_default())
}

fn step(args: &Args) -> Result<Step, CommandError> {
    let is_rotation = args.kind == KeyEventKind::Rotated;
    if is_rotation != args.to.is_some() || (args.grace.is_some() && !is_rotation) {
        let sentence = "a rotation needs --to KEY, the key that replaces this one, and may have \
                        --grace; other events have neither";
        return Err(usage(sentence.to_owned()));
    }
    let now = EventTime::now();
    let time = args.at.unwrap_or(now);
    if time > now {
        return Err(usage("--at: an event is recorded when it has happened".to_owned()));
    }
    let grace_ends_at = time.plus_seconds(args.grace.unwrap_or_default());
    Ok(Step { kind: args.kind, time, to: args.to.as_deref().map(KeyId::new), grace_ends_at })
}

fn tell(args: &Args, config: &Config, key: &RegisteredKey) -> Result<(), CommandError> {
    if keys_of_file(config)?.contains(&key.key_id) {
        anstream::eprintln!(
            "the key is in detect.registry_file too, where it counts as that file says"
        );
    }
    let (id, kind) = (visible(&args.key), args.kind.as_str());
    print(&format!("{id}: {kind} is recorded; its status is {}\n", key.status.as_str()))
}
