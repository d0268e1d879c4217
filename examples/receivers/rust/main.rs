//! Receives Keywatch's webhooks, and suspends or revokes keys in a key store. It does what
//! `python/receiver.py` does, except that it cannot sign requests to AWS.
//!
//! ```sh
//! KEYWATCH_WEBHOOK_SECRET=whsec_... STORE_TOKEN=... cargo run --no-default-features --example receiver -- \
//!     --recipe examples/receivers/recipes/unkey.json --journal receiver.jsonl
//! ```

mod journal;
mod recipe;
mod signature;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use clap::Parser;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use self::journal::{Entry, Journal};
use self::recipe::{Fault, Recipe};
use self::signature::Secrets;

const MOST_BYTES: usize = 1 << 20;

#[derive(Parser)]
pub struct Args {
    #[arg(long)]
    pub recipe: PathBuf,
    #[arg(long)]
    pub journal: PathBuf,
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub listen: String,
    /// The address of the key store, if it is not the recipe's.
    #[arg(long)]
    pub store: Option<String>,
    /// Seconds between two looks for suspensions that have ended.
    #[arg(long, default_value_t = 5.0)]
    pub lift_every: f64,
    #[arg(long, env = "KEYWATCH_WEBHOOK_SECRET", hide_env_values = true)]
    pub secret: String,
    #[arg(long, env = "STORE_TOKEN", hide_env_values = true, default_value = "")]
    pub token: String,
}

struct Receiver {
    secrets: Secrets,
    recipe: Recipe,
    /// Held while a key is changed: two messages about one key never overtake each other.
    journal: Mutex<Journal>,
}

/// The part of an alert that a receiver needs.
#[derive(Deserialize)]
struct Alert {
    #[serde(rename = "type")]
    kind: String,
    key_id: Option<String>,
    /// A message that does not say so is taken for a dry run.
    dry_run: Option<bool>,
    deadline: Option<jiff::Timestamp>,
    suspend_until: Option<jiff::Timestamp>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let listener = TcpListener::bind(&args.listen).await.context("cannot listen")?;
    anstream::eprintln!("listening on {}", listener.local_addr()?);
    serve(args, listener).await
}

pub async fn serve(args: Args, listener: TcpListener) -> anyhow::Result<()> {
    // Fails when a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let receiver = Arc::new(Receiver {
        secrets: Secrets::read(&args.secret)?,
        recipe: Recipe::read(&args.recipe, args.store, args.token)?,
        journal: Mutex::new(Journal::open(&args.journal)?),
    });
    let router = Router::new()
        .fallback(post(receive))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(Arc::clone(&receiver));
    let every = Duration::from_secs_f64(args.lift_every);
    let lifting = async {
        loop {
            tokio::time::sleep(every).await;
            receiver.lift().await;
        }
    };
    tokio::select! {
        served = axum::serve(listener, router) => Ok(served?),
        () = lifting => Ok(()),
    }
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !receiver.secrets.accept(&headers, &body, now()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Ok(alert) = serde_json::from_slice::<Alert>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let (action, word) = match alert.kind.as_str() {
        "key.revocation_requested" => ("revoke", "revoked"),
        "key.suspension_requested" => ("suspend", "suspended"),
        // An alert, which asks for nothing.
        _ => return StatusCode::NO_CONTENT.into_response(),
    };
    // `accept` has seen the id.
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let id = id.to_owned();
    // A task of its own: what was begun is finished although the sender hangs up.
    let work = async move {
        let answer = receiver.answer(&id, &alert, action, word).await;
        answer.inspect_err(|error| anstream::eprintln!("{id}: {error:#}"))
    };
    match tokio::spawn(work).await {
        Ok(Ok(word)) => format!(r#"{{"status": "{word}"}}"#).into_response(),
        // Keywatch sends it again, under the same id.
        Ok(Err(_)) | Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

impl Receiver {
    async fn answer(
        &self,
        id: &str,
        alert: &Alert,
        action: &str,
        word: &str,
    ) -> anyhow::Result<String> {
        let mut journal = self.journal.lock().await;
        if let Some(word) = journal.answer(id) {
            return Ok(word.to_owned());
        }
        // A path may not lead out of the folder of keys.
        let key = alert.key_id.as_deref().filter(|key| !key.trim_matches('.').is_empty());
        // What was begun may be done: the store is asked again, so that the answer is true.
        let was_begun = journal.was_begun(id);
        let is_late = !was_begun && alert.deadline.is_some_and(|at| at.as_second() < now());
        let is_real = alert.dry_run == Some(false);
        let key = match key {
            Some(key) if is_real && !is_late && self.recipe.can(action) => key,
            _ => return settle(&mut journal, id, alert.key_id.as_deref(), "refused"),
        };
        if action == "suspend" && journal.is_revoked(key) {
            return settle(&mut journal, id, Some(key), "revoked");
        }
        let may_be_deleted = action == "revoke" && (was_begun || journal.is_revoked(key));
        let until = alert.suspend_until.filter(|_| action == "suspend");
        journal.add(&Entry::begin(id, key, until.map(jiff::Timestamp::as_second)))?;
        match self.recipe.run(action, key).await {
            Ok(()) => settle(&mut journal, id, Some(key), word),
            // An earlier attempt, whose answer was lost, may have deleted the key.
            Err(Fault::Unknown) if may_be_deleted => settle(&mut journal, id, Some(key), word),
            Err(Fault::Unknown) => settle(&mut journal, id, Some(key), "unknown_key"),
            Err(Fault::Failed(error)) => Err(error),
        }
    }

    /// Resumes the keys whose suspension has ended. A revoked key is not among them.
    async fn lift(&self) {
        let mut journal = self.journal.lock().await;
        for key in journal.ended(now()) {
            match self.recipe.run("resume", &key).await {
                Ok(()) | Err(Fault::Unknown) => {
                    if let Err(error) = journal.add(&Entry::resumed(&key)) {
                        anstream::eprintln!("key {key:?}: {error:#}");
                    }
                }
                Err(Fault::Failed(error)) => {
                    anstream::eprintln!("key {key:?} stays suspended for now: {error:#}");
                }
            }
        }
    }
}

fn settle(
    journal: &mut Journal,
    id: &str,
    key: Option<&str>,
    word: &str,
) -> anyhow::Result<String> {
    journal.add(&Entry::settled(id, key.unwrap_or_default(), word))?;
    anstream::eprintln!("{id}: key {key:?} {word}");
    Ok(word.to_owned())
}

/// Seconds since the epoch.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
