//! Shows people what Keywatch found, and records what they do about it; streams alerts.
//!
//! ```text
//! server (connections) -> guard (who may ask) -> routes -> a page: load.rs asks ClickHouse,
//!                                                       |  view.rs renders
//!                                                       -> stream (server-sent events)
//! ```
//!
//! `guard` keeps web pages that run in a browser of this machine from reading and changing anything,
//! and asks for an account as soon as there is one. Every value that a page shows may come from an
//! attacker: `visible` is the one way of a text into a page.

mod answer;
mod api;
mod facet;
mod fleet;
mod frame;
mod guard;
mod incident;
mod incidents;
mod key;
mod known;
mod login;
mod overview;
mod owner;
mod plot;
mod policy;
mod refusal;
mod routes;
mod server;
mod sight;
mod source;
mod stream;
mod visible;
mod visitor;
mod words;

use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;

use self::known::LastKnown;
use self::stream::Feed;
use crate::access::Directory;
use crate::casework;
use crate::config::{
    Config, ConsoleConfig, DetectConfig, Findings, OnBrokenPromise, OwnerConfig, PolicyConfig,
};
use crate::http::listener::{self, ListenError};
use crate::http::{names, tls};
use crate::store::Store;
use crate::telemetry::Health;
use crate::workflow::Links;

pub use self::server::serve;

/// What the pages are made from.
pub struct Console {
    store: Store,
    health: Health,
    database: String,
    policy: PolicyConfig,
    given: sight::Given,
    detect: DetectConfig,
    on_broken_promise: OnBrokenPromise,
    known: LastKnown,
    feed: Feed,
    directory: Directory,
    /// For so long the evidence of a closed incident is kept quiet.
    quiet_seconds: u32,
    /// Where people reach it from elsewhere.
    url: Option<String>,
    /// Reads the links by which owners of keys answer; `None` if none are asked.
    owner_links: Option<Links>,
}

impl Console {
    /// Opens no connection.
    pub fn new(config: &Config, health: Health) -> Arc<Self> {
        let store = Store::new(&config.clickhouse);
        Arc::new(Self {
            health,
            database: config.clickhouse.database.clone(),
            policy: config.policy.clone(),
            given: sight::Given {
                registry_file: config.detect.registry_file.is_some(),
                behaviour: config.models.judge_behaviour,
            },
            detect: config.detect.clone(),
            on_broken_promise: config.monitor.on_broken_promise,
            known: LastKnown::default(),
            feed: Feed::new(store.clone()),
            directory: Directory::new(store.clone()),
            quiet_seconds: casework::quiet_seconds(config.policy.quiet_hours_after_close),
            url: config.console.url.clone(),
            owner_links: config.owner.as_ref().and_then(owner_links),
            store,
        })
    }
}

/// The console reads links and makes none, so it needs no address. The check of the configuration has
/// refused a secret that cannot be used.
fn owner_links(owner: &OwnerConfig) -> Option<Links> {
    Links::new(owner.secret.reveal(), "", 0.0).ok()
}

const LOOPBACK_ONLY: &str = "must be a loopback address (127.0.0.1 or [::1]), unless `console.url` says \
     by which https:// address people reach it; or use an SSH tunnel";
const NOT_A_URL: &str =
    "must be the address of the console alone, such as https://keywatch.example.com";

/// Reports settings with which the console would be open to others.
pub fn check(config: &ConsoleConfig, findings: &mut Findings) {
    findings.require(may_listen(config), "console.listen", LOOPBACK_ONLY);
    let is_origin = |url: &String| {
        names::origin(url).is_some_and(|origin| origin == url.trim_end_matches('/').to_lowercase())
    };
    findings.require(config.url.as_ref().is_none_or(is_origin), "console.url", NOT_A_URL);
    tls::check("console.tls", &config.tls, findings);
}

/// Passwords must not travel through a network in the clear.
fn may_listen(config: &ConsoleConfig) -> bool {
    let is_https = config.url.as_deref().and_then(names::origin);
    config.listen.ip().is_loopback() || is_https.is_some_and(|origin| origin.starts_with("https:"))
}

/// Binds the address of `console.listen`.
///
/// # Errors
/// When the address cannot be bound, or is one that others reach without TLS.
pub async fn bind(config: &ConsoleConfig) -> Result<TcpListener, ListenError> {
    let (key, address) = ("console.listen", config.listen);
    if !may_listen(config) {
        let reason = io::Error::new(io::ErrorKind::PermissionDenied, LOOPBACK_ONLY);
        return Err(ListenError { key, address, reason });
    }
    listener::bind(key, address).await
}
