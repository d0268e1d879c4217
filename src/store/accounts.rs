//! Stores who may use the console and the API, and reads it back.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::event::EventTime;

/// The row that counts for a name. `time` of a row to write is that of the row before it.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountRow {
    pub name: String,
    pub id: String,
    pub kind: String,
    pub role: String,
    pub secret: String,
    pub who: String,
    pub time: EventTime,
}

/// A session that nobody has ended.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct SessionRow {
    /// SHA-256 of the cookie, in hexadecimal.
    pub session: String,
    /// The id of the account's row at the login.
    pub account: String,
    /// Microseconds since 1970.
    pub began: i64,
}

/// One use of an account.
#[derive(Clone, Copy, Debug, Row, Serialize)]
pub struct UseRow<'a> {
    pub name: &'a str,
    pub account: &'a str,
    pub session: &'a str,
    pub kind: &'a str,
}

#[derive(Clone, Row, Serialize)]
struct NewRow<'a> {
    name: &'a str,
    id: &'a str,
    kind: &'a str,
    role: &'a str,
    secret: &'a str,
    who: &'a str,
    after: i64,
}

#[derive(Row, Deserialize)]
struct StoredRow {
    name: String,
    id: String,
    kind: String,
    role: String,
    secret: String,
    who: String,
    at: i64,
}

const ACCOUNTS: &str = "\
    SELECT name, latest.2 AS id, latest.3 AS kind, latest.4 AS role, latest.5 AS secret, \
        latest.6 AS who, toUnixTimestamp64Micro(latest.1) AS at \
    FROM (SELECT name, max(tuple(time, id, toString(kind), toString(role), secret, who)) AS latest \
        FROM accounts GROUP BY name) ORDER BY name";

const SESSIONS: &str = "\
    SELECT session, any(account) AS account, toUnixTimestamp64Micro(min(time)) AS began \
    FROM account_uses WHERE session != '' AND time > now64(6) - toIntervalSecond(?) \
    GROUP BY session HAVING countIf(kind = 'logout') = 0";

impl Store {
    /// Returns the latest row of each name, removed ones too.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn accounts(&self) -> Result<Vec<AccountRow>, StoreError> {
        let rows = self.client.query(ACCOUNTS).fetch_all::<StoredRow>().await;
        let rows = rows.map_err(|error| self.error("reading accounts", &error))?;
        let read = |StoredRow { name, id, kind, role, secret, who, at }| {
            let time = EventTime::from_micros(at);
            AccountRow { name, id, kind, role, secret, who, time }
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// Adds a row, which then counts for its name. Adding it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn write_account(&self, row: &AccountRow) -> Result<(), StoreError> {
        let new = NewRow {
            name: &row.name,
            id: &row.id,
            kind: &row.kind,
            role: &row.role,
            secret: &row.secret,
            who: &row.who,
            after: row.time.as_micros(),
        };
        self.insert::<NewRow<'_>>("accounts", &format!("account/{}", row.id), [new]).await
    }

    /// Returns the sessions of the last `seconds` that nobody has ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sessions(&self, seconds: u32) -> Result<Vec<SessionRow>, StoreError> {
        let rows = self.client.query(SESSIONS).bind(seconds).fetch_all().await;
        rows.map_err(|error| self.error("reading account_uses", &error))
    }

    /// Adds a use of an account under a token of its own: a repeated use is another row.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_use(&self, row: UseRow<'_>) -> Result<(), StoreError> {
        let token = match row.session {
            "" => format!("use/{:032x}", rand::random::<u128>()),
            session => format!("{}/{session}", row.kind),
        };
        self.insert::<UseRow<'_>>("account_uses", &token, [row]).await
    }
}
