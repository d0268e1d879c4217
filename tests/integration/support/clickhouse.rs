//! Starts one embedded ClickHouse for all tests that run at the same time, with a database for
//! each.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use keywatch::config::ClickHouseConfig;
use keywatch::embedded::{Credentials, Embedded, USER};
use keywatch::store::Store;
use tempfile::TempDir;
use tokio::sync::Mutex;

/// The binary that runs the ClickHouse process.
pub fn keywatch_binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_keywatch"))
}

struct Shared {
    // Stands before the directory, because fields are dropped in order.
    server: Embedded,
    _directory: TempDir,
}

static SHARED: Mutex<Weak<Shared>> = Mutex::const_new(Weak::new());
static NEXT_DATABASE: AtomicU32 = AtomicU32::new(1);

/// A migrated database for one test, on the shared server.
pub struct TestDatabase {
    pub config: ClickHouseConfig,
    pub store: Store,
    _shared: Arc<Shared>,
}

/// Starts the server if no other test uses it.
pub async fn database() -> TestDatabase {
    let database = unmigrated().await;
    database.store.migrate().await.unwrap();
    database
}

/// Like [`database`], without tables.
pub async fn unmigrated() -> TestDatabase {
    let shared = shared().await;
    let number = NEXT_DATABASE.fetch_add(1, Ordering::Relaxed);
    let config = ClickHouseConfig { database: format!("test_{number}"), ..shared.server.config() };
    TestDatabase { store: Store::new(&config), config, _shared: shared }
}

async fn shared() -> Arc<Shared> {
    let mut slot = SHARED.lock().await;
    if let Some(shared) = slot.upgrade() {
        return shared;
    }
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path(), None).await;
    let shared = Arc::new(Shared { server, _directory: directory });
    *slot = Arc::downgrade(&shared);
    shared
}

/// A server for one test, which may kill and restart it.
pub async fn start(path: &Path, port: Option<u16>) -> Embedded {
    Embedded::start_with(keywatch_binary(), path, port).await.unwrap()
}

/// The log-in of a server that has its data in `path`, also before its start.
pub fn credentials(path: &Path) -> ClickHouseConfig {
    let password = Credentials::prepare(path).unwrap().password;
    ClickHouseConfig { user: USER.into(), password, ..Default::default() }
}

/// The variables with which a command finds the database.
pub fn environment(config: &ClickHouseConfig) -> [(&'static str, &str); 4] {
    [
        ("KEYWATCH__CLICKHOUSE__URL", &config.url),
        ("KEYWATCH__CLICKHOUSE__DATABASE", &config.database),
        ("KEYWATCH__CLICKHOUSE__USER", &config.user),
        ("KEYWATCH__CLICKHOUSE__PASSWORD", config.password.reveal()),
    ]
}

/// A client for what the store has no function for.
pub fn client(config: &ClickHouseConfig) -> clickhouse::Client {
    clickhouse::Client::default()
        .with_url(&config.url)
        .with_user(&config.user)
        .with_password(config.password.reveal())
        .with_database(&config.database)
}

/// All values of a result, one line for each row, values separated by spaces.
pub async fn lines(store: &Store, sql: &str) -> Vec<String> {
    let table = store.query_table(sql, &[]).await.unwrap();
    table.rows.iter().map(|row| row.join(" ")).collect()
}
