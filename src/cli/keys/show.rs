//! `keywatch keys show`.

use std::fmt::Write;
use std::io::{self, IsTerminal};

use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cli::CommandError;
use crate::cli::alerts::print;
use crate::store::{Store, StoreError};
use crate::text::{count, visible, visible_json};

const KEY: &str = "SELECT * EXCEPT (key_hash), key_hash != '' AS has_hash FROM api_keys \
    WHERE key_id = {key:String}";
const EVENTS: &str = "SELECT kind, time, source, url, text, recorded_at, recorded_by FROM key_events \
    WHERE key_id = {key:String} ORDER BY time, number";
const USAGE: &str = "SELECT sum(usage.requests) AS requests, min(hour) AS first_used, \
    max(hour) AS last_used, uniqCombinedMerge(12)(asns) AS networks, \
    uniqCombinedMerge(12)(countries) AS countries FROM key_usage_hour AS usage \
    WHERE key_id = {key:String} HAVING requests > 0";
const PREDECESSORS: &str =
    "SELECT key_id FROM api_keys WHERE rotated_to = {key:String} ORDER BY key_id";

#[derive(clap::Args)]
#[command(after_help = "Examples:
  keywatch keys show ak_123
  keywatch keys show ak_123 --json | jq .events")]
pub struct Args {
    key: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Deserialize, Serialize)]
struct Event {
    kind: String,
    time: String,
    source: String,
    url: String,
    text: String,
    recorded_at: String,
    recorded_by: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct Usage {
    requests: u64,
    first_used: String,
    last_used: String,
    networks: u64,
    countries: u64,
}

#[derive(Deserialize)]
struct Predecessor {
    key_id: String,
}

/// Everything known of one key.
struct Key {
    facts: Option<serde_json::Map<String, serde_json::Value>>,
    events: Vec<Event>,
    usage: Option<Usage>,
    predecessors: Vec<String>,
}

pub async fn run(args: &Args, store: &Store) -> Result<(), CommandError> {
    let key = load(&args.key, store).await.map_err(anyhow::Error::from)?;
    if key.facts.is_none() && key.events.is_empty() && key.usage.is_none() {
        let key = visible(&args.key);
        return Err(CommandError::Failure(anyhow!(
            "no key is registered or was used as {key}; `keywatch keys list` shows the registered ones"
        )));
    }
    print(&if args.json || !io::stdout().is_terminal() {
        let json = json!({
            "key_id": args.key, "registration": key.facts, "usage": key.usage,
            "predecessors": key.predecessors, "events": key.events,
        });
        visible_json(&json.to_string()) + "\n"
    } else {
        in_words(&args.key, &key)
    })
}

async fn load(key: &str, store: &Store) -> Result<Key, StoreError> {
    let values = [("key", key)];
    let predecessors: Vec<Predecessor> = store.query_rows(PREDECESSORS, &values).await?;
    Ok(Key {
        facts: store.query_rows(KEY, &values).await?.pop(),
        events: store.query_rows(EVENTS, &values).await?,
        usage: store.query_rows(USAGE, &values).await?.pop(),
        predecessors: predecessors.into_iter().map(|row| row.key_id).collect(),
    })
}

/// The facts that are shown, in this order, if they are known.
const FACTS: [(&str, &str); 17] = [
    ("lifecycle", "state"),
    ("owner", "owner"),
    ("tenant", "tenant"),
    ("environment", "environment"),
    ("class", "class"),
    ("tags", "tags"),
    ("scopes", "scopes"),
    ("allowed_cidrs", "networks"),
    ("created_at", "created"),
    ("expires_at", "expires"),
    ("revoked_at", "revoked"),
    ("rotated_to", "rotated to"),
    ("grace_ends_at", "overlap ends"),
    ("is_canary", "canary"),
    ("has_hash", "raw key known"),
    ("changed_at", "changed"),
    ("changed_by", "changed by"),
];

fn in_words(id: &str, key: &Key) -> String {
    let mut text = format!("{}\n\n", visible(id));
    let mut say = |name: &str, value: &str| {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  {name:<13} {value}");
    };
    match &key.facts {
        None => say("state", "not in the registry in ClickHouse"),
        Some(facts) => {
            for (field, name) in FACTS {
                if let Some(value) = facts.get(field).and_then(shown) {
                    say(name, &value);
                }
            }
        }
    }
    if !key.predecessors.is_empty() {
        say("replaces", &visible(&key.predecessors.join(", ")));
    }
    match &key.usage {
        None => say("used", "never"),
        Some(usage) => {
            let Usage { requests, first_used, last_used, networks, countries } = usage;
            let requests = count(*requests as usize);
            say("used", &format!("{requests} requests, {first_used} to {last_used} (by hours)"));
            say("from", &format!("{networks} networks, {countries} countries"));
        }
    }
    text + "\n" + &timeline(&key.events)
}

/// A value in words; `None` for one that says nothing.
fn shown(value: &serde_json::Value) -> Option<String> {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Bool(true) => Some("yes".to_owned()),
        Value::Number(number) if number.as_u64() == Some(0) => None,
        Value::Number(number) if number.as_u64() == Some(1) => Some("yes".to_owned()),
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(visible(text)),
        Value::Array(items) if items.is_empty() => None,
        Value::Array(items) => {
            let items = items.iter().filter_map(Value::as_str);
            Some(visible(&items.collect::<Vec<_>>().join(", ")))
        }
        other => Some(visible(&other.to_string())),
    }
}

fn timeline(events: &[Event]) -> String {
    if events.is_empty() {
        return "Nothing is recorded of its life.\n".to_owned();
    }
    let mut text = String::new();
    for event in events {
        let Event { kind, time, source, url, .. } = event;
        let from = [source, url].into_iter().filter(|it| !it.is_empty());
        let from: String = from.map(|it| format!(" {it}")).collect();
        let line = format!("{kind}{from} (recorded by {})", event.recorded_by);
        let _ = writeln!(text, "{time}  {}", visible(&line));
        for line in event.text.lines() {
            let _ = writeln!(text, "    {}", visible(line));
        }
    }
    text
}
