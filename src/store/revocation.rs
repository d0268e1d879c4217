//! Stores requests to revoke keys, and reads the proposals and the requests so far.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::alert::Alert;
use crate::event::EventTime;

/// The requests so far, for the decision about the next one.
#[derive(Clone, Debug)]
pub struct RequestLedger {
    /// The server's clock when the requests were read.
    pub now: EventTime,
    /// Number of the next request.
    pub next_number: u64,
    /// Times of the requests in the last hour.
    pub spent: Vec<EventTime>,
}

/// A request whose alert is not stored yet.
#[derive(Clone, Debug)]
pub struct UntoldRequest {
    pub alert: Alert,
    /// Whether this process made the request.
    pub is_own: bool,
    /// Seconds since the request was made.
    pub age_seconds: f64,
}

/// A row of `revocation_requests`; the server adds the time.
#[derive(Row, Serialize)]
struct RequestRow<'a> {
    number: u64,
    incident: &'a str,
    revision: u32,
    key_id: &'a str,
    owner: &'a str,
    alert: String,
}

#[derive(Row, Deserialize)]
struct LedgerRow {
    now: i64,
    next_number: u64,
    spent: Vec<i64>,
}

const LEDGER: &str = "\
    SELECT toUnixTimestamp64Micro(now64(6)) AS now, max(number) + 1 AS next_number, \
        groupArrayIf(toUnixTimestamp64Micro(time), time > now64(6) - INTERVAL 1 HOUR) AS spent \
    FROM revocation_requests";

/// Selects incidents whose latest evidence proposes a revocation and that have no request. An
/// incident that was resolved within the last minute counts as open: in a backlog an incident may
/// open and close between two looks. Proposals older than a month are left out, so that the query
/// stays cheap for any number of alerts.
const PROPOSALS: &str = "\
    SELECT id, argMaxIf(alert, revision, type IN ('alert.opened', 'alert.updated')) FROM alerts \
    WHERE id IN (SELECT id FROM alerts WHERE action = 'revoke' AND NOT dry_run \
            AND detected_at > now64(6) - INTERVAL 30 DAY) \
        AND id NOT IN (SELECT incident FROM revocation_requests) \
    GROUP BY id \
    HAVING argMaxIf((action, dry_run), revision, type IN ('alert.opened', 'alert.updated')) \
            = ('revoke', false) \
        AND countIf(type = 'key.revocation_requested') = 0 \
        AND countIf(type = 'alert.resolved' \
            AND detected_at < now64(6) - INTERVAL 1 MINUTE) = 0";

const UNTOLD: &str = "\
    SELECT incident, alert, owner, (toUnixTimestamp64Micro(now64(6)) - \
        toUnixTimestamp64Micro(time)) / 1e6 \
    FROM revocation_requests \
    WHERE time > now64(6) - INTERVAL 30 DAY AND (incident, revision) NOT IN \
        (SELECT id, revision FROM alerts \
            WHERE id IN (SELECT incident FROM revocation_requests)) \
    ORDER BY number";

impl Store {
    /// Returns the requests so far. Call it before [`Self::revocation_proposals`], so that the
    /// proposals do not include an incident whose request is not counted here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revocation_ledger(&self) -> Result<RequestLedger, StoreError> {
        let row = self.client.query(LEDGER).fetch_one::<LedgerRow>().await;
        let row = row.map_err(|error| self.error("reading revocation_requests", &error))?;
        Ok(RequestLedger {
            now: EventTime::from_micros(row.now),
            next_number: row.next_number,
            spent: row.spent.into_iter().map(EventTime::from_micros).collect(),
        })
    }

    /// Returns the open incidents that propose a revocation which was not requested, each in its
    /// latest revision with evidence.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revocation_proposals(&self) -> Result<Vec<Alert>, StoreError> {
        let rows: Result<Vec<(String, String)>, _> = self.client.query(PROPOSALS).fetch_all().await;
        let rows = rows.map_err(|error| self.error("reading proposed revocations", &error))?;
        rows.into_iter().map(|(id, text)| parse(id, &text)).collect()
    }

    /// Stores a request under `number`. If the number is taken, nothing is stored; the table shows
    /// which process took it.
    ///
    /// # Errors
    /// [`StoreError`]; after a retryable one, the table shows whether the request is stored.
    pub async fn request_revocation(&self, number: u64, request: &Alert) -> Result<(), StoreError> {
        let alert = serde_json::to_string(request)
            .map_err(|reason| StoreError::AlertJson { id: request.id.clone(), reason })?;
        let row = RequestRow {
            number,
            incident: &request.id,
            revision: request.revision,
            key_id: request.key_id.as_deref().unwrap_or_default(),
            owner: &self.owner,
            alert,
        };
        let token = format!("revocation/{number}");
        self.insert::<RequestRow<'_>>("revocation_requests", &token, [row]).await
    }

    /// Returns requests whose alert is not stored, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn untold_requests(&self) -> Result<Vec<UntoldRequest>, StoreError> {
        let rows: Result<Vec<(String, String, String, f64)>, _> =
            self.client.query(UNTOLD).fetch_all().await;
        let rows = rows.map_err(|error| self.error("reading revocation_requests", &error))?;
        let read = |(id, text, owner, age_seconds): (String, String, String, f64)| {
            let is_own = *owner == *self.owner;
            Ok(UntoldRequest { alert: parse(id, &text)?, is_own, age_seconds })
        };
        rows.into_iter().map(read).collect()
    }
}

fn parse(id: String, text: &str) -> Result<Alert, StoreError> {
    serde_json::from_str(text).map_err(|reason| StoreError::AlertJson { id, reason })
}
