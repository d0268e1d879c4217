//! Shows people what Keywatch found: pages that only read, and a stream of alerts.
//!
//! ```text
//! server (connections) -> guard (who may ask) -> routes -> a page: load.rs asks ClickHouse,
//!                                                       |  view.rs renders
//!                                                       -> stream (server-sent events)
//! ```
//!
//! The console knows no users, so it listens on loopback only, and `guard` keeps web pages that
//! run in a browser of this machine from reading it. Every value that it shows may come from an
//! attacker: `visible` is the one way of a text into a page.

mod answer;
mod frame;
mod guard;
mod incident;
mod incidents;
mod key;
mod known;
mod overview;
mod plot;
mod refusal;
mod routes;
mod server;
mod stream;
mod visible;
mod words;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use self::known::LastKnown;
use self::stream::Feed;
use crate::config::{Config, ConsoleConfig, Findings};
use crate::http::listener::{self, ListenError};
use crate::http::tls;
use crate::store::Store;
use crate::telemetry::Health;

pub use self::server::serve;

/// What the pages are made from.
pub struct Console {
    store: Store,
    health: Health,
    database: String,
    is_dry_run: bool,
    revocations_an_hour: u32,
    has_registry: bool,
    known: LastKnown,
    feed: Feed,
}

impl Console {
    /// Opens no connection.
    pub fn new(config: &Config, health: Health) -> Arc<Self> {
        let store = Store::new(&config.clickhouse);
        Arc::new(Self {
            health,
            database: config.clickhouse.database.clone(),
            is_dry_run: config.policy.dry_run,
            revocations_an_hour: config.policy.max_revocations_per_hour,
            has_registry: config.detect.registry_file.is_some(),
            known: LastKnown::default(),
            feed: Feed::new(store.clone()),
            store,
        })
    }
}

const LOOPBACK_ONLY: &str = "must be a loopback address (127.0.0.1 or [::1]): the console knows no users; reach it \
     from elsewhere through an SSH tunnel";

/// Reports a setting with which the console would be open to others.
pub fn check(config: &ConsoleConfig, findings: &mut Findings) {
    findings.require(config.listen.ip().is_loopback(), "console.listen", LOOPBACK_ONLY);
    tls::check("console.tls", &config.tls, findings);
}

/// Binds the address of `console.listen`.
///
/// # Errors
/// When the address cannot be bound, or is not a loopback address.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let key = "console.listen";
    if !address.ip().is_loopback() {
        let reason = io::Error::new(io::ErrorKind::PermissionDenied, LOOPBACK_ONLY);
        return Err(ListenError { key, address, reason });
    }
    listener::bind(key, address).await
}
