//! Knows the accounts and sessions in ClickHouse, and recognises requests by them.
//!
//! What is known is at most a second old. While ClickHouse is away, accounts and sessions count as
//! they were last known: nothing can be changed then, and pages show what they last knew.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::timeout;
use tracing::warn;

use super::account::{Account, Kind, Role};
use super::secret::{digest, form_token};
use super::throttle::Throttle;
use crate::event::EventTime;
use crate::store::{SessionRow, Store, StoreError, UseRow};

/// A session ends after half a day, whatever happens in it.
pub const SESSION_SECONDS: u32 = 12 * 3_600;
const FRESH: Duration = Duration::from_secs(1);
/// A cookie or token that is not known may be new; it causes at most ten queries a second.
const FRESH_FOR_STRANGERS: Duration = Duration::from_millis(100);
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// The use of a token is stored at most this often.
const NOTE_EVERY: Duration = Duration::from_secs(600);

/// The accounts were never read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the accounts cannot be read: {0}")]
pub struct Unknown(Arc<str>);

/// How a request proves its account. Holds hashes only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pass {
    Session(String),
    Token(String),
}

/// A request of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    pub name: String,
    pub role: Role,
    pub pass: Pass,
    /// What the forms of the session carry; empty for a token, which needs none.
    pub form_token: String,
}

#[derive(Default)]
pub(super) struct Snapshot {
    accounts: HashMap<String, Account>,
    sessions: HashMap<String, SessionRow>,
    /// Whether anybody has an account, also one whose role only a newer version knows.
    has_accounts: bool,
}

#[derive(Default)]
struct Known {
    snapshot: Option<Result<Arc<Snapshot>, Unknown>>,
    /// When the last reading began.
    read: Option<Instant>,
}

pub struct Directory {
    pub(super) store: Store,
    known: Mutex<Known>,
    /// Held while somebody reads, so that many requests cause one query.
    reading: tokio::sync::Mutex<()>,
    pub(super) throttle: Mutex<Throttle>,
    noted: Mutex<HashMap<String, Instant>>,
}

impl Directory {
    /// Opens no connection.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            known: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            throttle: Mutex::default(),
            noted: Mutex::default(),
        }
    }

    /// Whether anybody has an account.
    ///
    /// # Errors
    /// [`Unknown`].
    pub async fn is_empty(&self) -> Result<bool, Unknown> {
        Ok(!self.snapshot(FRESH).await?.has_accounts)
    }

    /// The visit of the session with this cookie.
    ///
    /// # Errors
    /// [`Unknown`].
    pub async fn by_cookie(&self, cookie: &str) -> Result<Option<Visit>, Unknown> {
        let pass = Pass::Session(digest(cookie));
        let account = self.account_of(&pass).await?;
        Ok(account.map(|account| visit(account, pass, form_token(cookie))))
    }

    /// The visit of the program with this token.
    ///
    /// # Errors
    /// [`Unknown`].
    pub async fn by_token(&self, token: &str) -> Result<Option<Visit>, Unknown> {
        let pass = Pass::Token(digest(token));
        let Some(account) = self.account_of(&pass).await? else { return Ok(None) };
        self.note(&account);
        Ok(Some(visit(account, pass, String::new())))
    }

    /// Whether this pass still admits to what needs no role; without one, whether nobody has an
    /// account.
    pub async fn still_admits(&self, pass: Option<&Pass>) -> bool {
        match (self.snapshot(FRESH).await, pass) {
            (Ok(snapshot), Some(pass)) => snapshot.holder(pass, EventTime::now()).is_some(),
            (Ok(snapshot), None) => !snapshot.has_accounts,
            (Err(_), _) => false,
        }
    }

    /// Ends the session of this visit.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn logout(&self, visit: &Visit) -> Result<(), StoreError> {
        let Pass::Session(session) = &visit.pass else { return Ok(()) };
        let row = UseRow { name: &visit.name, account: "", session, kind: "logout" };
        self.store.record_use(row).await?;
        self.forget().await;
        Ok(())
    }

    /// Makes the next request read again.
    pub(super) async fn forget(&self) {
        // A reading in progress may have begun before the change.
        let _reading = self.reading.lock().await;
        self.known.lock().read = None;
    }

    async fn account_of(&self, pass: &Pass) -> Result<Option<Account>, Unknown> {
        let now = EventTime::now();
        if let Some(account) = self.snapshot(FRESH).await?.holder(pass, now) {
            return Ok(Some(account.clone()));
        }
        Ok(self.snapshot(FRESH_FOR_STRANGERS).await?.holder(pass, now).cloned())
    }

    /// What is known, at most as old as `age`. Of many who ask at once for the newest, one reads:
    /// a reading that began after somebody asked is new enough for all who waited.
    pub(super) async fn snapshot(&self, age: Duration) -> Result<Arc<Snapshot>, Unknown> {
        let since = Instant::now().checked_sub(age);
        if let Some(known) = self.read_since(since) {
            return known;
        }
        let _reading = self.reading.lock().await;
        if let Some(known) = self.read_since(since) {
            return known;
        }
        let began = Instant::now();
        let read = timeout(READ_TIMEOUT, read(&self.store)).await;
        let mut known = self.known.lock();
        known.read = Some(began);
        let reason = match read {
            Ok(Ok(snapshot)) => {
                known.snapshot = Some(Ok(Arc::new(snapshot)));
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("ClickHouse does not answer".to_owned()),
        };
        // What was known before stays.
        let unknown = || Unknown(reason.unwrap_or_default().into());
        known.snapshot.get_or_insert_with(|| Err(unknown())).clone()
    }

    /// The result of the last reading, if it began at `since` or later.
    fn read_since(&self, since: Option<Instant>) -> Option<Result<Arc<Snapshot>, Unknown>> {
        let known = self.known.lock();
        known.read.filter(|read| since.is_none_or(|since| *read >= since))?;
        known.snapshot.clone()
    }

    /// Stores that a token is in use, so that unused ones can be found.
    fn note(&self, account: &Account) {
        let mut noted = self.noted.lock();
        if noted.get(&account.id).is_some_and(|at| at.elapsed() < NOTE_EVERY) {
            return;
        }
        noted.insert(account.id.clone(), Instant::now());
        let (store, account) = (self.store.clone(), account.clone());
        tokio::spawn(async move {
            let row =
                UseRow { name: &account.name, account: &account.id, session: "", kind: "use" };
            if let Err(error) = store.record_use(row).await {
                warn!(%error, "the use of a token could not be stored");
            }
        });
    }
}

impl Snapshot {
    /// The person with this name.
    pub(super) fn person(&self, name: &str) -> Option<&Account> {
        let mut people = self.accounts.values().filter(|account| account.kind == Kind::Person);
        people.find(|account| account.name == name)
    }

    /// The account that this pass proves. Hashes of random texts may be compared in any time.
    fn holder(&self, pass: &Pass, now: EventTime) -> Option<&Account> {
        match pass {
            Pass::Session(session) => {
                let session = self.sessions.get(session)?;
                let age = now.seconds_since(EventTime::from_micros(session.began));
                let account = self.accounts.get(&session.account)?;
                (age < f64::from(SESSION_SECONDS)).then_some(account)
            }
            Pass::Token(token) => {
                let mut programs = self.accounts.values().filter(|it| it.kind == Kind::Program);
                programs.find(|account| account.secret == *token)
            }
        }
    }
}

async fn read(store: &Store) -> Result<Snapshot, StoreError> {
    let (accounts, sessions) = tokio::try_join!(store.accounts(), store.sessions(SESSION_SECONDS))?;
    let has_accounts = accounts.iter().any(|row| !row.role.is_empty());
    let accounts = accounts.into_iter().filter_map(Account::read);
    Ok(Snapshot {
        has_accounts,
        accounts: accounts.map(|account| (account.id.clone(), account)).collect(),
        sessions: sessions.into_iter().map(|row| (row.session.clone(), row)).collect(),
    })
}

fn visit(account: Account, pass: Pass, form_token: String) -> Visit {
    Visit { name: account.name, role: account.role, pass, form_token }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn account(id: &str, kind: Kind, secret: &str) -> Account {
        Account {
            name: "alice".into(),
            id: id.into(),
            kind,
            role: Role::Viewer,
            secret: secret.into(),
            since: EventTime::default(),
        }
    }

    fn snapshot(accounts: &[Account], session_of: &str) -> Snapshot {
        let row = SessionRow { session: "s".into(), account: session_of.into(), began: 0 };
        Snapshot {
            has_accounts: true,
            accounts: accounts.iter().map(|it| (it.id.clone(), it.clone())).collect(),
            sessions: HashMap::from([("s".to_owned(), row)]),
        }
    }

    #[test]
    fn a_session_ends_with_its_time_and_with_a_change_of_its_account() {
        let known = snapshot(&[account("new", Kind::Person, "x")], "new");
        let session = Pass::Session("s".into());
        let hour = |hours: i64| EventTime::from_seconds(hours * 3_600);
        assert!(known.holder(&session, hour(11)).is_some());
        assert!(known.holder(&session, hour(12)).is_none());
        let changed = snapshot(&[account("new", Kind::Person, "x")], "old");
        assert!(changed.holder(&session, hour(1)).is_none());
    }

    #[test]
    fn a_hash_of_a_password_is_no_token() {
        let token = Pass::Token("x".into());
        let now = EventTime::default();
        assert!(snapshot(&[account("a", Kind::Person, "x")], "").holder(&token, now).is_none());
        assert!(snapshot(&[account("a", Kind::Program, "x")], "").holder(&token, now).is_some());
    }

    #[tokio::test]
    async fn without_clickhouse_nobody_is_known_and_nothing_is_open() {
        let config = crate::config::ClickHouseConfig {
            url: "http://127.0.0.1:9".into(),
            ..Default::default()
        };
        let directory = Directory::new(Store::new(&config));
        assert!(directory.is_empty().await.is_err());
        assert!(directory.by_token("x").await.is_err());
        assert!(!directory.still_admits(None).await);
    }
}
